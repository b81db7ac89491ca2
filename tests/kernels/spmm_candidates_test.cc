#include "espalier/kernels/spmm_candidates.h"

#include <vector>

#include "gtest/gtest.h"

namespace espalier {
namespace {

TEST(SpmmCandidates, AreFewDistinctOrderedAndPackable) {
  for (const PackedKind kind :
       {PackedKind::kUnstructured, PackedKind::kRows4, PackedKind::kDense}) {
    for (const std::size_t lanes : {1, 4, 8, 16}) {
      for (const std::size_t pixels : {1, 49, 12544}) {
        for (const std::size_t cols : {1, 32, 3072}) {
          const SpmmShape shape = {kind, 64, cols, 8 * cols, pixels, lanes};
          const SpmmCandidates found = ChooseSpmmCandidates(shape);
          ASSERT_GE(found.count, 1u);
          ASSERT_LE(found.count, found.list.size());
          for (std::size_t i = 0; i < found.count; ++i) {
            const SpmmCandidate& candidate = found.list[i];
            EXPECT_GT(candidate.cycles, 0.0);
            EXPECT_EQ(candidate.tile_pixels % 8, 0u);
            EXPECT_EQ(candidate.k_block % 4, 0u);
            if (i > 0) {
              EXPECT_LE(found.list[i - 1].cycles, candidate.cycles);
            }
            PackOptions options;
            options.kind = kind;
            options.tile_pixels = candidate.tile_pixels;
            options.k_block = candidate.k_block;
            const std::vector<float> weights(8 * cols, 1.0f);
            EXPECT_EQ(PackSparse(weights, 8, cols, options).tile_pixels, candidate.tile_pixels);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace espalier
