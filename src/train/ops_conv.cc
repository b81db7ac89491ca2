#include <fmt/format.h>

#include <algorithm>

#include "espalier/base/error.h"
#include "train/op_table.h"

namespace espalier::train {
namespace {

struct Window {
  std::vector<std::int64_t> strides, dilations, pads;
  std::int64_t groups = 1;
};

Window ReadWindow(const OpCall& call, const at::Tensor& x, const at::Tensor& w) {
  const at::IntArrayRef sizes = SpatialSizes(call, x);
  const std::size_t rank = sizes.size();
  const std::vector<std::int64_t> ones(rank, 1);
  Window window{call.Ints("strides", ones), call.Ints("dilations", ones), {}, call.Int("group", 1)};
  window.pads = WindowPads(call, sizes, SpatialSizes(call, w), window.strides, window.dilations);
  return window;
}

std::vector<std::int64_t> Begins(const std::vector<std::int64_t>& pads) {
  return {pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(pads.size() / 2)};
}

Outputs Conv(const OpCall& call) {
  at::Tensor x = call.inputs[0];
  const at::Tensor& w = call.inputs[1];
  Window window = ReadWindow(call, x, w);
  if (!SymmetricPads(window.pads)) {
    x = at::constant_pad_nd(x, TorchPads(window.pads));
    std::fill(window.pads.begin(), window.pads.end(), 0);
  }
  return {at::convolution(x, w, call.In(2), window.strides, Begins(window.pads), window.dilations,
                          /*transposed=*/false, std::vector<std::int64_t>(window.strides.size(), 0),
                          window.groups)};
}

// Pads that make the result `output_shape` long, the odd one where auto_pad says.
void FitOutputShape(const OpCall& call, const at::Tensor& x, const at::Tensor& w,
                    at::IntArrayRef extra, Window* window) {
  const std::string automatic = call.Text("auto_pad", "NOTSET");
  const std::size_t rank = window->strides.size();
  std::vector<std::int64_t> shape = call.Ints("output_shape");
  if (shape.empty() && automatic.starts_with("SAME")) {
    for (std::size_t i = 0; i < rank; ++i) shape.push_back(x.size(i + 2) * window->strides[i]);
  }
  if (shape.empty()) return;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t reach = (w.size(i + 2) - 1) * window->dilations[i] + 1;
    const std::int64_t total = window->strides[i] * (x.size(i + 2) - 1) + extra[i] + reach -
                               shape[shape.size() - rank + i];
    const std::int64_t half = total / 2;
    window->pads[i] = automatic == "SAME_UPPER" ? half : total - half;
    window->pads[rank + i] = total - window->pads[i];
  }
}

Outputs ConvTranspose(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const at::Tensor& w = call.inputs[1];
  Window window = ReadWindow(call, x, w);
  const std::size_t rank = window.strides.size();
  if (call.Text("auto_pad", "NOTSET") != "NOTSET") window.pads.assign(2 * rank, 0);
  const auto extra = call.Ints("output_padding", std::vector<std::int64_t>(rank, 0));
  const std::size_t shape = call.Ints("output_shape").size();
  if (extra.size() != rank || (shape != 0 && shape < rank))
    ThrowMalformed(call.node, "has output_padding or output_shape for other axes");
  FitOutputShape(call, x, w, extra, &window);
  // torch takes one pad an axis and an output padding below the stride: the whole result is
  // computed and cut, which says every pair of pads, negative ones too.
  const std::vector<std::int64_t> none(rank, 0);
  at::Tensor y = at::convolution(x, w, call.In(2), window.strides, none, window.dilations,
                                 /*transposed=*/true, extra, window.groups);
  std::vector<std::int64_t> cut = TorchPads(window.pads);
  if (std::all_of(cut.begin(), cut.end(), [](std::int64_t pad) { return pad == 0; })) return {y};
  for (std::int64_t& pad : cut) pad = -pad;
  return {at::constant_pad_nd(y, cut)};
}

constexpr OpEntry kOps[] = {
    {"Conv", &Conv},
    {"ConvTranspose", &ConvTranspose},
};

}  // namespace

std::span<const OpEntry> ConvOps() { return kOps; }

}  // namespace espalier::train
