#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "espalier/graph/graph.h"
#include "train/slice_cuts.h"
#include "train/trainable_program.h"
#include "train/trainable_roles.h"

namespace espalier::train {

/// A tensor of the network that training changes.
struct TrainTensor {
  /// Value name in the graph; unique: where branches use a name again, with "@" and the scope.
  std::string name;
  at::Tensor tensor;   ///< A leaf; parameters require gradients.
  bool decay = false;  ///< Whether weight decay applies: matrices of layers and embeddings.
  /// Index in Graph::constants of the stored values; the same for parameters that an exporter had
  /// merged; -1 for those of an inserted normalization.
  int constant = -1;
  int slot = -1;  ///< Value number in the program; -1 for those of an inserted normalization.
};

/// A batch normalization behind a convolution that had none.
struct InsertedNorm {
  static constexpr double kEpsilon = 1e-5;
  static constexpr double kMomentum = 0.9;  ///< ONNX's: the share of the old statistics that stays.
  std::string weight;                       ///< Name of the convolution's weight.
  std::string bias;                         ///< Name of the constant that the bias is folded into.
  std::string output;                       ///< Name of the convolution's result.
  bool adds_bias = false;                   ///< Whether the convolution has none in the file.
  std::size_t scale = 0, shift = 0;         ///< Indices of parameters.
  std::size_t mean = 0, variance = 0;       ///< Indices of buffers.
};

/// An ONNX graph whose float constants are leaf tensors and whose nodes run through libtorch, so
/// that autograd gives the gradients.
///
/// Which constants are parameters: FindConstantRoles() in train/trainable_roles.h. A constant that
/// an exporter had merged with equal ones, read through Identity, is a parameter of its own for
/// each Identity; one that several layers read directly stays one.
class Trainable {
 public:
  /// Keeps a copy of the graph; tensors share their bytes with it.
  /// @throws Error  kUnsupported, naming operator and node, for what cannot be trained; kBadFile
  ///                for a malformed graph. Nothing has run then.
  explicit Trainable(const Graph& graph);

  /// Runs the network. Gradients are recorded unless the caller has a at::NoGradGuard.
  /// @param inputs    One for each input of the network that is no constant. Float inputs are
  ///                  converted to the network's type and device.
  /// @param training  Batch statistics in BatchNormalization, Dropout active.
  /// @param wanted    Inner values of the main graph, by name, returned beside the outputs.
  /// @throws Error    kInvalidArgument for a missing input, or a name in `wanted` that is unknown
  ///                  or inside of a layer normalization;
  ///                  kShapeMismatch, naming the node, if shapes do not fit.
  std::map<std::string, at::Tensor> Forward(const std::map<std::string, at::Tensor>& inputs,
                                            bool training,
                                            std::span<const std::string> wanted = {});

  /// The tensors may be replaced; their order and number stay.
  std::vector<TrainTensor>& parameters() { return parameters_; }
  const std::vector<TrainTensor>& parameters() const { return parameters_; }
  /// Running statistics, of inserted normalizations too.
  std::vector<TrainTensor>& buffers() { return buffers_; }
  const std::vector<TrainTensor>& buffers() const { return buffers_; }

  /// Moves all tensors; gradients are dropped.
  /// @param real  Type that all float values have from now on: kFloat; kDouble for tests.
  void To(at::Device device, at::ScalarType real = at::kFloat);

  /// The copy, merged constants apart: its layers' weights have the names of parameters.
  const Graph& graph() const { return graph_; }

  at::Device device() const { return device_; }
  at::ScalarType real() const { return real_; }

  /// Writes parameters and buffers into a graph that has this one's constants: in their stored
  /// type, `modified` where bytes change. Inserted normalizations are folded into their
  /// convolutions, which get a bias constant if they have none. An Identity whose result was
  /// trained apart from its source gives way to a constant.
  /// @throws Error  kInternal if the graph lacks a constant or has one of another shape.
  void WriteTo(Graph* graph) const;

 private:
  friend class NormInserter;
  class Execution;

  void SeparateMergedConstants();
  void MakeTensors();
  void FoldConstants();
  void Place(TrainTensor* tensor, bool requires_grad);
  std::map<std::string, at::Tensor> MainValues() const;
  void WriteMerged(const std::map<std::string, at::Tensor>& values, Graph* graph) const;

  Graph graph_;
  std::size_t stated_constants_ = 0;                         // those of the caller's graph
  std::vector<std::pair<std::string, std::string>> merged_;  // Identity's result and its source
  TrainProgram program_;
  std::set<int> fused_;            // values that no step computes
  std::vector<at::Tensor> fixed_;  // by slot
  std::vector<TrainTensor> parameters_, buffers_;
  std::vector<InsertedNorm> norms_;
  std::vector<SliceCuts> cuts_;
  /// Called with each step of the main graph and its first output, while calibrating.
  std::function<void(const Step&, const at::Tensor&)> observer_;
  at::ScalarType real_ = at::kFloat;
  at::Device device_ = at::kCPU;
};

}  // namespace espalier::train
