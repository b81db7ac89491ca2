#pragma once

#include <cstddef>

namespace espalier {

/// A 1x1 convolution (out x in channels, h x w pixels) or a linear layer (w tokens).
struct LayerShape {
  const char* name;
  std::size_t out, in, h, w;
  bool linear;
};

/// The layers on which sparse and dense products are compared.
inline constexpr LayerShape kLayerShapes[] = {
    // MobileNetV1, 224 x 224
    {"mbv1_pw1", 64, 32, 112, 112, false},
    {"mbv1_pw2", 128, 64, 56, 56, false},
    {"mbv1_pw3", 128, 128, 56, 56, false},
    {"mbv1_pw4", 256, 128, 28, 28, false},
    {"mbv1_pw5", 256, 256, 28, 28, false},
    {"mbv1_pw6", 512, 256, 14, 14, false},
    {"mbv1_pw7-11", 512, 512, 14, 14, false},
    {"mbv1_pw12", 1024, 512, 7, 7, false},
    {"mbv1_pw13", 1024, 1024, 7, 7, false},
    // MobileNetV2, 224 x 224: expansions, projections, head
    {"mbv2_exp2", 96, 16, 112, 112, false},
    {"mbv2_prj2", 24, 96, 56, 56, false},
    {"mbv2_exp4", 192, 32, 28, 28, false},
    {"mbv2_prj4", 32, 192, 28, 28, false},
    {"mbv2_exp6", 384, 64, 14, 14, false},
    {"mbv2_prj7", 96, 384, 14, 14, false},
    {"mbv2_exp8", 576, 96, 14, 14, false},
    {"mbv2_exp10", 960, 160, 7, 7, false},
    {"mbv2_prj10", 160, 960, 7, 7, false},
    {"mbv2_head", 1280, 320, 7, 7, false},
    // PicoDet-m-like detector, 320 x 320: backbone, neck, head
    {"pd_s8", 192, 192, 40, 40, false},
    {"pd_s16", 384, 384, 20, 20, false},
    {"pd_s32", 768, 768, 10, 10, false},
    {"pd_neck40", 128, 192, 40, 40, false},
    {"pd_head40", 128, 128, 40, 40, false},
    {"pd_neck20", 128, 384, 20, 20, false},
    {"pd_head20", 128, 128, 20, 20, false},
    {"pd_head10", 128, 128, 10, 10, false},
    {"t_512x512_40", 512, 512, 40, 40, false},
    {"t_512x512_20", 512, 512, 20, 20, false},
    {"t_512x512_10", 512, 512, 10, 10, false},
    {"t_96x48_40", 96, 48, 40, 40, false},
    // BERT-base, 128 and 384 tokens
    {"bert_qkvo_128", 768, 768, 1, 128, true},
    {"bert_ffn1_128", 3072, 768, 1, 128, true},
    {"bert_ffn2_128", 768, 3072, 1, 128, true},
    {"bert_qkvo_384", 768, 768, 1, 384, true},
    {"bert_ffn1_384", 3072, 768, 1, 384, true},
    {"bert_ffn2_384", 768, 3072, 1, 384, true},
};

}  // namespace espalier
