#include "train/trainable_fusion.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace espalier::train {
namespace {

Outputs LastAxisNorm(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  return {at::layer_norm(x, {x.size(-1)}, call.In(1), call.In(2), call.Float("epsilon", 0))};
}

constexpr OpEntry kLastAxisNorm = {"LayerNormalization", &LastAxisNorm};

class LayerNormFuser {
 public:
  LayerNormFuser(const Graph& graph, TrainProgram* program) : graph_(graph), program_(*program) {
    for (const int slot : program_.scopes[0].outputs) ++readers_[slot];
    for (Step& step : program_.scopes[0].steps) {
      for (const int slot : ReadsOf(program_, step)) {
        ++readers_[slot];
        reader_[slot] = &step;
      }
      for (const int slot : step.outputs) {
        if (slot >= 0) maker_[slot] = &step;
      }
    }
  }

  std::set<int> Fuse() {
    for (Step& step : program_.scopes[0].steps) TryAt(step);
    std::erase_if(program_.scopes[0].steps,
                  [&](const Step& step) { return gone_.contains(step.outputs[0]); });
    return gone_;
  }

 private:
  struct Found {
    int x = -1;
    double epsilon = 0;
    std::vector<int> inner;  // slots that go, the quotient's not among them
  };

  const Step* Maker(int slot, const char* op) const {
    const auto found = maker_.find(slot);
    if (found == maker_.end() || found->second->node.op_type != op) return nullptr;
    return found->second;
  }

  const Tensor* ConstantAt(int slot) const {
    const int index = slot < 0 ? -1 : program_.constants[static_cast<std::size_t>(slot)];
    return index < 0 ? nullptr : &graph_.constants[static_cast<std::size_t>(index)].tensor;
  }

  std::optional<double> Number(int slot) const {
    const Tensor* const tensor = ConstantAt(slot);
    if (tensor == nullptr || tensor->elements() != 1 || !IsFloatDType(tensor->dtype()))
      return std::nullopt;
    return tensor->AsDoubles()[0];
  }

  // The mean's input, if it is over the last axis, which stays.
  int MeanOf(int slot) const {
    const Step* const mean = Maker(slot, "ReduceMean");
    if (mean == nullptr || IntAttribute(mean->node, "keepdims", 1) != 1) return -1;
    Dims axes = IntsAttribute(mean->node, "axes", {}).value_or(Dims{});
    if (mean->inputs.size() > 1 && ConstantAt(mean->inputs[1]) != nullptr)
      axes = ConstantAt(mean->inputs[1])->AsInts();
    return axes == Dims{-1} ? mean->inputs[0] : -1;
  }

  // What is squared: Pow(c, 2) or Mul(c, c).
  int SquareOf(int slot) const {
    if (const Step* const pow = Maker(slot, "Pow"))
      return Number(pow->inputs[1]) == 2.0 ? pow->inputs[0] : -1;
    const Step* const product = Maker(slot, "Mul");
    return product != nullptr && product->inputs[0] == product->inputs[1] ? product->inputs[0] : -1;
  }

  std::optional<Found> Match(const Step& quotient) const {
    if (quotient.node.op_type != "Div") return std::nullopt;
    const int centered = quotient.inputs[0], deviation = quotient.inputs[1];
    const Step* const difference = Maker(centered, "Sub");
    const Step* const root = Maker(deviation, "Sqrt");
    if (difference == nullptr || root == nullptr) return std::nullopt;
    const Step* const sum = Maker(root->inputs[0], "Add");
    if (sum == nullptr) return std::nullopt;
    const std::size_t constant = Number(sum->inputs[1]) ? 1 : 0;
    const std::optional<double> epsilon = Number(sum->inputs[constant]);
    const int variance = sum->inputs[1 - constant];
    const int square = MeanOf(variance);
    const int mean = difference->inputs[1];
    if (!epsilon || square < 0 || SquareOf(square) != centered ||
        MeanOf(mean) != difference->inputs[0])
      return std::nullopt;
    const Found found{difference->inputs[0],
                      *epsilon,
                      {mean, centered, square, variance, root->inputs[0], deviation}};
    for (const int slot : found.inner) {
      const int expected = slot == centered ? 2 : 1;  // the difference: squared and divided
      if (readers_.at(slot) != expected) return std::nullopt;
    }
    return found;
  }

  // The step that alone reads `slot`, and the vector that it combines it with.
  std::pair<Step*, int> VectorReader(int slot, const char* op) const {
    const auto reader = reader_.find(slot);
    if (reader == reader_.end() || readers_.at(slot) != 1 || reader->second->node.op_type != op)
      return {nullptr, -1};
    const std::vector<int>& inputs = reader->second->inputs;
    const int other = inputs[0] == slot ? inputs[1] : inputs[0];
    const Tensor* const vector = ConstantAt(other);
    const bool fits = vector != nullptr && vector->dims().size() == 1 && vector->elements() > 1 &&
                      IsFloatDType(vector->dtype());
    return fits ? std::pair(reader->second, other) : std::pair<Step*, int>(nullptr, -1);
  }

  void TryAt(Step& quotient) {
    const std::optional<Found> found = Match(quotient);
    if (!found) return;
    gone_.insert(found->inner.begin(), found->inner.end());
    std::vector<int> inputs = {found->x};
    Step* last = &quotient;
    if (const auto [scaled, scale] = VectorReader(last->outputs[0], "Mul"); scaled != nullptr) {
      gone_.insert(last->outputs[0]);
      last = scaled;
      inputs.push_back(scale);
      if (const auto [shifted, shift] = VectorReader(last->outputs[0], "Add"); shifted != nullptr) {
        gone_.insert(last->outputs[0]);
        last = shifted;
        inputs.push_back(shift);
      }
    }
    last->inputs = std::move(inputs);
    last->op = &kLastAxisNorm;
    last->node.attributes["epsilon"] = static_cast<float>(found->epsilon);
  }

  const Graph& graph_;
  TrainProgram& program_;
  std::map<int, int> readers_;
  std::map<int, Step*> reader_, maker_;
  std::set<int> gone_;
};

}  // namespace

std::set<int> FuseLayerNorms(const Graph& graph, TrainProgram* program) {
  return LayerNormFuser(graph, program).Fuse();
}

}  // namespace espalier::train
