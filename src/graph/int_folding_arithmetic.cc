#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "graph/int_folding.h"

// Operators that compute: overflow, division by zero and unknown operands give unknown elements.
namespace espalier::shapes {
namespace {

using Tensors = std::vector<SmallTensor>;
using MaybeInt = std::optional<std::int64_t>;
using IntOp = MaybeInt (*)(std::int64_t a, std::int64_t b);
using FloatOp = double (*)(double a, double b);

// Integers of other widths wrap around at run time; here they become unknown.
std::int64_t Fitted(DType dtype, MaybeInt value) {
  if (!value) return kUnknownInt;
  const bool is_signed = dtype == DType::kInt8 || dtype == DType::kInt16 || dtype == DType::kInt32;
  const std::size_t bits = dtype == DType::kBool ? 1 : DTypeBits(dtype);
  if (bits >= 64) return *value;
  const std::int64_t high = (std::int64_t{1} << (is_signed ? bits - 1 : bits)) - 1;
  const std::int64_t low = is_signed ? -high - 1 : 0;
  return *value < low || *value > high ? kUnknownInt : *value;
}

double Fitted(DType dtype, double value) {
  return dtype == DType::kFloat32 ? static_cast<double>(static_cast<float>(value)) : value;
}

MaybeInt AddInts(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  return __builtin_add_overflow(a, b, &out) ? MaybeInt() : out;
}
MaybeInt SubInts(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  return __builtin_sub_overflow(a, b, &out) ? MaybeInt() : out;
}
MaybeInt MulInts(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  return __builtin_mul_overflow(a, b, &out) ? MaybeInt() : out;
}
MaybeInt DivInts(std::int64_t a, std::int64_t b) {
  if (b == -1) return SubInts(0, a);
  return b == 0 ? MaybeInt() : a / b;
}
MaybeInt TruncatedMod(std::int64_t a, std::int64_t b) {
  if (b == 0 || b == -1) return b == 0 ? MaybeInt() : 0;
  return a % b;
}
MaybeInt FlooredMod(std::int64_t a, std::int64_t b) {
  const MaybeInt rest = TruncatedMod(a, b);
  return rest && *rest != 0 && (*rest < 0) != (b < 0) ? *rest + b : rest;
}
MaybeInt MinInts(std::int64_t a, std::int64_t b) { return std::min(a, b); }
MaybeInt MaxInts(std::int64_t a, std::int64_t b) { return std::max(a, b); }
MaybeInt AndInts(std::int64_t a, std::int64_t b) { return a != 0 && b != 0; }
MaybeInt OrInts(std::int64_t a, std::int64_t b) { return a != 0 || b != 0; }
MaybeInt XorInts(std::int64_t a, std::int64_t b) { return (a != 0) != (b != 0); }

double AddFloats(double a, double b) { return a + b; }
double SubFloats(double a, double b) { return a - b; }
double MulFloats(double a, double b) { return a * b; }
double DivFloats(double a, double b) { return a / b; }
double MinFloats(double a, double b) { return a + b != a + b ? std::nan("") : std::min(a, b); }
double MaxFloats(double a, double b) { return a + b != a + b ? std::nan("") : std::max(a, b); }
double Unknown(double, double) { return std::nan(""); }

// Two tensors stretched to one shape; nothing if they do not fit or are of different types.
std::optional<std::pair<SmallTensor, SmallTensor>> Stretched(const SmallTensor* a,
                                                             const SmallTensor* b) {
  if (a == nullptr || b == nullptr || a->dtype != b->dtype) return std::nullopt;
  const Shape dims = Broadcast(a->dims, b->dims);
  if (!dims || !IsSmall(*dims)) return std::nullopt;
  return std::pair(Pick(*a, *dims, BroadcastPositions(a->dims, *dims)),
                   Pick(*b, *dims, BroadcastPositions(b->dims, *dims)));
}

SmallTensor Combined(const SmallTensor& a, const SmallTensor& b, IntOp ints, FloatOp floats) {
  SmallTensor out{a.dtype, a.dims, {}, {}};
  for (std::size_t i = 0; i < a.ints.size(); ++i) {
    const bool known = a.ints[i] != kUnknownInt && b.ints[i] != kUnknownInt;
    out.ints.push_back(Fitted(a.dtype, known ? ints(a.ints[i], b.ints[i]) : MaybeInt()));
  }
  for (std::size_t i = 0; i < a.floats.size(); ++i) {
    out.floats.push_back(Fitted(a.dtype, floats(a.floats[i], b.floats[i])));
  }
  return out;
}

// Add ... Xor, and Min, Max, Sum with any number of inputs.
template <IntOp ints, FloatOp floats>
Tensors Arithmetic(const NodeView& view) {
  // Before opset 7 `broadcast` lined up axes in another way.
  if (view.Elements(0) == nullptr || view.HasAttribute("broadcast")) return {};
  SmallTensor out = *view.Elements(0);
  for (std::size_t i = 1; i < view.InputCount(); ++i) {
    const auto pair = Stretched(&out, view.Elements(i));
    if (!pair) return {};
    out = Combined(pair->first, pair->second, ints, floats);
  }
  return {out};
}

Tensors Mod(const NodeView& view) {
  return view.Int("fmod", 0) == 0 ? Arithmetic<&FlooredMod, &Unknown>(view)
                                  : Arithmetic<&TruncatedMod, &std::fmod>(view);
}

template <class Compare>
Tensors Comparison(const NodeView& view) {
  const auto pair = Stretched(view.Elements(0), view.Elements(1));
  if (!pair || view.HasAttribute("broadcast")) return {};
  const auto& [a, b] = *pair;
  SmallTensor out{DType::kBool, a.dims, {}, {}};
  for (std::size_t i = 0; i < a.ints.size(); ++i) {
    const bool known = a.ints[i] != kUnknownInt && b.ints[i] != kUnknownInt;
    out.ints.push_back(known ? Compare()(a.ints[i], b.ints[i]) : kUnknownInt);
  }
  for (std::size_t i = 0; i < a.floats.size(); ++i) {
    const bool known = !std::isnan(a.floats[i]) && !std::isnan(b.floats[i]);
    out.ints.push_back(known ? Compare()(a.floats[i], b.floats[i]) : kUnknownInt);
  }
  return {out};
}

Tensors Where(const NodeView& view) {
  const SmallTensor* condition = view.Elements(0);
  const auto pair = Stretched(view.Elements(1), view.Elements(2));
  if (condition == nullptr || condition->IsFloat() || !pair) return {};
  const auto& [yes, no] = *pair;
  const Shape dims = Broadcast(condition->dims, yes.dims);
  if (!dims || !IsSmall(*dims)) return {};
  const SmallTensor which = Pick(*condition, *dims, BroadcastPositions(condition->dims, *dims));
  const auto from = BroadcastPositions(yes.dims, *dims);
  SmallTensor out{yes.dtype, *dims, {}, {}};
  for (std::size_t i = 0; i < from.size(); ++i) {
    const bool known = which.ints[i] != kUnknownInt;
    const SmallTensor& side = which.ints[i] != 0 ? yes : no;
    if (out.IsFloat()) {
      out.floats.push_back(known ? side.floats[from[i]] : std::nan(""));
    } else {
      out.ints.push_back(known ? side.ints[from[i]] : kUnknownInt);
    }
  }
  return {out};
}

MaybeInt NegInt(std::int64_t a, std::int64_t) { return SubInts(0, a); }
MaybeInt AbsInt(std::int64_t a, std::int64_t) { return a < 0 ? SubInts(0, a) : a; }
MaybeInt NotInt(std::int64_t a, std::int64_t) { return a == 0; }
MaybeInt NoInt(std::int64_t, std::int64_t) { return std::nullopt; }
double NegFloat(double a, double) { return -a; }
double AbsFloat(double a, double) { return std::fabs(a); }
double CeilFloat(double a, double) { return std::ceil(a); }
double FloorFloat(double a, double) { return std::floor(a); }
double SqrtFloat(double a, double) { return a < 0 ? std::nan("") : std::sqrt(a); }

template <IntOp ints, FloatOp floats>
Tensors Unary(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  if (input == nullptr) return {};
  return {Combined(*input, *input, ints, floats)};
}

// TensorProto.DataType of the types that are followed.
DType CastTarget(const NodeView& view) {
  switch (view.Int("to", 0).value_or(0)) {
    case 1:
      return DType::kFloat32;
    case 6:
      return DType::kInt32;
    case 7:
      return DType::kInt64;
    case 9:
      return DType::kBool;
    case 11:
      return DType::kFloat64;
    default:
      return DType::kUnknown;
  }
}

MaybeInt Truncated(double value) {
  // 2^62 is far above every shape, and below it the conversion is defined.
  if (!(std::fabs(value) < 0x1p62)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

Tensors Cast(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  SmallTensor out;
  out.dtype = CastTarget(view);
  if (input == nullptr || out.dtype == DType::kUnknown) return {};
  out.dims = input->dims;
  for (const std::int64_t value : input->ints) {
    const bool known = value != kUnknownInt;
    if (out.IsFloat()) {
      out.floats.push_back(known ? Fitted(out.dtype, static_cast<double>(value)) : std::nan(""));
    } else if (out.dtype == DType::kBool) {
      out.ints.push_back(known ? value != 0 : kUnknownInt);
    } else {
      out.ints.push_back(Fitted(out.dtype, known ? MaybeInt(value) : MaybeInt()));
    }
  }
  for (const double value : input->floats) {
    if (out.IsFloat()) {
      out.floats.push_back(Fitted(out.dtype, value));
    } else if (out.dtype == DType::kBool) {
      out.ints.push_back(std::isnan(value) ? kUnknownInt : value != 0);
    } else {
      out.ints.push_back(Fitted(out.dtype, Truncated(value)));
    }
  }
  return {out};
}

template <IntOp combine>
Tensors ReduceInts(const NodeView& view) {
  const SmallTensor* input = view.Elements(0);
  if (input == nullptr || input->IsFloat() || input->ints.empty()) return {};
  const auto dropped = ReducedAxes(view, input->dims.size());
  const auto shapes = FindRule(view.node())(view);
  if (!dropped || shapes.empty() || !shapes[0]) return {};
  Dims kept = input->dims;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if ((*dropped)[i]) kept[i] = 1;
  }
  SmallTensor out{input->dtype, *shapes[0], {}, {}};
  std::vector<bool> begun(static_cast<std::size_t>(*KnownElements(kept)));
  out.ints.resize(begun.size());
  const auto targets = BroadcastPositions(kept, input->dims);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    std::int64_t& sum = out.ints[targets[i]];
    const std::int64_t value = input->ints[i];
    if (!begun[targets[i]]) {
      sum = value;
    } else if (sum != kUnknownInt) {
      sum = value == kUnknownInt ? kUnknownInt : Fitted(out.dtype, combine(sum, value));
    }
    begun[targets[i]] = true;
  }
  return {out};
}

Tensors Range(const NodeView& view) {
  const auto start = view.OneInt(0);
  const auto step = view.OneInt(2);
  const std::int64_t count = RangeCount(view);
  if (!start || !step || count < 0 || count > kMaxElements) return {};
  SmallTensor out{view.Elements(0)->dtype, {count}, {}, {}};
  for (std::int64_t i = 0; i < count; ++i) {
    const MaybeInt offset = MulInts(i, *step);
    out.ints.push_back(Fitted(out.dtype, offset ? AddInts(*start, *offset) : MaybeInt()));
  }
  return {out};
}

constexpr FoldEntry kFolds[] = {
    {"Abs", &Unary<&AbsInt, &AbsFloat>},
    {"Add", &Arithmetic<&AddInts, &AddFloats>},
    {"And", &Arithmetic<&AndInts, &Unknown>},
    {"Cast", &Cast},
    {"Ceil", &Unary<&NoInt, &CeilFloat>},
    {"Div", &Arithmetic<&DivInts, &DivFloats>},
    {"Equal", &Comparison<std::equal_to<>>},
    {"Floor", &Unary<&NoInt, &FloorFloat>},
    {"Greater", &Comparison<std::greater<>>},
    {"GreaterOrEqual", &Comparison<std::greater_equal<>>},
    {"Less", &Comparison<std::less<>>},
    {"LessOrEqual", &Comparison<std::less_equal<>>},
    {"Max", &Arithmetic<&MaxInts, &MaxFloats>},
    {"Min", &Arithmetic<&MinInts, &MinFloats>},
    {"Mod", &Mod},
    {"Mul", &Arithmetic<&MulInts, &MulFloats>},
    {"Neg", &Unary<&NegInt, &NegFloat>},
    {"Not", &Unary<&NotInt, &Unknown>},
    {"Or", &Arithmetic<&OrInts, &Unknown>},
    {"Range", &Range},
    {"ReduceMax", &ReduceInts<&MaxInts>},
    {"ReduceMin", &ReduceInts<&MinInts>},
    {"ReduceProd", &ReduceInts<&MulInts>},
    {"ReduceSum", &ReduceInts<&AddInts>},
    {"Sqrt", &Unary<&NoInt, &SqrtFloat>},
    {"Sub", &Arithmetic<&SubInts, &SubFloats>},
    {"Sum", &Arithmetic<&AddInts, &AddFloats>},
    {"Where", &Where},
    {"Xor", &Arithmetic<&XorInts, &Unknown>},
};

}  // namespace

std::span<const FoldEntry> ArithmeticFolds() { return kFolds; }

}  // namespace espalier::shapes
