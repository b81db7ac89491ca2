#include <algorithm>
#include <limits>

#include "train/op_table.h"

namespace espalier::train {
namespace {

struct Window {
  std::vector<std::int64_t> kernel, strides, dilations, pads;
  std::vector<std::int64_t> ends;    // pads behind, with what rounding up needs
  std::vector<std::int64_t> native;  // what torch is told of the pads, zeros if x is padded first
  bool pads_first = false;
};

// ONNX rounds up only where a window begins inside the input or the pad before it; so do we, by
// padding behind, since torch cannot pad the two ends differently.
Window ReadWindow(const OpCall& call, const at::Tensor& x) {
  const at::IntArrayRef sizes = SpatialSizes(call, x);
  const std::size_t rank = sizes.size();
  const std::vector<std::int64_t> ones(rank, 1);
  Window window{call.Ints("kernel_shape"),
                call.Ints("strides", ones),
                call.Ints("dilations", ones),
                {},
                {},
                {}};
  window.pads = WindowPads(call, sizes, window.kernel, window.strides, window.dilations);
  const bool up = call.Int("ceil_mode", 0) != 0;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t size = x.size(static_cast<std::int64_t>(i) + 2);
    const std::int64_t reach = (window.kernel[i] - 1) * window.dilations[i] + 1;
    const std::int64_t room = size + window.pads[i] + window.pads[rank + i] - reach;
    std::int64_t last = room / window.strides[i];
    if (up && room % window.strides[i] != 0 &&
        (last + 1) * window.strides[i] < size + window.pads[i])
      ++last;
    window.ends.push_back(last * window.strides[i] + reach - size - window.pads[i]);
  }
  window.pads_first = up || !SymmetricPads(window.pads);
  for (std::size_t i = 0; i < rank; ++i) {
    // torch takes no pad of more than half a window.
    window.pads_first = window.pads_first || 2 * window.pads[i] > window.kernel[i];
  }
  window.native.assign(window.pads.begin(),
                       window.pads.begin() + static_cast<std::ptrdiff_t>(rank));
  if (window.pads_first) window.native.assign(rank, 0);
  return window;
}

at::Tensor Padded(const at::Tensor& x, const Window& window, double value) {
  std::vector<std::int64_t> pads(
      window.pads.begin(), window.pads.begin() + static_cast<std::ptrdiff_t>(window.ends.size()));
  pads.insert(pads.end(), window.ends.begin(), window.ends.end());
  for (const std::int64_t pad : pads) {
    if (pad != 0) return at::constant_pad_nd(x, TorchPads(pads), value);
  }
  return x;
}

Outputs MaxPool(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const Window window = ReadWindow(call, x);
  const at::Tensor padded =
      window.pads_first ? Padded(x, window, -std::numeric_limits<double>::infinity()) : x;
  switch (window.kernel.size()) {
    case 1:
      return {
          at::max_pool1d(padded, window.kernel, window.strides, window.native, window.dilations)};
    case 2:
      return {
          at::max_pool2d(padded, window.kernel, window.strides, window.native, window.dilations)};
    default:
      return {
          at::max_pool3d(padded, window.kernel, window.strides, window.native, window.dilations)};
  }
}

at::Tensor PlainAverage(const at::Tensor& x, const Window& w, bool count_pads) {
  switch (w.kernel.size()) {
    case 1:
      return at::avg_pool1d(x, w.kernel, w.strides, w.native, false, count_pads);
    case 2:
      return at::avg_pool2d(x, w.kernel, w.strides, w.native, false, count_pads);
    default:
      return at::avg_pool3d(x, w.kernel, w.strides, w.native, false, count_pads);
  }
}

Outputs AveragePool(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const Window window = ReadWindow(call, x);
  const bool count_pads = call.Int("count_include_pad", 0) != 0;
  if (!window.pads_first) return {PlainAverage(x, window, count_pads)};
  const at::Tensor mean = PlainAverage(Padded(x, window, 0), window, true);
  // Shares of each window that count: 1 inside, and in the pads that the file states if it says so.
  at::Tensor counted = at::ones_like(x.detach()).slice(0, 0, 1).slice(1, 0, 1);
  Window behind = window;
  if (count_pads) {
    counted = at::constant_pad_nd(counted, TorchPads(window.pads), 1);
    for (std::size_t i = 0; i < window.ends.size(); ++i) {
      behind.ends[i] -= window.pads[window.ends.size() + i];
      behind.pads[i] = 0;
    }
  }
  const at::Tensor padded = Padded(counted, behind, 0);
  if (padded.is_same(counted)) return {mean};
  return {mean / PlainAverage(padded, window, true)};
}

std::string RefuseDilatedAverage(const Node& node) {
  const auto dilations = IntsAttribute(node, "dilations", {});
  const bool plain = dilations && std::all_of(dilations->begin(), dilations->end(),
                                              [](std::int64_t dilation) { return dilation == 1; });
  return plain ? "" : "windows with dilations";
}

std::string RefuseIndices(const Node& node) {
  return node.outputs.size() > 1 && !node.outputs[1].empty() ? "its second output, the indices"
                                                             : "";
}

std::vector<std::int64_t> SpatialAxes(const at::Tensor& x) {
  std::vector<std::int64_t> axes;
  for (std::int64_t axis = 2; axis < x.dim(); ++axis) axes.push_back(axis);
  return axes;
}

Outputs GlobalAveragePool(const OpCall& call) {
  return {call.inputs[0].mean(SpatialAxes(call.inputs[0]), /*keepdim=*/true)};
}

Outputs GlobalMaxPool(const OpCall& call) {
  return {at::amax(call.inputs[0], SpatialAxes(call.inputs[0]), /*keepdim=*/true)};
}

constexpr OpEntry kOps[] = {
    {"MaxPool", &MaxPool, &RefuseIndices},
    {"AveragePool", &AveragePool, &RefuseDilatedAverage},
    {"GlobalAveragePool", &GlobalAveragePool},
    {"GlobalMaxPool", &GlobalMaxPool},
};

}  // namespace

std::span<const OpEntry> PoolOps() { return kOps; }

}  // namespace espalier::train
