#include <fmt/format.h>

#include <algorithm>

#include "espalier/base/error.h"
#include "train/op_table.h"

namespace espalier::train {
namespace {

using Activation = at::Tensor (*)(const at::Tensor&);

Activation ActivationNamed(const std::string& name) {
  if (name == "Sigmoid") return &at::sigmoid;
  if (name == "Tanh") return &at::tanh;
  return name == "Relu" ? &at::relu : nullptr;
}

// One direction of a layer; sizes as ONNX has them, gates joined along the first axis.
struct Direction {
  at::Tensor w, r, input_bias, state_bias, peepholes;
  at::Tensor hidden, cell;
  std::vector<Activation> activations;
  double clip = 0;
  bool linear_before_reset = false;

  at::Tensor Clipped(const at::Tensor& x) const {
    return clip == 0 ? x : at::hardtanh(x, -clip, clip);
  }
  at::Tensor Act(std::size_t which, const at::Tensor& x) const {
    return activations[which](Clipped(x));
  }
};

// `x`: the input's part of all gates for one step, bias included.
using CellStep = void (*)(Direction* state, const at::Tensor& x);

void RnnStep(Direction* d, const at::Tensor& x) {
  d->hidden = d->Act(0, x + at::matmul(d->hidden, d->r.t()) + d->state_bias);
}

// Gates in ONNX's order: update, reset, hidden.
void GruStep(Direction* d, const at::Tensor& x) {
  const std::int64_t size = d->hidden.size(-1);
  const auto r = d->r.split(size, 0);
  const auto b = d->state_bias.split(size, 0);
  const auto gates = x.split(size, -1);
  const at::Tensor update = d->Act(0, gates[0] + at::matmul(d->hidden, r[0].t()) + b[0]);
  const at::Tensor reset = d->Act(0, gates[1] + at::matmul(d->hidden, r[1].t()) + b[1]);
  const at::Tensor recurrent = d->linear_before_reset
                                   ? reset * (at::matmul(d->hidden, r[2].t()) + b[2])
                                   : at::matmul(reset * d->hidden, r[2].t()) + b[2];
  const at::Tensor hidden = d->Act(1, gates[2] + recurrent);
  d->hidden = (1 - update) * hidden + update * d->hidden;
}

// Gates in ONNX's order: input, output, forget, cell.
void LstmStep(Direction* d, const at::Tensor& x) {
  const std::int64_t size = d->hidden.size(-1);
  const auto gates = (x + at::matmul(d->hidden, d->r.t()) + d->state_bias).split(size, -1);
  const bool peeps = d->peepholes.defined();
  const auto peep = [&](std::int64_t which, const at::Tensor& cell) {
    return d->peepholes.slice(0, which * size, (which + 1) * size) * cell;
  };
  const at::Tensor in = d->Act(0, peeps ? gates[0] + peep(0, d->cell) : gates[0]);
  const at::Tensor forget = d->Act(0, peeps ? gates[2] + peep(2, d->cell) : gates[2]);
  d->cell = forget * d->cell + in * d->Act(1, gates[3]);
  const at::Tensor out = d->Act(0, peeps ? gates[1] + peep(1, d->cell) : gates[1]);
  d->hidden = out * d->activations[2](d->cell);
}

std::vector<std::string> DefaultActivations(const std::string& op) {
  if (op == "LSTM") return {"Sigmoid", "Tanh", "Tanh"};
  if (op == "GRU") return {"Sigmoid", "Tanh"};
  return {"Tanh"};
}

std::int64_t GatesOf(const std::string& op) { return op == "LSTM" ? 4 : op == "GRU" ? 3 : 1; }

std::vector<std::string> ActivationsOf(const Node& node) {
  const auto found = node.attributes.find("activations");
  if (found == node.attributes.end()) return {};
  const auto* names = std::get_if<std::vector<std::string>>(&found->second);
  return names == nullptr ? std::vector<std::string>{"?"} : *names;
}

Direction ReadDirection(const OpCall& call, std::int64_t which, std::int64_t batch) {
  const auto part = [&](std::size_t input) {
    return call.Has(input) ? call.inputs[input].select(0, which) : at::Tensor();
  };
  Direction d;
  d.w = call.inputs[1].select(0, which), d.r = call.inputs[2].select(0, which);
  d.peepholes = part(7);
  const std::int64_t gates = d.w.size(0), size = d.r.size(-1);
  if (d.w.dim() != 2 || d.r.dim() != 2 || gates != GatesOf(call.node.op_type) * size ||
      d.r.size(0) != gates)
    ThrowMalformed(call.node, "has weights that do not fit its gates");
  const at::Tensor bias = call.Has(3) ? part(3) : at::zeros({2 * gates}, d.w.options());
  d.input_bias = bias.slice(0, 0, gates), d.state_bias = bias.slice(0, gates, 2 * gates);
  const auto state = [&](std::size_t input) {
    return call.Has(input) ? part(input) : at::zeros({batch, size}, d.w.options());
  };
  d.hidden = state(5);
  d.cell = state(6);
  const std::vector<std::string> defaults = DefaultActivations(call.node.op_type);
  std::vector<std::string> names = ActivationsOf(call.node);
  const std::size_t begin = static_cast<std::size_t>(which) * defaults.size();
  for (std::size_t i = 0; i < defaults.size(); ++i) {
    d.activations.push_back(
        ActivationNamed(begin + i < names.size() ? names[begin + i] : defaults[i]));
  }
  d.clip = call.Float("clip", 0);
  d.linear_before_reset = call.Int("linear_before_reset", 0) != 0;
  return d;
}

void CheckLengths(const OpCall& call, std::int64_t steps) {
  if (!call.Has(4)) return;
  for (const std::int64_t length : IntsOf(call.inputs[4])) {
    if (length == steps) continue;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{} cannot be trained: a sequence of {} steps in a batch of {}",
                            NodeText(call.node), length, steps));
  }
}

