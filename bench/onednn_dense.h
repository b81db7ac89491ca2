#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "oneapi/dnnl/dnnl.hpp"

namespace espalier {

/// oneDNN's dense product of one layer, in the memory layouts that it likes best; getting data into
/// these layouts is not counted, as inside a network of such layers.
class OneDnnDense {
 public:
  /// A 1x1 convolution with ReLU, channels in oneDNN's own blocks.
  static OneDnnDense Convolution(dnnl_dim_t out, dnnl_dim_t in, dnnl_dim_t h, dnnl_dim_t w) {
    using Dims = dnnl::memory::dims;
    const auto any = [](const Dims& dims) {
      return dnnl::memory::desc(dims, dnnl::memory::data_type::f32, dnnl::memory::format_tag::any);
    };
    const dnnl::convolution_forward::desc desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, any({1, in, h, w}),
        any({out, in, 1, 1}), any({out}), any({1, out, h, w}), Dims{1, 1}, Dims{0, 0}, Dims{0, 0});
    OneDnnDense made;
    const dnnl::convolution_forward::primitive_desc primitive(desc, ReluAttr(), made.engine_);
    made.primitive_ = dnnl::convolution_forward(primitive);
    made.Fill(primitive.src_desc(), primitive.weights_desc(), primitive.bias_desc(),
              primitive.dst_desc());
    return made;
  }

  /// [m, k] x [k, n] with ReLU; the weights, on the left or on the right, in oneDNN's own layout.
  /// No bias for those on the left: oneDNN has no fast kernel with one along the rows.
  static OneDnnDense Matmul(dnnl_dim_t m, dnnl_dim_t k, dnnl_dim_t n, bool weights_left) {
    using Tag = dnnl::memory::format_tag;
    const auto of = [](dnnl_dim_t rows, dnnl_dim_t cols, Tag tag) {
      return dnnl::memory::desc({rows, cols}, dnnl::memory::data_type::f32, tag);
    };
    const auto x = of(m, k, weights_left ? Tag::any : Tag::ab);
    const auto w = of(k, n, weights_left ? Tag::ab : Tag::any);
    const auto y = of(m, n, Tag::ab);
    const auto desc =
        weights_left ? dnnl::matmul::desc(x, w, y) : dnnl::matmul::desc(x, w, of(1, n, Tag::ab), y);
    OneDnnDense made;
    const dnnl::matmul::primitive_desc primitive(desc, ReluAttr(), made.engine_);
    made.primitive_ = dnnl::matmul(primitive);
    made.Fill(primitive.src_desc(), primitive.weights_desc(), primitive.bias_desc(),
              primitive.dst_desc());
    return made;
  }

  void Run() {
    primitive_.execute(stream_, arguments_);
    stream_.wait();
  }

 private:
  static dnnl::primitive_attr ReluAttr() {
    dnnl::post_ops relu;
    relu.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    dnnl::primitive_attr attr;
    attr.set_post_ops(relu);
    return attr;
  }

  void Fill(const dnnl::memory::desc& src, const dnnl::memory::desc& weights,
            const dnnl::memory::desc& bias, const dnnl::memory::desc& dst) {
    Add(DNNL_ARG_SRC, src);
    Add(DNNL_ARG_WEIGHTS, weights);
    if (!bias.is_zero()) Add(DNNL_ARG_BIAS, bias);
    Add(DNNL_ARG_DST, dst);
  }

  void Add(int argument, const dnnl::memory::desc& desc) {
    dnnl::memory memory(desc, engine_);
    auto* values = static_cast<float*>(memory.get_data_handle());
    for (std::size_t i = 0; i < desc.get_size() / sizeof(float); ++i) {
      values[i] = 0.01f * static_cast<float>(i % 37) - 0.17f;
    }
    arguments_.emplace(argument, memory);
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::primitive primitive_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

}  // namespace espalier
