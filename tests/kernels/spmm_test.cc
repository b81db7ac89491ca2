#include "espalier/kernels/spmm.h"

#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"
#include "tests/kernels/spmm_case.h"

namespace espalier {
namespace {

constexpr SpmmInputKind kInputs[] = {SpmmInputKind::kPlanes, SpmmInputKind::kTokens};
constexpr SpmmOutputKind kOutputs[] = {SpmmOutputKind::kPlanes, SpmmOutputKind::kTokens};

TEST(Spmm, MatchesReferenceForEveryPixelCountOnEveryIsa) {
  OnEachIsa([] {
    for (std::size_t pixels = 1; pixels <= 100; ++pixels) {
      for (const SpmmOutputKind output : kOutputs) {
        SpmmCase c;
        c.pixels = pixels;
        c.output = output;
        c.input = kInputs[pixels % 2];
        c.residual = pixels % 3 == 0;
        c.in_place = pixels % 6 == 0;
        c.pack.k_block = 12;
        ExpectMatchesReference(c);
      }
    }
  });
}

TEST(Spmm, MatchesReferenceForEveryTileAndKBlockOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t tile : {8, 24, 40, 64, 80, 96, 160}) {
      for (const std::size_t k_block : {4, 16, 36, 1000}) {
        SpmmCase c;
        c.rows = 21;
        c.cols = 37;
        c.pixels = 181;
        c.pack.tile_pixels = tile;
        c.pack.k_block = k_block;
        ExpectMatchesReference(c);
        c.input = SpmmInputKind::kTokens;
        c.output = SpmmOutputKind::kTokens;
        ExpectMatchesReference(c);
      }
    }
  });
}

TEST(Spmm, MatchesReferenceForEveryActivationOnEveryIsa) {
  OnEachIsa([] {
    for (int kind = 0; kind <= static_cast<int>(ActivationKind::kTanh); ++kind) {
      for (const SpmmOutputKind output : kOutputs) {
        for (const std::size_t pixels : {3, 61}) {
          SpmmCase c;
          c.activation = {static_cast<ActivationKind>(kind), 0.2f, 0.5f};
          c.pixels = pixels;
          c.output = output;
          c.residual = true;
          c.in_place = kind % 2 == 0;
          ExpectMatchesReference(c);
        }
      }
    }
  });
}

TEST(Spmm, MatchesReferenceForEmptyAndFullMatricesOnEveryIsa) {
  OnEachIsa([] {
    for (const double density : {0.0, 1.0}) {
      for (const std::size_t rows : {1, 9, 300}) {
        for (const std::size_t cols : {0, 1, 5, 64}) {
          SpmmCase c;
          c.rows = rows;
          c.cols = cols;
          c.density = density;
          c.pack.k_block = 16;
          c.bias = rows != 9;
          ExpectMatchesReference(c);
        }
      }
    }
  });
}

TEST(Spmm, MatchesReferenceInPartsOnEveryIsa) {
  OnEachIsa([] {
    for (const std::size_t row_blocks : {1, 2, 5}) {
      for (const SpmmOutputKind output : kOutputs) {
        SpmmCase c;
        c.rows = 53;
        c.cols = 40;
        c.pixels = 77;
        c.pack.row_blocks = row_blocks;
        c.pack.k_block = 16;
        c.parts = 3;
        c.output = output;
        c.residual = true;
        c.in_place = true;
        ExpectMatchesReference(c);
      }
    }
  });
}

SpmmWindow Window(std::uint32_t size, std::uint32_t kernel, std::uint32_t stride,
                  std::uint32_t dilation, std::uint32_t pad) {
  SpmmWindow w;
  w.channels = 3;
  w.height = size;
  w.width = size + 2;
  w.kernel_h = kernel;
  w.kernel_w = kernel;
  w.stride_h = w.stride_w = stride;
  w.dilation_h = w.dilation_w = dilation;
  w.pad_top = static_cast<std::int32_t>(pad);
  w.pad_left = pad;
  const std::uint32_t reach = dilation * (kernel - 1) + 1;
  w.out_h = (w.height + 2 * pad - reach) / stride + 1;
  w.out_w = (w.width + 2 * pad - reach) / stride + 1;
  return w;
}

