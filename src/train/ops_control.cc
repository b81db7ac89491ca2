#include <fmt/format.h>

#include <limits>

#include "espalier/base/error.h"
#include "train/op_table.h"

namespace espalier::train {
namespace {

bool IsTrue(const at::Tensor& condition) { return condition.reshape({-1})[0].item().toBool(); }

Outputs If(const OpCall& call) {
  const char* const branch = IsTrue(call.inputs[0]) ? "then_branch" : "else_branch";
  return call.scopes->RunScope(call.node.subgraphs.at(branch), {});
}

// Values that go round, then one output of each round for every scanned value.
Outputs Loop(const OpCall& call) {
  const int body = call.node.subgraphs.at("body");
  const std::int64_t most =
      call.Has(0) ? call.inputs[0].item().toLong() : std::numeric_limits<std::int64_t>::max();
  bool going = !call.Has(1) || IsTrue(call.inputs[1]);
  std::vector<at::Tensor> state;
  for (std::size_t i = 2; i < call.inputs.size(); ++i) state.push_back(call.inputs[i]);
  if (call.node.outputs.size() < state.size()) ThrowMalformed(call.node, "has too few outputs");
  std::vector<std::vector<at::Tensor>> scanned(call.node.outputs.size() - state.size());
  for (std::int64_t round = 0; going && round < most; ++round) {
    std::vector<at::Tensor> inputs = {at::scalar_tensor(round, at::kLong),
                                      at::scalar_tensor(true, at::kBool)};
    inputs.insert(inputs.end(), state.begin(), state.end());
    const std::vector<at::Tensor> outputs = call.scopes->RunScope(body, inputs);
    if (outputs.size() != 1 + state.size() + scanned.size())
      ThrowMalformed(call.node, fmt::format("has a body with {} outputs", outputs.size()));
    going = IsTrue(outputs[0]);
    for (std::size_t i = 0; i < state.size(); ++i) state[i] = outputs[1 + i];
    for (std::size_t i = 0; i < scanned.size(); ++i) {
      scanned[i].push_back(outputs[1 + state.size() + i]);
    }
  }
  for (const std::vector<at::Tensor>& rounds : scanned) {
    if (rounds.empty())
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{} made no round: the shape of its outputs is not known",
                              NodeText(call.node)));
    state.push_back(at::stack(rounds));
  }
  return state;
}

constexpr OpEntry kOps[] = {
    {"If", &If},
    {"Loop", &Loop},
};

}  // namespace

std::span<const OpEntry> ControlOps() { return kOps; }

}  // namespace espalier::train
