#include "espalier/format/packed_matrix.h"

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "espalier/base/dtype.h"
#include "espalier/base/error.h"
#include "format/round_half.h"
#include "gtest/gtest.h"

namespace espalier {
namespace {

constexpr PackedKind kKinds[] = {PackedKind::kUnstructured, PackedKind::kNm,
                                 PackedKind::kRows2,        PackedKind::kRows4,
                                 PackedKind::kColumns4,     PackedKind::kDense};

std::vector<float> Sparse(std::size_t count, double density) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::bernoulli_distribution keep(density);
  std::vector<float> values(count);
  for (float& v : values) v = keep(random) ? uniform(random) : 0.0f;
  return values;
}

TEST(PackSparse, UnpacksToWhatWasPacked) {
  for (const PackedKind kind : kKinds) {
    for (const std::size_t rows : {0, 1, 7, 300}) {
      for (const std::size_t cols : {0, 1, 3, 50}) {
        for (const double density : {0.0, 0.2, 1.0}) {
          PackOptions options;
          options.kind = kind;
          options.k_block = 12;
          options.row_blocks = 3;
          const std::vector<float> weights = Sparse(rows * cols, density);
          EXPECT_EQ(UnpackSparse(PackSparse(weights, rows, cols, options)), weights)
              << static_cast<int>(kind) << " " << rows << " x " << cols << " at " << density;
        }
      }
    }
  }
}

TEST(PackSparse, RowBlocksCoverAllRowsAndStayBelowTheLimit) {
  const std::vector<float> weights = Sparse(1000 * 20, 0.3);
  for (const std::size_t row_blocks : {1, 2, 3, 8, 5000}) {
    PackOptions options;
    options.row_blocks = row_blocks;
    const PackedMatrix packed = PackSparse(weights, 1000, 20, options);
    EXPECT_EQ(packed.row_begin.front(), 0u);
    EXPECT_EQ(packed.row_begin.back(), 1000u);
    for (std::size_t i = 0; i < packed.row_blocks(); ++i) {
      EXPECT_LT(packed.row_begin[i], packed.row_begin[i + 1]);
      EXPECT_LE(packed.row_begin[i + 1] - packed.row_begin[i], kMaxRowBlock);
      EXPECT_EQ(packed.row_begin[i] % 8, 0u);
    }
  }
}

TEST(PackSparse, NmRowsHaveTheSameNumberOfEntries) {
  std::vector<float> weights(16 * 64);
  std::mt19937 random(3);
  for (std::size_t i = 0; i < weights.size(); i += 4) weights[i + random() % 4] = 1.0f;
  PackOptions options;
  options.kind = PackedKind::kNm;
  options.k_block = 32;
  for (const PackedVisit& visit : PackSparse(weights, 16, 64, options).visits) {
    EXPECT_EQ(visit.count, 16);  // 2 of 4, although one of 4 is not zero
  }
}

TEST(PackSparse, MakesKBlocksSmallerWhereOffsetsWouldOverflow) {
  PackOptions options;
  options.tile_pixels = 1024;
  options.k_block = 5000;
  const std::vector<float> weights(2 * 5000, 1.0f);
  const PackedMatrix packed = PackSparse(weights, 2, 5000, options);
  EXPECT_LE((packed.k_block - 1) * packed.tile_pixels / 2, 65535u);
  EXPECT_EQ(UnpackSparse(packed), weights);
}

void ExpectRejects(std::size_t size, const PackOptions& options, ErrorCode code,
                   const std::string& text) {
  try {
    PackSparse(std::vector<float>(size), 2, 4, options);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(PackSparse, RejectsWhatMakesNoSense) {
  ExpectRejects(7, {}, ErrorCode::kShapeMismatch, "7 weights for a matrix of 2 x 4");
  PackOptions options;
  options.tile_pixels = 1025;
  ExpectRejects(8, options, ErrorCode::kInvalidArgument, "tile of 1025 pixels");
  options = {};
  options.k_block = 0;
  ExpectRejects(8, options, ErrorCode::kInvalidArgument, "K block of 0");
  options = {};
  options.kind = PackedKind::kNm;
  options.nm_n = 5;
  ExpectRejects(8, options, ErrorCode::kInvalidArgument, "pattern 5:4");
}

// Every binary16 that is not NaN survives the way to float and back; so does every bfloat16.
TEST(RoundHalf, GivesBackEveryHalf) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if ((bits & 0x7FFF) <= 0x7C00) {
      EXPECT_EQ(RoundToHalf(HalfToFloat(half)), half) << bits;
    }
    if ((bits & 0x7FFF) <= 0x7F80) {
      EXPECT_EQ(RoundToBFloat16(BFloat16ToFloat(half)), half) << bits;
    }
  }
}

TEST(RoundHalf, RoundsToNearestEvenAndKeepsNan) {
  EXPECT_EQ(RoundToHalf(1.0f + 0x1p-11f), 0x3C00);      // tie, to even
  EXPECT_EQ(RoundToHalf(1.0f + 3 * 0x1p-11f), 0x3C02);  // tie, to even
  EXPECT_EQ(RoundToHalf(65519.0f), 0x7BFF);
  EXPECT_EQ(RoundToHalf(65520.0f), 0x7C00);  // infinity
  EXPECT_EQ(RoundToHalf(0x1p-25f), 0);       // tie, to even
  EXPECT_EQ(RoundToHalf(std::nextafter(0x1p-25f, 1.0f)), 1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(HalfToFloat(RoundToHalf(nan))));
  EXPECT_TRUE(std::isnan(BFloat16ToFloat(RoundToBFloat16(nan))));
}

}  // namespace
}  // namespace espalier
