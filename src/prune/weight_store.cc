#include "espalier/prune/weight_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "espalier/base/error.h"

namespace espalier {

void WeightStore::BeginWrites(const std::vector<std::size_t>&, int, const AdvanceFunction&) {}

std::uint64_t WeightStore::BytesToCopy(const std::vector<std::size_t>&) const { return 0; }

GraphWeights::GraphWeights(Graph& graph) : graph_(graph), layers_(FindLayers(graph)) {}

void GraphWeights::Read(std::size_t layer, std::int64_t first, std::span<std::byte> out) const {
  const Tensor& tensor = graph_.constants[layers_[layer].constant].tensor;
  const std::size_t offset = first * DTypeBits(tensor.dtype()) / 8;
  std::ranges::copy(tensor.bytes().subspan(offset, out.size()), out.begin());
}

void GraphWeights::Write(std::size_t layer, std::int64_t first, std::span<const std::byte> bytes) {
  Tensor& tensor = graph_.constants[layers_[layer].constant].tensor;
  const std::size_t offset = first * DTypeBits(tensor.dtype()) / 8;
  std::ranges::copy(bytes, tensor.MutableBytes().subspan(offset, bytes.size()).begin());
}

void GraphWeights::BeginWrites(const std::vector<std::size_t>& layers, int,
                               const AdvanceFunction&) {
  for (const std::size_t layer : layers) {
    Constant& constant = graph_.constants[layers_[layer].constant];
    constant.modified = true;
    constant.tensor.MutableBytes();  // here, on one thread: Write runs on several
  }
}

std::int64_t GraphWeights::OtherParameters() const {
  std::vector<bool> in_layer(graph_.constants.size());
  for (const Layer& layer : layers_) in_layer[layer.constant] = true;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < in_layer.size(); ++i) {
    const Tensor& tensor = graph_.constants[i].tensor;
    if (!in_layer[i] && IsFloatDType(tensor.dtype())) total += tensor.elements();
  }
  return total;
}

Layer LayerOfTensor(const std::string& name, DType dtype, const Dims& shape) {
  Layer layer;
  layer.name = layer.weight = name;
  layer.op = "tensor";
  layer.dtype = dtype;
  layer.shape = shape;
  const std::size_t rank = shape.size();
  if (rank < 2) return layer;
  std::int64_t inner = 1;
  for (std::size_t i = rank; i-- > 2;) {
    layer.view.positions.insert(layer.view.positions.begin(), {shape[i], inner});
    inner *= shape[i];
  }
  layer.view.in = {shape[1], inner};
  layer.view.out = {shape[0], inner * shape[1]};
  layer.kind = rank == 2 ? LayerKind::kLinear : LayerKind::kConv;
  layer.op = rank == 2 ? "linear" : "conv";
  layer.depthwise = rank > 2 && shape[1] == 1 && shape[0] > 1;
  layer.pointwise = rank > 2 && layer.view.PositionCount() == 1 && !layer.depthwise;
  if (dtype == DType::kInt8) {
    layer.quantization = Quantization{Quantization::Along::kTensor, {1.0f}, {0}};
  }
  return layer;
}

namespace {

// Strides of an array whose first dimension varies fastest, in place of LayerOfTensor's.
void UseFortranStrides(Layer* layer) {
  const Dims& shape = layer->shape;
  layer->view.positions.clear();
  layer->view.out = {shape[0], 1};
  layer->view.in = {shape[1], shape[0]};
  std::int64_t stride = shape[0] * shape[1];
  for (std::size_t i = 2; i < shape.size(); ++i) {
    layer->view.positions.push_back({shape[i], stride});
    stride *= shape[i];
  }
}

}  // namespace

MatrixWeights::MatrixWeights(const std::string& name, DType dtype, const Dims& shape,
                             bool fortran_order, std::vector<std::byte>* bytes)
    : bytes_(bytes) {
  if (!IsPrunableDType(dtype) || dtype == DType::kUint8) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("'{}' has type {}; matrices can be float32, float16, bfloat16, float64 "
                            "or int8 (with zero point 0)",
                            name, DTypeName(dtype)));
  }
  if (shape.size() < 2 || shape.size() > 5) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("'{}' has shape {}; a matrix [output, input] or a convolution weight "
                            "[K, C, R, S] of 3 to 5 dimensions is needed",
                            name, DimsText(shape)));
  }
  const std::int64_t wanted = ElementCount(shape) * static_cast<std::int64_t>(DTypeBits(dtype) / 8);
  if (wanted != static_cast<std::int64_t>(bytes->size())) {
    throw Error(ErrorCode::kShapeMismatch,
                fmt::format("'{}' has {} bytes, its shape {} needs {}", name, bytes->size(),
                            DimsText(shape), wanted));
  }
  layers_.push_back(LayerOfTensor(name, dtype, shape));
  if (fortran_order) UseFortranStrides(&layers_.back());
  if (wanted == 0) layers_.back().refusal = fmt::format("it has no elements ({})", DimsText(shape));
}

void MatrixWeights::Read(std::size_t, std::int64_t first, std::span<std::byte> out) const {
  const std::size_t offset = first * DTypeBits(layers_[0].dtype) / 8;
  std::copy_n(bytes_->begin() + offset, out.size(), out.begin());
}

void MatrixWeights::Write(std::size_t, std::int64_t first, std::span<const std::byte> bytes) {
  const std::size_t offset = first * DTypeBits(layers_[0].dtype) / 8;
  std::ranges::copy(bytes, bytes_->begin() + offset);
}

}  // namespace espalier
