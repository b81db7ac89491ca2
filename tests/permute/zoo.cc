#include "tests/permute/zoo.h"

#include "tests/permute/zoo_net.h"

namespace espalier::testing {

std::vector<ZooGraph> MakeZoo() {
  std::vector<ZooGraph> zoo;
  for (const auto add :
       {&AddConvolutions, &AddBlocks, &AddNormalizations, &AddJoins, &AddShuffles, &AddPositions,
        &AddScopes, &AddMatrices, &AddAttention, &AddQuantized, &AddCorners}) {
    add(&zoo);
  }
  return zoo;
}

}  // namespace espalier::testing
