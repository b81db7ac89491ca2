#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "espalier/graph/coupling.h"
#include "tests/graph/layer_case.h"

// What the coupling analysis says, by names of constants.
namespace espalier::testing {

/// The analysis of one graph.
class Coupled {
 public:
  explicit Coupled(const Graph& graph) : graph_(graph), groups_(FindCoupledChannels(graph)) {}

  const std::vector<CouplingGroup>& groups() const { return groups_; }

  struct Place {
    int group = -1;
    const CoupledTensor* tensor = nullptr;
  };
  /// Where a constant's axes are; no tensor if they are in no group.
  Place Find(const std::string& constant, const std::vector<int>& axes) const {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (const CoupledTensor& tensor : groups_[g].tensors) {
        const auto at = static_cast<std::size_t>(tensor.constant);
        if (graph_.constants[at].name == constant && tensor.axes == axes) {
          return {static_cast<int>(g), &tensor};
        }
      }
    }
    return {};
  }
  int GroupOf(const std::string& constant, std::vector<int> axes) const {
    return Find(constant, axes).group;
  }
  bool Reduced(const std::string& constant, const std::vector<int>& axes) const {
    const Place place = Find(constant, axes);
    return place.tensor != nullptr && place.tensor->reduced;
  }
  std::vector<std::uint32_t> Channels(const std::string& constant, std::vector<int> axes) const {
    const Place place = Find(constant, axes);
    return place.tensor == nullptr ? std::vector<std::uint32_t>() : place.tensor->channels;
  }
  /// Sizes of the cells of the group in which the axes are.
  std::vector<std::size_t> Cells(const std::string& constant, std::vector<int> axes) const {
    const int group = GroupOf(constant, std::move(axes));
    std::vector<std::size_t> sizes;
    if (group < 0) return sizes;
    for (const ChannelCell& cell : groups_[static_cast<std::size_t>(group)].cells) {
      sizes.push_back(cell.channels.size());
    }
    return sizes;
  }
  std::string Refusal(const std::string& constant, std::vector<int> axes) const {
    const int group = GroupOf(constant, std::move(axes));
    return group < 0 ? "in no group" : groups_[static_cast<std::size_t>(group)].refusal;
  }

 private:
  const Graph& graph_;
  std::vector<CouplingGroup> groups_;
};

using Sizes = std::vector<std::size_t>;

}  // namespace espalier::testing
