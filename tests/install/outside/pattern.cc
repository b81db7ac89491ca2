#include <cstdint>
#include <iostream>
#include <vector>

#include "espalier/pattern/registry.h"

int main() {
  const auto pattern = espalier::PatternRegistry::BuiltIn().Make("2:4");
  const std::vector<float> scores = {1, 4, 3, 2};
  std::vector<std::uint8_t> keep(4, 9);
  pattern->MaskGroups(scores, espalier::PackedShape{.channels = 4}, keep);
  if (keep == std::vector<std::uint8_t>{0, 1, 1, 0}) return 0;
  std::cerr << "2:4 of 1 4 3 2 does not keep the second and third\n";
  return 1;
}
