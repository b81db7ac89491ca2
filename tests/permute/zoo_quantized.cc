#include <cmath>

#include "espalier/base/random.h"
#include "tests/permute/zoo_net.h"

namespace espalier::testing {
namespace {

const Dims kImage = {2, 4, 6, 6};

std::string Bytes(ZooNet* net, const Dims& dims, int limit, std::uint64_t seed) {
  std::int64_t count = 1;
  for (const std::int64_t dim : dims) count *= dim;
  std::vector<std::int8_t> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto random = static_cast<int>(RandomAt(seed, i) >> 40);
    values[i] = static_cast<std::int8_t>(random % (2 * limit + 1) - limit);
  }
  return net->Store(TensorOf(DType::kInt8, dims, values));
}

// An int8 weight with a scale and a zero point for each index of `axis`; the scales are for unit
// variance after `fan_in` terms.
std::string Int8Weight(ZooNet* net, const Dims& dims, std::int64_t axis, std::int64_t fan_in) {
  const std::int64_t channels = dims[axis];
  const double step = 2.5 / 127 / std::sqrt(static_cast<double>(fan_in));
  const auto seed = static_cast<std::uint64_t>(fan_in * 100 + channels);
  return net->Op("DequantizeLinear",
                 {Bytes(net, dims, 127, seed), net->Uniform({channels}, 0.5 * step, 1.5 * step),
                  Bytes(net, {channels}, 9, seed + 1)},
                 {{"axis", Num(axis)}});
}

std::string Int8Conv(ZooNet* net, const std::string& x, std::int64_t in, std::int64_t out,
                     std::int64_t axis = 0) {
  const std::string weight = Int8Weight(net, {out, in, 3, 3}, axis, in * 9);
  return net->Op("Conv", {x, weight, net->Bias(out)}, {{"pads", Nums({1, 1, 1, 1})}});
}

// Through uint8 and back; one scale for all, or one for each channel. The zero points leave too
// little room above for the largest values: without clipping they would cancel.
std::string ThroughBytes(ZooNet* net, const std::string& x, std::int64_t channels = 0) {
  std::string scale = net->Float(0.04F);
  std::string zero = net->Store(TensorOf(DType::kUint8, {}, std::vector<std::uint8_t>{100}));
  if (channels != 0) {
    std::vector<std::uint8_t> zeros(static_cast<std::size_t>(channels));
    for (std::size_t i = 0; i < zeros.size(); ++i)
      zeros[i] = static_cast<std::uint8_t>(150 + 5 * i);
    zero = net->Store(TensorOf(DType::kUint8, {channels}, zeros));
    scale = net->Uniform({channels}, 0.02, 0.08);
  }
  const Attributes axis = {{"axis", Num(1)}};
  return net->Op("DequantizeLinear",
                 {net->Op("QuantizeLinear", {x, scale, zero}, axis), scale, zero}, axis);
}

ZooGraph Weights() {
  ZooNet net("dequantized_weights");
  std::string h = net.Relu(Int8Conv(&net, net.Input(kImage), 4, 16));
  h = net.Relu(net.BatchNorm(Int8Conv(&net, h, 16, 12), 12));
  return net.Done(Int8Conv(&net, h, 12, 8));
}

// Scales along the axis that the layer sums over.
ZooGraph InputScales() {
  ZooNet net("dequantized_weights_input_scales");
  const std::string h = net.Relu(Int8Conv(&net, net.Input(kImage), 4, 16));
  return net.Done(Int8Conv(&net, h, 16, 8, 1));
}

ZooGraph MatMulWeights() {
  ZooNet net("dequantized_matmul");
  const std::string w1 = Int8Weight(&net, {8, 16}, 1, 8), w2 = Int8Weight(&net, {16, 12}, 1, 16);
  std::string h = net.Op("MatMul", {net.Input({2, 5, 8}), w1});
  h = net.Op("MatMul", {net.Gelu(net.Add(h, net.Bias(16))), w2});
  return net.Done(net.Linear(net.Gelu(h), 12, 8));
}

ZooGraph Activations(bool by_channel) {
  ZooNet net(by_channel ? "quantized_activations_by_channel" : "quantized_activations");
  const std::string h = net.ConvBnRelu(net.Input(kImage), 4, 16);
  return net.Done(net.Conv(ThroughBytes(&net, h, by_channel ? 16 : 0), 16, 8));
}

// Weights and activations, a sum and a head, as quantization tools write ResNets.
ZooGraph QuantizedResidual() {
  ZooNet net("quantized_residual");
  std::string h = ThroughBytes(&net, net.Relu(Int8Conv(&net, net.Input(kImage), 4, 16)));
  for (int i = 0; i < 2; ++i) {
    const std::string b = ThroughBytes(&net, net.Relu(Int8Conv(&net, h, 16, 12)));
    h = ThroughBytes(&net, net.Relu(net.Add(ThroughBytes(&net, Int8Conv(&net, b, 12, 16)), h)));
  }
  h = net.Op("Flatten", {net.GlobalPool(h)});
  return net.Done(net.Gemm(ThroughBytes(&net, h), 16, 8));
}

}  // namespace

void AddQuantized(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(), {Weights(), InputScales(), MatMulWeights(), Activations(false),
                           Activations(true), QuantizedResidual()});
}

}  // namespace espalier::testing
