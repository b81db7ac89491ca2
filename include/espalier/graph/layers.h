#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"
#include "espalier/graph/graph.h"

namespace espalier {

/// What a layer is, as far as selections care.
enum class LayerKind { kConv, kLinear, kRecurrent };

/// How integer weights stand for real numbers: real = scale * (stored - zero_point). A pruned
/// weight is stored as its zero point.
struct Quantization {
  enum class Along { kTensor, kRow, kChannel };
  Along along = Along::kTensor;          ///< kRow: one value an output channel over all groups.
  std::vector<float> scale;              ///< One, one a row, or one an input channel.
  std::vector<std::int32_t> zero_point;  ///< Same length as `scale`.
  bool operator==(const Quantization&) const = default;
};

/// A weight that layers read: one stored tensor with the way it is used.
struct Layer {
  std::string name;  ///< Unique: the first reader's name, with ":W" or ":R" for recurrent weights.
  std::string op;    ///< The first reader's operator.
  LayerKind kind = LayerKind::kLinear;
  bool pointwise = false;  ///< A convolution with a 1x1 kernel and one group.
  bool depthwise = false;  ///< A convolution with one input channel a group and several groups.
  std::string weight;      ///< Name of the stored tensor.
  int constant = -1;       ///< Index in Graph::constants; -1 outside of a graph.
  DType dtype = DType::kUnknown;
  Dims shape;                                ///< As stored.
  WeightView view;                           ///< Meaningless if `refusal` is set.
  std::optional<Quantization> quantization;  ///< Set for integer weights.
  /// Set for float weights that every reader sees rounded by the same QuantizeLinear and
  /// DequantizeLinear; not set if their parameters are not constant or not the same.
  std::optional<Quantization> fake_quantization;
  /// 0 if the network sees the output channels in the file's order. Else it sees runs of them in
  /// another order (the gates of an LSTM), and each run begins at a multiple of this: patterns
  /// whose rows this does not divide evenly do not fit.
  std::int64_t output_run = 0;
  std::vector<std::string> readers;  ///< All nodes that read it, in order.
  std::optional<std::int64_t> macs;  ///< Multiply-accumulates for one sample, all readers together.
  std::string refusal;               ///< Why this weight cannot be pruned; empty if it can.
  std::string caution;  ///< Why it is left alone unless it is chosen by name; mostly empty.
};

/// Finds the weights of Conv (1-D to 3-D, grouped, transposed), Gemm, MatMul with a constant on
/// either side, RNN/GRU/LSTM, their integer and com.microsoft variants, through Identity, Cast,
/// Transpose, Reshape, Squeeze, Unsqueeze, Flatten, QuantizeLinear, DequantizeLinear and a Concat
/// of all Slices, in all scopes.
///
/// Listed with a `refusal`, so that no weight is passed over in silence: those that other operators
/// compute from constants alone (Clip, Mul, Split, Gather, ...), those that enter the body of a
/// Loop or Scan or leave a branch of an If, and those of Einsum, QAttention, DynamicQuantizeLSTM
/// and MatMulNBits. A tensor of fewer than 2 dimensions counts there only if it is cut or joined.
///
/// A weight that several nodes read is one layer if all read it along the same axes; otherwise, or
/// if something else reads it too (Gather of a tied embedding, a graph output, a function),
/// `refusal` says what. Never throws on a malformed graph: what cannot be understood is refused.
/// @return  In the order in which the network runs them.
/// @cost    One walk over the nodes and one shape inference; weights' bytes are not read, except
///          scales and zero points.
std::vector<Layer> FindLayers(const Graph& graph);

}  // namespace espalier
