#include <set>
#include <string>

#include "espalier/data/preprocess.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

using Kind = ResizeStep::Kind;

Preprocess With(std::string_view field, std::string_view text) {
  Preprocess preprocess;
  OverridePreprocess(preprocess, field, text);
  return preprocess;
}

TEST(PreprocessText, ReadsEachResize) {
  EXPECT_EQ(With("resize", "none").resize, (ResizeStep{Kind::kNone, 0, 0, 0}));
  EXPECT_EQ(With("resize", "model").resize, (ResizeStep{Kind::kExact, 0, 0, 0}));
  EXPECT_EQ(With("resize", "320x240").resize, (ResizeStep{Kind::kExact, 320, 240, 0}));
  EXPECT_EQ(With("resize", "crop").resize, (ResizeStep{Kind::kCrop, 0, 0, 0}));
  EXPECT_EQ(With("resize", "crop:256").resize, (ResizeStep{Kind::kCrop, 0, 0, 256}));
  EXPECT_EQ(With("resize", "Crop:256,224X192").resize, (ResizeStep{Kind::kCrop, 224, 192, 256}));
}

TEST(PreprocessText, RefusesOtherResizes) {
  for (const char* text : {"", "x", "224", "224x", "x224", "0x5", "-3x5", "224x224x3", "1e3x5",
                           "70000x5", "crop:", "crop:0", "crop:256,", "crop:256,224", "fit"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"resize '" + std::string(text) + "'", "WIDTHxHEIGHT"},
                [&] { With("resize", text); });
  }
  ExpectError(ErrorCode::kInvalidArgument, {"crop:200,224x100", "larger"},
              [&] { With("resize", "crop:200,224x100"); });
}

TEST(PreprocessText, ReadsNumbersAndQuotients) {
  EXPECT_EQ(With("scale", "1/255").scale, 1.0 / 255);
  EXPECT_EQ(With("scale", "0.5").scale, 0.5);
  EXPECT_EQ(With("mean", "0.5").mean, std::vector<double>{0.5});
  EXPECT_EQ(With("mean", "104,117,-1e2").mean, (std::vector<double>{104, 117, -100}));
  EXPECT_EQ(With("std", "1/2,1/4,3").std, (std::vector<double>{0.5, 0.25, 3}));
}

TEST(PreprocessText, RefusesOtherNumbers) {
  for (const char* text : {"", "a", "1,2", "1,2,3,4", "1,,3", "nan", "inf", "1/0", "1/2/3", " 1"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"mean '" + std::string(text) + "'"},
                [&] { With("mean", text); });
  }
  for (const char* text : {"0", "1,0,1", "-1"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"std '" + std::string(text) + "'", "above 0"},
                [&] { With("std", text); });
  }
  for (const char* text : {"", "0", "1/0", "x"}) {
    ExpectError(ErrorCode::kInvalidArgument, {"scale '" + std::string(text) + "'", "1/255"},
                [&] { With("scale", text); });
  }
}

TEST(PreprocessText, ReadsNamesInAnyCase) {
  EXPECT_EQ(With("channels", "BGR").channels, ChannelOrder::kBgr);
  EXPECT_EQ(With("channels", "gray").channels, ChannelOrder::kGray);
  EXPECT_EQ(With("layout", "NHWC").layout, InputLayout::kNhwc);
  EXPECT_EQ(With("filter", "antialias").filter, ResizeFilter::kAntialias);
  ExpectError(ErrorCode::kInvalidArgument, {"layout 'hwc'", "nchw, nhwc"},
              [&] { With("layout", "hwc"); });
  ExpectError(ErrorCode::kInvalidArgument, {"channels 'yuv'", "rgb, bgr, gray"},
              [&] { With("channels", "yuv"); });
  ExpectError(ErrorCode::kInvalidArgument, {"filter 'cubic'", "bilinear, antialias"},
              [&] { With("filter", "cubic"); });
  ExpectError(ErrorCode::kInvalidArgument, {"'crop'", "resize, filter"},
              [&] { With("crop", "1"); });
}

TEST(PreprocessText, ShowsEachField) {
  EXPECT_EQ(PreprocessText(FindPreprocess("imagenet")),
            "shorter side to 8/7, crop to the model's size (antialias), rgb, scale 0.00392157, "
            "mean 0.485,0.456,0.406, std 0.229,0.224,0.225, nchw");
  Preprocess preprocess = FindPreprocess("imagenet-caffe");
  OverridePreprocess(preprocess, "resize", "crop:256,224x224");
  OverridePreprocess(preprocess, "layout", "nhwc");
  EXPECT_EQ(PreprocessText(preprocess),
            "shorter side to 256, crop to 224x224 (bilinear), bgr, scale 1, mean 104,117,123, std "
            "1, nhwc");
  EXPECT_EQ(PreprocessText(FindPreprocess("mnist")),
            "no resize, gray, scale 0.00392157, mean 0.1307, std 0.3081, nchw");
}

TEST(Presets, HaveNamesOfTheirOwnAndAreFound) {
  std::set<std::string_view> names;
  for (const PreprocessPreset& preset : PreprocessPresets()) {
    EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
    EXPECT_FALSE(preset.help.empty());
    EXPECT_EQ(FindPreprocess(preset.name), preset.value);
  }
  for (const char* name :
       {"imagenet", "imagenet-caffe", "imagenet-tf", "cifar10", "mnist", "unit", "raw"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
  ExpectError(ErrorCode::kInvalidArgument, {"'imagnet'", "imagenet, imagenet-caffe"},
              [] { FindPreprocess("imagnet"); });
}

}  // namespace
}  // namespace espalier