template <CellStep kStep>
Outputs Recurrent(const OpCall& call) {
  const at::Tensor& x = call.inputs[0];
  const std::int64_t steps = x.size(0);
  CheckLengths(call, steps);
  const std::string direction = call.Text("direction", "forward");
  std::vector<at::Tensor> all, hidden, cell;
  for (std::int64_t which = 0; which < call.inputs[1].size(0); ++which) {
    Direction d = ReadDirection(call, which, x.size(1));
    const bool backwards = direction == "reverse" || which == 1;
    const at::Tensor gates = at::matmul(x, d.w.t()) + d.input_bias;
    std::vector<at::Tensor> states(static_cast<std::size_t>(steps));
    for (std::int64_t i = 0; i < steps; ++i) {
      const std::int64_t at = backwards ? steps - 1 - i : i;
      kStep(&d, gates.select(0, at));
      states[static_cast<std::size_t>(at)] = d.hidden;
    }
    all.push_back(at::stack(states));
    hidden.push_back(d.hidden);
    cell.push_back(d.cell);
  }
  return {at::stack(all, 1), at::stack(hidden), at::stack(cell)};
}

std::string RefuseRecurrent(const Node& node) {
  if (IntAttribute(node, "layout", 0) != 0) return "layout = 1";
  if (IntAttribute(node, "input_forget", 0) != 0) return "input_forget";
  for (const std::string& name : ActivationsOf(node)) {
    if (ActivationNamed(name) == nullptr) return fmt::format("activation {}", name);
  }
  return "";
}

constexpr OpEntry kOps[] = {
    {"RNN", &Recurrent<&RnnStep>, &RefuseRecurrent},
    {"GRU", &Recurrent<&GruStep>, &RefuseRecurrent},
    {"LSTM", &Recurrent<&LstmStep>, &RefuseRecurrent},
};

}  // namespace

std::span<const OpEntry> RecurrentOps() { return kOps; }

}  // namespace espalier::train
