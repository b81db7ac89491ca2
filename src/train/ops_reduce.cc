#include <numeric>

#include "train/op_table.h"

namespace espalier::train {
namespace {

struct Axes {
  std::vector<std::int64_t> axes;
  bool keep = true;
  bool none = false;  // an empty list that means: leave x as it is
};

Axes ReadAxes(const OpCall& call) {
  Axes read;
  read.keep = call.Int("keepdims", 1) != 0;
  read.axes = call.IntsAt(1, "axes").value_or(std::vector<std::int64_t>{});
  if (!read.axes.empty()) return read;
  read.none = call.Int("noop_with_empty_axes", 0) != 0;
  read.axes.resize(static_cast<std::size_t>(call.inputs[0].dim()));
  std::iota(read.axes.begin(), read.axes.end(), 0);
  return read;
}

at::Tensor SumOf(const at::Tensor& x, const Axes& axes) {
  return axes.axes.empty() ? x : x.sum(axes.axes, axes.keep);
}
at::Tensor MeanOf(const at::Tensor& x, const Axes& axes) {
  return axes.axes.empty() ? x : x.mean(axes.axes, axes.keep);
}
at::Tensor MaxOf(const at::Tensor& x, const Axes& axes) { return x.amax(axes.axes, axes.keep); }
at::Tensor MinOf(const at::Tensor& x, const Axes& axes) { return x.amin(axes.axes, axes.keep); }
at::Tensor L1Of(const at::Tensor& x, const Axes& axes) { return SumOf(x.abs(), axes); }
at::Tensor SumSquareOf(const at::Tensor& x, const Axes& axes) { return SumOf(x * x, axes); }
at::Tensor L2Of(const at::Tensor& x, const Axes& axes) { return SumSquareOf(x, axes).sqrt(); }
at::Tensor LogSumOf(const at::Tensor& x, const Axes& axes) { return SumOf(x, axes).log(); }
at::Tensor LogSumExpOf(const at::Tensor& x, const Axes& axes) {
  return at::logsumexp(x, axes.axes, axes.keep);
}

at::Tensor ProductOf(const at::Tensor& x, const Axes& axes) {
  at::Tensor product = x;
  for (const std::int64_t axis : axes.axes) product = product.prod(axis, /*keepdim=*/true);
  if (axes.keep) return product;
  return product.reshape(SumOf(x.detach(), axes).sizes());
}

template <at::Tensor (*kReduce)(const at::Tensor&, const Axes&)>
Outputs Reduce(const OpCall& call) {
  const Axes axes = ReadAxes(call);
  return {axes.none ? call.inputs[0] : kReduce(call.inputs[0], axes)};
}

// torch gives the first of equal values, ONNX too unless the file asks for the last.
template <at::Tensor (*kPlace)(const at::Tensor&, std::int64_t, bool)>
Outputs Place(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t axis = call.Int("axis", 0);
  const bool keep = call.Int("keepdims", 1) != 0;
  if (call.Int("select_last_index", 0) == 0) return {kPlace(x, axis, keep)};
  return {x.size(axis) - 1 - kPlace(x.flip(axis), axis, keep)};
}

at::Tensor ArgMax(const at::Tensor& x, std::int64_t axis, bool keep) {
  return at::argmax(x, axis, keep);
}
at::Tensor ArgMin(const at::Tensor& x, std::int64_t axis, bool keep) {
  return at::argmin(x, axis, keep);
}

constexpr OpEntry kOps[] = {
    {"ReduceMean", &Reduce<&MeanOf>},
    {"ReduceSum", &Reduce<&SumOf>},
    {"ReduceMax", &Reduce<&MaxOf>},
    {"ReduceMin", &Reduce<&MinOf>},
    {"ReduceProd", &Reduce<&ProductOf>},
    {"ReduceL1", &Reduce<&L1Of>},
    {"ReduceL2", &Reduce<&L2Of>},
    {"ReduceSumSquare", &Reduce<&SumSquareOf>},
    {"ReduceLogSum", &Reduce<&LogSumOf>},
    {"ReduceLogSumExp", &Reduce<&LogSumExpOf>},
    {"ArgMax", &Place<&ArgMax>, nullptr, false},
    {"ArgMin", &Place<&ArgMin>, nullptr, false},
};

}  // namespace

std::span<const OpEntry> ReduceOps() { return kOps; }

}  // namespace espalier::train
