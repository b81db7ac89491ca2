#include "espalier/kernels/depthwise.h"

#include <fmt/format.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"
#include "tests/kernels/guarded_bytes.h"

namespace espalier {
namespace {

struct GuardedFloats : GuardedBytes {
  GuardedFloats(std::size_t count, GuardSide side) : GuardedBytes(count * sizeof(float), side) {}
  float* data() const { return static_cast<float*>(GuardedBytes::data()); }
};

struct Pads {
  std::uint32_t top = 0, left = 0, bottom = 0, right = 0;
};

std::uint32_t OutSize(std::uint32_t in, std::uint32_t pads, std::uint32_t kernel,
                      std::uint32_t stride, std::uint32_t dilation) {
  const std::uint32_t reach = (kernel - 1) * dilation + 1;
  return in + pads < reach ? 0 : (in + pads - reach) / stride + 1;
}

void SetPads(DepthwiseShape& shape, const Pads& pads) {
  shape.pad_top = pads.top;
  shape.pad_left = pads.left;
  shape.out_h =
      OutSize(shape.in_h, pads.top + pads.bottom, shape.kernel_h, shape.stride_h, shape.dilation_h);
  shape.out_w =
      OutSize(shape.in_w, pads.left + pads.right, shape.kernel_w, shape.stride_w, shape.dilation_w);
}

DepthwiseShape Square(std::uint32_t in_h, std::uint32_t in_w, std::uint32_t kernel,
                      std::uint32_t stride, const Pads& pads) {
  DepthwiseShape shape;
  shape.in_h = in_h;
  shape.in_w = in_w;
  shape.kernel_h = shape.kernel_w = kernel;
  shape.stride_h = shape.stride_w = stride;
  SetPads(shape, pads);
  return shape;
}

std::string Describe(const DepthwiseShape& s) {
  return fmt::format("in {}x{} out {}x{} kernel {}x{} stride {}x{} dilation {}x{} pads {},{} m {}",
                     s.in_h, s.in_w, s.out_h, s.out_w, s.kernel_h, s.kernel_w, s.stride_h,
                     s.stride_w, s.dilation_h, s.dilation_w, s.pad_top, s.pad_left, s.multiplier);
}

struct Options {
  std::size_t channels = 3;  // of the output
  DepthwiseRange range;      // all of it if empty
  Activation activation;
  bool residual = false;
  bool bias = true;
  bool stripe = false;         // only the input rows that the range needs are there
  std::size_t input_gap = 0;   // floats between two planes
  std::size_t output_gap = 0;  // floats between two planes
  GuardSide guard = GuardSide::kBehind;
};

std::vector<float> Normal(std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

// How much an activation widens the error of its argument.
float Slope(const Activation& activation) {
  switch (activation.kind) {
    case ActivationKind::kLeakyRelu:
      return std::max(1.0f, std::fabs(activation.alpha));
    case ActivationKind::kHardSigmoid:
      return std::fabs(activation.alpha);
    case ActivationKind::kHardSwish:
      return 2.0f;  // 1.5 with ONNX's constants
    case ActivationKind::kSilu:
      return 1.1f;
    default:
      return 1.0f;
  }
}

class Runner {
 public:
  Runner(const DepthwiseShape& shape, const Options& options, std::uint32_t seed);
  void Check() const;

 private:
  DepthwiseOutput OutputAt(float* y) const;

  DepthwiseShape shape_;
  Options options_;
  DepthwiseRange range_;
  std::size_t in_plane_ = 0, out_plane_ = 0, in_size_ = 0, out_size_ = 0;
  DepthwiseInput input_;
  std::vector<float> x_, weights_, bias_, residual_;
};

Runner::Runner(const DepthwiseShape& shape, const Options& options, std::uint32_t seed)
    : shape_(shape), options_(options), range_(options.range) {
  if (range_.channel_end == 0) range_ = {0, options.channels, 0, shape.out_h};
  const std::size_t planes = (options.channels + shape.multiplier - 1) / shape.multiplier;
  input_.rows = shape.in_h;
  if (options.stripe) {
    const DepthwiseRows rows = DepthwiseInputRows(shape, range_.row_begin, range_.row_end);
    input_.row_begin = rows.begin;
    input_.rows = rows.end - rows.begin;
  }
  const std::size_t out_rows = range_.row_end - range_.row_begin;
  input_.plane_stride = input_.rows * shape.in_w + options.input_gap;
  in_size_ = planes == 0 ? 0 : planes * input_.plane_stride - options.input_gap;
  out_plane_ = out_rows * shape.out_w + options.output_gap;
  out_size_ = options.channels == 0 ? 0 : options.channels * out_plane_ - options.output_gap;
  std::mt19937 random(seed);
  x_ = Normal(in_size_, random);
  weights_ = Normal(options.channels * shape.kernel_h * shape.kernel_w, random);
  bias_ = Normal(options.channels, random);
  residual_ = Normal(out_size_, random);
}

DepthwiseOutput Runner::OutputAt(float* y) const {
  DepthwiseOutput output;
  output.y = y;
  output.plane_stride = output.residual_plane_stride = out_plane_;
  output.residual = options_.residual ? residual_.data() : nullptr;
  output.activation = options_.activation;
  return output;
}

// n floats summed in any order differ by at most n * eps * sum|w*x|; the bias, the residual and the
// rounding of the reference are three more terms. Everything outside of the range keeps its canary.
void Runner::Check() const {
  constexpr float kCanary = -12345.5f;
  std::vector<float> want(out_size_, kCanary), magnitude(out_size_, 0.0f);
  const DepthwiseWeights weights = {weights_.data(), options_.bias ? bias_.data() : nullptr};
  DepthwiseInput input = input_;
  input.x = x_.data();
  DepthwiseConvReference(shape_, weights, input, OutputAt(want.data()), range_);

  const auto absolute = [](std::vector<float> values) {
    for (float& v : values) v = std::fabs(v);
    return values;
  };
  const std::vector<float> abs_x = absolute(x_), abs_w = absolute(weights_),
                           abs_bias = absolute(bias_), abs_residual = absolute(residual_);
  DepthwiseOutput abs_output = OutputAt(magnitude.data());
  abs_output.activation = {};
  if (options_.residual) abs_output.residual = abs_residual.data();
  input.x = abs_x.data();
  DepthwiseConvReference(shape_, {abs_w.data(), options_.bias ? abs_bias.data() : nullptr}, input,
                         abs_output, range_);

  const GuardedFloats guarded_x(in_size_, options_.guard), got(out_size_, options_.guard);
  const GuardedFloats guarded_residual(out_size_, options_.guard);
  std::copy(x_.begin(), x_.end(), guarded_x.data());
  std::copy(residual_.begin(), residual_.end(), guarded_residual.data());
  std::fill_n(got.data(), out_size_, kCanary);
  input.x = guarded_x.data();
  DepthwiseOutput output = OutputAt(got.data());
  if (options_.residual) output.residual = guarded_residual.data();
  DepthwiseConv(shape_, weights, input, output, range_);

  const float terms = static_cast<float>(shape_.kernel_h * shape_.kernel_w + 3);
  for (std::size_t i = 0; i < out_size_; ++i) {
    const float sum_error = terms * FLT_EPSILON * magnitude[i] * Slope(options_.activation);
    const float own_error = magnitude[i] == 0 ? 0 : 8 * FLT_EPSILON * (1 + std::fabs(want[i]));
    const float allowed =
        sum_error + (options_.activation.kind == ActivationKind::kNone ? 0 : own_error);
    ASSERT_LE(std::fabs(got.data()[i] - want[i]), allowed)
        << Describe(shape_) << " at " << i << ": " << got.data()[i] << " not " << want[i];
  }
}

void Check(const DepthwiseShape& shape, const Options& options, std::uint32_t seed = 7) {
  if (shape.out_h == 0 || shape.out_w == 0) return;
  Runner(shape, options, seed).Check();
}

TEST(Depthwise, MatchesReferenceForEverySizeOnEveryIsa) {
  OnEachIsa([] {
    for (std::uint32_t size = 1; size <= 40; ++size) {
      for (const std::uint32_t kernel : {3, 5}) {
        for (const std::uint32_t stride : {1, 2}) {
          const std::uint32_t pad = kernel / 2;
          Options options;
          Check(Square(size, size, kernel, stride, {pad, pad, pad, pad}), options);
          options.guard = GuardSide::kBefore;
          options.channels = 19;  // more than one batch of planes for the larger sizes
          Check(Square(size / 3 + 1, size, kernel, stride, {pad, pad, pad, pad}), options);
          Check(Square(size, size / 4 + 1, kernel, stride, {0, 0, 1, 1}), options);
        }
      }
    }
  });
}

TEST(Depthwise, MatchesReferenceForEveryPaddingOnEveryIsa) {
  OnEachIsa([] {
    for (const std::uint32_t kernel : {3u, 5u}) {
      for (std::uint32_t code = 0; code < kernel * kernel * kernel * kernel; ++code) {
        const Pads pads = {code % kernel, code / kernel % kernel, code / (kernel * kernel) % kernel,
                           code / (kernel * kernel * kernel)};
        Options options;
        options.channels = 2;
        options.guard = code % 2 == 0 ? GuardSide::kBehind : GuardSide::kBefore;
        Check(Square(6, 7, kernel, 1, pads), options);
        Check(Square(7, 13, kernel, 2, pads), options);
        Check(Square(2, 3, kernel, 2, pads), options);
      }
    }
  });
}

// Kernels, strides, dilations and pads without order; a third has pads wider than the kernel.
TEST(Depthwise, MatchesReferenceForOtherKernelsOnEveryIsa) {
  OnEachIsa([] {
    std::mt19937 random(3);
    const auto upto = [&random](std::uint32_t n) {
      return static_cast<std::uint32_t>(random() % n) + 1;
    };
    for (std::uint32_t i = 0; i < 400; ++i) {
      DepthwiseShape shape;
      shape.in_h = upto(30);
      shape.in_w = upto(50);
      shape.kernel_h = upto(15);
      shape.kernel_w = upto(15);
      shape.stride_h = upto(4);
      shape.stride_w = upto(4);
      shape.dilation_h = upto(3);
      shape.dilation_w = upto(4);
      shape.multiplier = upto(3);
      const std::uint32_t reach_h = shape.kernel_h * shape.dilation_h;
      const std::uint32_t reach_w = shape.kernel_w * shape.dilation_w;
      const std::uint32_t slack = i % 3 == 0 ? 12 : 0;
      SetPads(shape, {upto(reach_h + slack) - 1, upto(reach_w + slack) - 1,
                      upto(reach_h + slack) - 1, upto(reach_w + slack) - 1});
      Options options;
      options.residual = i % 2 == 0;
      options.guard = i % 4 < 2 ? GuardSide::kBehind : GuardSide::kBefore;
      Check(shape, options, i);
    }
  });
}

TEST(Depthwise, MatchesReferenceWhereThePlaneDoesNotFitTheScratchOnEveryIsa) {
  OnEachIsa([] {
    Options options;
    options.channels = 2;
    options.activation = {ActivationKind::kSigmoid, 0, 0};
    for (const std::uint32_t stride : {1, 2}) {
      Check(Square(300, 21, 3, stride, {1, 1, 1, 1}), options);   // stripes of rows
      Check(Square(19, 1501, 5, stride, {2, 2, 2, 2}), options);  // blocks of columns
      Check(Square(40, 5000, 3, stride, {0, 2, 1, 0}), options);  // both
      Check(Square(30, 1200, 15, 2 * stride, {7, 7, 7, 7}), options);
    }
    DepthwiseShape far = Square(130, 700, 3, 1, {0, 0, 0, 0});  // taps too far apart
    far.dilation_h = 60;
    far.dilation_w = 300;
    SetPads(far, {60, 300, 60, 300});
    options.residual = true;
    Check(far, options);
    Check(Square(20, 600, 17, 1, {8, 8, 8, 8}), options);  // too wide a kernel
    Check(Square(20, 30, 21, 3, {20, 20, 20, 20}), options);
  });
}

TEST(Depthwise, RowsOfStripesMatchReferenceOnEveryIsa) {
  OnEachIsa([] {
    for (const std::uint32_t width : {5u, 7u, 14u, 33u}) {
      for (const std::uint32_t kernel : {2u, 3u, 5u}) {
        for (const std::uint32_t stride : {1u, 2u}) {
          const DepthwiseShape shape = Square(17, width, kernel, stride, {1, 1, 1, 1});
          for (std::size_t begin = 0; begin < shape.out_h; begin += 2) {
            for (std::size_t end = begin + 1; end <= shape.out_h; end += 3) {
              Options options;
              options.range = {0, 3, begin, end};
              options.stripe = true;
              options.residual = true;
              options.output_gap = begin % 4 == 0 ? 0 : 5;
              options.input_gap = begin % 4 == 0 ? 3 : 0;
              options.guard = end % 2 == 0 ? GuardSide::kBehind : GuardSide::kBefore;
              Check(shape, options);
            }
          }
        }
      }
    }
  });
}

// Tiles of every height, at the top, in the middle and at the bottom of a plane: rows of padding
// above, none, and below.
TEST(Depthwise, StripesOfEveryHeightMatchReferenceOnEveryIsa) {
  OnEachIsa([] {
    for (const std::uint32_t kernel : {3u, 5u}) {
      for (const std::uint32_t stride : {1u, 2u}) {
        const std::uint32_t pad = kernel / 2;
        const DepthwiseShape shape = Square(26 * stride, 40, kernel, stride, {pad, pad, pad, pad});
        for (std::size_t rows = 1; rows <= 17; ++rows) {
          for (const std::size_t begin : {std::size_t{0}, std::size_t{4}, shape.out_h - rows}) {
            Options options;
            options.range = {0, 3, begin, begin + rows};
            options.stripe = true;
            options.guard = rows % 2 == 0 ? GuardSide::kBehind : GuardSide::kBefore;
            Check(shape, options);
          }
        }
      }
    }
  });
}

TEST(Depthwise, WritesOnlyTheChannelsOfItsRangeOnEveryIsa) {
  OnEachIsa([] {
    for (const std::uint32_t size : {1u, 3u, 5u, 7u, 10u, 20u}) {
      for (const std::uint32_t multiplier : {1u, 2u, 3u}) {
        DepthwiseShape shape = Square(size, size, 3, 1, {1, 1, 1, 1});
        shape.multiplier = multiplier;
        for (std::size_t begin = 0; begin < 7; ++begin) {
          for (std::size_t end = begin + 1; end <= 7; ++end) {
            Options options;
            options.channels = 7;
            options.range = {begin, end, 0, shape.out_h};
            Check(shape, options);
          }
        }
      }
    }
  });
}

TEST(Depthwise, AppliesEveryActivationAfterTheResidualOnEveryIsa) {
  const Activation activations[] = {{ActivationKind::kNone, 0, 0},
                                    {ActivationKind::kRelu, 0, 0},
                                    {ActivationKind::kClip, 0, 6},
                                    {ActivationKind::kClip, -0.5f, 0.75f},
                                    {ActivationKind::kLeakyRelu, 0.1f, 0},
                                    {ActivationKind::kHardSigmoid, 0.2f, 0.5f},
                                    {ActivationKind::kHardSwish, 1.0f / 6, 0.5f},
                                    {ActivationKind::kSigmoid, 0, 0},
                                    {ActivationKind::kSilu, 0, 0},
                                    {ActivationKind::kTanh, 0, 0}};
  OnEachIsa([&activations] {
    for (const Activation& activation : activations) {
      for (const std::uint32_t width : {3u, 7u, 14u, 41u}) {
        for (const bool residual : {false, true}) {
          Options options;
          options.activation = activation;
          options.residual = residual;
          options.bias = width != 14;
          Check(Square(11, width, 3, 1, {1, 1, 1, 1}), options);
          Check(Square(11, width, 5, 2, {2, 2, 2, 2}), options);
          Check(Square(11, width, 4, 1, {1, 2, 2, 1}), options);
        }
      }
    }
  });
}

TEST(Depthwise, KeepsNanAndStaysAwayFromNeighboursOnEveryIsa) {
  OnEachIsa([] {
    const DepthwiseShape shape = Square(9, 9, 3, 1, {1, 1, 1, 1});
    std::vector<float> x(2 * 81, 1.0f), y(2 * 81), w(18, 1.0f);
    x[80] = std::numeric_limits<float>::quiet_NaN();  // the last of plane 0, beside plane 1
    for (const ActivationKind kind :
         {ActivationKind::kNone, ActivationKind::kRelu, ActivationKind::kHardSwish}) {
      DepthwiseOutput output;
      output.y = y.data();
      output.plane_stride = 81;
      output.activation.kind = kind;
      DepthwiseConv(shape, {w.data(), nullptr}, {x.data(), 81, 0, 9}, output, {0, 2, 0, 9});
      for (std::size_t i = 0; i < y.size(); ++i) {
        EXPECT_EQ(std::isnan(y[i]), i == 70 || i == 71 || i == 79 || i == 80) << i;
      }
    }
  });
}

TEST(Depthwise, EmptyRangesWriteNothing) {
  const DepthwiseShape shape = Square(4, 4, 3, 1, {1, 1, 1, 1});
  const DepthwiseInput input = {nullptr, 16, 0, 4};
  DepthwiseConv(shape, {}, input, {}, {2, 2, 0, 4});
  DepthwiseConv(shape, {}, input, {}, {0, 2, 3, 3});
}

TEST(Depthwise, InputRowsAreThoseOfTheWindow) {
  const DepthwiseShape shape = Square(10, 10, 3, 2, {1, 1, 1, 1});
  EXPECT_EQ(DepthwiseInputRows(shape, 0, 1).begin, 0u);
  EXPECT_EQ(DepthwiseInputRows(shape, 0, 1).end, 2u);
  EXPECT_EQ(DepthwiseInputRows(shape, 2, 4).begin, 3u);
  EXPECT_EQ(DepthwiseInputRows(shape, 2, 4).end, 8u);
  EXPECT_EQ(DepthwiseInputRows(shape, 0, 5).end, 10u);
  EXPECT_EQ(DepthwiseInputRows(shape, 3, 3).end, 0u);
}

}  // namespace
}  // namespace espalier
