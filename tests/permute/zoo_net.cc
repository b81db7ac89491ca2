#include "tests/permute/zoo_net.h"

#include <cmath>
#include <utility>

#include "espalier/base/random.h"

namespace espalier::testing {

ZooNet::ZooNet(std::string name) : name_(std::move(name)) {
  builder_.graph().opsets[""] = 21;  // From here on GroupNormalization scales channels, not groups.
}

std::string ZooNet::Input(Dims dims, const std::string& name) {
  builder_.Input(name, std::move(dims));
  return name;
}

std::string ZooNet::Store(Tensor tensor) {
  std::string name = fmt::format("const_{}", constants_++);
  builder_.Constant(name, std::move(tensor));
  return name;
}

std::string ZooNet::Uniform(const Dims& dims, double low, double high) {
  std::int64_t count = 1;
  for (const std::int64_t dim : dims) count *= dim;
  const std::uint64_t seed = SeedFor(static_cast<std::uint64_t>(constants_), name_);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double unit = static_cast<double>(RandomAt(seed, i) >> 11) * 0x1p-53;
    values[i] = static_cast<float>(low + (high - low) * unit);
  }
  return Store(TensorOf(DType::kFloat32, dims, values));
}

std::string ZooNet::Weight(const Dims& dims, std::int64_t fan_in) {
  // Uniform in [-a, a) has the variance a^2 / 3; twice as much for what Relu takes away.
  const double limit = std::sqrt(6.0 / static_cast<double>(fan_in));
  return Uniform(dims, -limit, limit);
}

std::string ZooNet::Float(float value) {
  return Store(TensorOf(DType::kFloat32, {}, std::vector<float>{value}));
}

std::vector<std::string> ZooNet::Ops(const std::string& op, std::vector<std::string> inputs,
                                     int outputs, Attributes attributes) {
  std::vector<std::string> names;
  for (int i = 0; i < outputs; ++i) names.push_back(fmt::format("{}_{}", op, values_++));
  builder_.Add(op, std::move(inputs), names, std::move(attributes));
  return names;
}

std::string ZooNet::Op(const std::string& op, std::vector<std::string> inputs,
                       Attributes attributes) {
  return Ops(op, std::move(inputs), 1, std::move(attributes))[0];
}

std::string ZooNet::Gelu(const std::string& x) {
  const std::string erf = Op("Erf", {Op("Div", {x, Float(std::sqrt(2.0F))})});
  return Mul(Mul(x, Add(erf, Float(1))), Float(0.5F));
}

std::string ZooNet::Conv(const std::string& x, std::int64_t in, std::int64_t out, ConvShape shape) {
  const std::int64_t terms = in / shape.group, pad = shape.kernel / 2;
  const std::string weight =
      Weight({out, terms, shape.kernel, shape.kernel}, terms * shape.kernel * shape.kernel);
  return Op("Conv", {x, weight, Bias(out)},
            {{"pads", Nums({pad, pad, pad, pad})},
             {"strides", Nums({shape.stride, shape.stride})},
             {"group", Num(shape.group)}});
}

std::string ZooNet::ConvBy(const std::string& x, const std::string& weight) {
  return Op("Conv", {x, weight}, {{"pads", Nums({1, 1, 1, 1})}});
}

std::string ZooNet::BatchNorm(const std::string& x, std::int64_t channels) {
  return Op("BatchNormalization", {x, Uniform({channels}, 0.5, 1.5), Uniform({channels}, -0.5, 0.5),
                                   Uniform({channels}, -0.5, 0.5), Uniform({channels}, 0.5, 2)});
}

std::string ZooNet::ConvBnRelu(const std::string& x, std::int64_t in, std::int64_t out,
                               ConvShape shape) {
  return Relu(BatchNorm(Conv(x, in, out, shape), out));
}

std::string ZooNet::PRelu(const std::string& x, std::int64_t channels) {
  return Op("PRelu", {x, Uniform({channels, 1, 1}, -1, 1)});
}

std::string ZooNet::Linear(const std::string& x, std::int64_t in, std::int64_t out) {
  return Add(Op("MatMul", {x, Weight({in, out}, in)}), Bias(out));
}

std::string ZooNet::Gemm(const std::string& x, std::int64_t in, std::int64_t out, bool transposed) {
  const std::string weight = Weight(transposed ? Dims{out, in} : Dims{in, out}, in);
  return Op("Gemm", {x, weight, Bias(out)}, {{"transB", Num(transposed ? 1 : 0)}});
}

std::string ZooNet::LayerNorm(const std::string& x, std::int64_t channels) {
  return Op("LayerNormalization",
            {x, Uniform({channels}, 0.5, 1.5), Uniform({channels}, -0.5, 0.5)},
            {{"axis", Num(-1)}});
}

std::string ZooNet::Reshape(const std::string& x, const Dims& dims) {
  return Op("Reshape", {x, Ints(dims)});
}

std::string ZooNet::Transpose(const std::string& x, Dims order) {
  return Op("Transpose", {x}, {{"perm", Nums(std::move(order))}});
}

std::string ZooNet::Concat(std::vector<std::string> parts, std::int64_t axis) {
  return Op("Concat", std::move(parts), {{"axis", Num(axis)}});
}

std::vector<std::string> ZooNet::Split(const std::string& x, const Dims& sizes, std::int64_t axis) {
  return Ops("Split", {x, Ints(sizes)}, static_cast<int>(sizes.size()), {{"axis", Num(axis)}});
}

std::string ZooNet::Slice(const std::string& x, std::int64_t from, std::int64_t to,
                          std::int64_t axis) {
  return Op("Slice", {x, Ints({from}), Ints({to}), Ints({axis})});
}

std::string ZooNet::Reduce(const std::string& op, const std::string& x, const Dims& axes) {
  return Op(op, {x, Ints(axes)}, {{"keepdims", Num(1)}});
}

std::string ZooNet::MaxPool(const std::string& x, std::int64_t kernel, std::int64_t stride) {
  const std::int64_t pad = (kernel - 1) / 2;
  return Op("MaxPool", {x},
            {{"kernel_shape", Nums({kernel, kernel})},
             {"pads", Nums({pad, pad, pad, pad})},
             {"strides", Nums({stride, stride})}});
}

std::string ZooNet::ToFloat(const std::string& x) {
  return Op("Cast", {x}, {{"to", Num(1)}});  // 1: FLOAT
}

ZooGraph ZooNet::Done(const std::string& value, bool moves, std::string reason) {
  builder_.Add("Identity", {value}, {"y"}).Output("y");
  return {name_, builder_.graph(), moves, std::move(reason)};
}

}  // namespace espalier::testing