TEST(Spmm, MatchesReferenceForWindowsOnEveryIsa) {
  OnEachIsa([] {
    for (const std::uint32_t size : {4, 7, 20, 33}) {
      for (const std::uint32_t kernel : {1, 2, 3, 5}) {
        for (const std::uint32_t stride : {1, 2, 3}) {
          for (const std::uint32_t pad : {0, 1, 2, 6}) {
            const std::uint32_t dilation = kernel == 3 ? 1 + pad % 2 : 1;
            if (size + 2 * pad < dilation * (kernel - 1) + 1) continue;
            SpmmCase c = WithWindow({}, Window(size, kernel, stride, dilation, pad));
            c.pack.k_block = 8;
            c.output = kOutputs[pad % 2];
            c.parts = 1 + stride % 2;
            ExpectMatchesReference(c);
          }
        }
      }
    }
  });
}

constexpr PackedKind kKinds[] = {PackedKind::kUnstructured, PackedKind::kNm,
                                 PackedKind::kRows2,        PackedKind::kRows4,
                                 PackedKind::kColumns4,     PackedKind::kDense};

TEST(Spmm, MatchesReferenceForEveryKindAndValueOnEveryIsa) {
  OnEachIsa([] {
    for (const PackedKind kind : kKinds) {
      for (const PackedValue value :
           {PackedValue::kFloat32, PackedValue::kFloat16, PackedValue::kBFloat16}) {
        for (const std::size_t pixels : {1, 7, 16, 49, 100}) {
          for (const std::size_t rows : {1, 6, 35}) {
            SpmmCase c;
            c.rows = rows;
            c.cols = 41;
            c.pixels = pixels;
            c.pack.kind = kind;
            c.pack.value = value;
            c.pack.tile_pixels = pixels % 2 == 0 ? 48 : 72;
            c.pack.k_block = pixels < 10 ? 100 : 12;
            c.pack.row_blocks = 2;
            c.parts = 1 + rows % 2;
            c.residual = rows == 6;
            c.in_place = pixels == 49;
            c.input = kInputs[rows % 2];
            c.output = kOutputs[pixels % 2];
            ExpectMatchesReference(c);
          }
        }
      }
    }
  });
}

TEST(Spmm, MatchesReferenceForEveryKindAndTileOnEveryIsa) {
  OnEachIsa([] {
    for (const PackedKind kind : kKinds) {
      for (std::size_t tile = 8; tile <= 336; tile += tile < 100 ? 8 : 40) {
        SpmmCase c;
        c.rows = 13;
        c.cols = 20;
        c.pixels = 345;
        c.pack.kind = kind;
        c.pack.tile_pixels = tile;
        c.residual = true;
        c.in_place = true;
        ExpectMatchesReference(c);
      }
    }
  });
}

// Rows whose bias is NaN, or far beyond where an exponential overflows.
void ExpectKeepsNanAndFarNumbers(const SpmmCase& c) {
  SCOPED_TRACE(c.ToString());
  SpmmBuffers b = MakeBuffers(c);
  b.input.x = b.x.data();
  constexpr float kFar[] = {std::numeric_limits<float>::quiet_NaN(), -1000, 1000, -110, 110};
  for (std::size_t i = 0; i < std::size(kFar); ++i) b.bias[2 * i + 1] = kFar[i];
  const PackedMatrix packed = PackSparse(b.weights, c.rows, c.cols, c.pack);
  const std::vector<float> dense = UnpackSparse(packed);
  std::vector<float> got(b.y_size, -7.0f), want = got;
  SpmmReference(dense.data(), c.rows, c.cols, b.input, MakeOutput(c, b, want.data()), 0, c.pixels);
  RunCase(c, packed, b.input, MakeOutput(c, b, got.data()));
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(want[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << got[i] << " instead of NaN at " << i;
    } else {
      ASSERT_NEAR(got[i], want[i], 1e-5 * (std::abs(want[i]) + 1)) << "at " << i;
    }
  }
}

TEST(Spmm, KeepsNanAndFarNumbersInEveryActivationOnEveryIsa) {
  OnEachIsa([] {
    for (const PackedKind kind : kKinds) {
      for (int activation = 0; activation <= static_cast<int>(ActivationKind::kTanh);
           ++activation) {
        for (const std::size_t pixels : {3, 24, 61}) {
          for (const SpmmOutputKind output : kOutputs) {
            SpmmCase c;
            c.pixels = pixels;
            c.output = output;
            c.pack.kind = kind;
            c.activation = {static_cast<ActivationKind>(activation), 0.2f, 0.5f};
            ExpectKeepsNanAndFarNumbers(c);
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace espalier
