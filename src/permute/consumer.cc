#include "permute/consumer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>

#include "espalier/base/error.h"

namespace espalier::internal {
namespace {

// Calls visit(packed row, group, row of the group, input, offset in the stored tensor).
template <class Visit>
void ForEachWeight(const WeightView& view, const Visit& visit) {
  const std::vector<std::int64_t> group_offsets = OffsetsAlong(view.groups);
  const std::vector<std::int64_t> position_offsets = OffsetsAlong(view.positions);
  std::size_t row = 0;
  for (std::size_t g = 0; g < group_offsets.size(); ++g) {
    for (std::int64_t o = 0; o < view.out.size; ++o) {
      for (const std::int64_t position : position_offsets) {
        const std::int64_t first = group_offsets[g] + o * view.out.stride + position;
        for (std::int64_t i = 0; i < view.in.size; ++i) {
          visit(row, g, static_cast<std::size_t>(o), static_cast<std::size_t>(i),
                static_cast<std::size_t>(first + i * view.in.stride));
        }
        ++row;
      }
    }
  }
}

std::vector<float> ValuesOf(const Tensor& tensor) {
  if (tensor.dtype() == DType::kFloat32) {
    std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
    std::memcpy(values.data(), tensor.bytes().data(), tensor.bytes().size());
    return values;
  }
  const std::vector<double> wide = tensor.AsDoubles();
  return std::vector<float>(wide.begin(), wide.end());
}

// |real value| of a stored one.
class Magnitude {
 public:
  Magnitude(const Layer& layer, double weighting) : layer_(layer), weighting_(weighting) {}

  float Of(float stored, std::size_t row_of_layer, std::size_t input) const {
    double value = stored;
    if (layer_.quantization) {
      const Quantization& quantization = *layer_.quantization;
      std::size_t which = 0;
      if (quantization.along == Quantization::Along::kRow) which = row_of_layer;
      if (quantization.along == Quantization::Along::kChannel) which = input;
      value =
          (value - quantization.zero_point[which]) * static_cast<double>(quantization.scale[which]);
    }
    return static_cast<float>(std::abs(value) * weighting_);
  }

 private:
  const Layer& layer_;
  double weighting_;
};

// Index of an element along some axes of a tensor, row-major over them.
std::size_t IndexAlong(const Dims& dims, const std::vector<int>& axes, std::size_t offset) {
  std::size_t index = 0;
  for (const int axis : axes) {
    std::size_t stride = 1;
    for (std::size_t i = static_cast<std::size_t>(axis) + 1; i < dims.size(); ++i) {
      stride *= static_cast<std::size_t>(dims[i]);
    }
    const auto size = static_cast<std::size_t>(dims[static_cast<std::size_t>(axis)]);
    index = index * size + offset / stride % size;
  }
  return index;
}

}  // namespace

Consumer::Consumer(const Graph& graph, const Layer& layer, const CoupledTensor& tensor,
                   const NmGroup& nm, double weighting)
    : nm_(nm), inputs_(static_cast<std::size_t>(layer.view.in.size)) {
  const WeightView& view = layer.view;
  const Tensor& stored = graph.constants[static_cast<std::size_t>(tensor.constant)].tensor;
  const std::vector<float> values = ValuesOf(stored);
  const Magnitude magnitude(layer, weighting);
  scores_.resize(static_cast<std::size_t>(view.Elements()));
  channel_.assign(static_cast<std::size_t>(view.GroupCount()) * inputs_, kNoChannel);
  const auto outs = static_cast<std::size_t>(view.out.size);
  ForEachWeight(view, [&](std::size_t row, std::size_t group, std::size_t out, std::size_t input,
                          std::size_t offset) {
    const float score = magnitude.Of(values[offset], group * outs + out, input);
    if (!std::isfinite(score)) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("layer '{}' has a weight that is {}: element {} of '{}'", layer.name,
                              values[offset], offset, layer.weight));
    }
    scores_[row * inputs_ + input] = score;
    if (out == 0) {
      channel_[group * inputs_ + input] =
          tensor.channels[IndexAlong(stored.dims(), tensor.axes, offset)];
    }
  });
}

std::vector<Window> Consumer::Windows() const {
  const auto m = static_cast<std::size_t>(nm_.m);
  std::vector<Window> windows;
  for (std::size_t g = 0; g < groups(); ++g) {
    for (std::size_t first = 0; first + m <= inputs_; first += m) {
      Window window(m);
      for (std::size_t i = 0; i < m; ++i) window[i] = ChannelAt(g, first + i);
      windows.push_back(std::move(window));
    }
  }
  return windows;
}

double Consumer::Total() const { return std::accumulate(scores_.begin(), scores_.end(), 0.0); }

double Consumer::Kept(std::span<const std::uint32_t> takes) const {
  // from[group][input]: the input of the same group whose weights come here. Copies of a channel
  // are matched in their order, as in the tensors.
  std::vector<std::size_t> from(channel_.size());
  for (std::size_t g = 0; g < groups(); ++g) {
    std::map<std::uint32_t, std::vector<std::size_t>> inputs_of;
    for (std::size_t i = 0; i < inputs_; ++i) inputs_of[ChannelAt(g, i)].push_back(i);
    std::map<std::uint32_t, std::size_t> copies;
    for (std::size_t i = 0; i < inputs_; ++i) {
      const std::uint32_t channel = ChannelAt(g, i);
      const std::size_t copy = copies[channel]++;
      from[g * inputs_ + i] = channel == kNoChannel ? i : inputs_of.at(takes[channel]).at(copy);
    }
  }
  const auto m = static_cast<std::size_t>(nm_.m);
  const auto n = static_cast<std::size_t>(nm_.n);
  double kept = 0;
  std::vector<float> window;
  for (std::size_t row = 0; row < rows(); ++row) {
    const float* const scores = scores_.data() + row * inputs_;
    const std::size_t* const of_group = from.data() + row / RowsOfGroup() * inputs_;
    for (std::size_t first = 0; first < inputs_; first += m) {
      window.clear();
      for (std::size_t i = first; i < std::min(inputs_, first + m); ++i) {
        window.push_back(scores[of_group[i]]);
      }
      std::ranges::sort(window, std::greater<>());
      const std::size_t count = std::min(n, window.size());
      for (std::size_t i = 0; i < count; ++i) kept += static_cast<double>(window[i]);
    }
  }
  return kept;
}

std::size_t Consumer::AppendColumns(std::span<const std::uint32_t> channels,
                                    std::vector<float>* scores) const {
  std::size_t count = 0;
  for (std::size_t g = 0; g < groups(); ++g) {
    std::map<std::uint32_t, std::size_t> input_of;
    for (std::size_t i = 0; i < inputs_; ++i) input_of.emplace(ChannelAt(g, i), i);
    if (!input_of.contains(channels[0])) continue;
    std::vector<std::size_t> inputs;
    for (const std::uint32_t channel : channels) inputs.push_back(input_of.at(channel));
    for (std::size_t row = g * RowsOfGroup(); row < (g + 1) * RowsOfGroup(); ++row) {
      for (const std::size_t input : inputs) scores->push_back(scores_[row * inputs_ + input]);
    }
    count += RowsOfGroup();
  }
  return count;
}

}  // namespace espalier::internal
