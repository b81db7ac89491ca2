#include "runtime/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>

#include "runtime/fused.h"
#include "runtime/make_op.h"
#include "runtime/program_context.h"
#include "runtime/storage.h"
#include "runtime/stripe_plan.h"

namespace espalier::runtime {
namespace {

void CollectCaptured(const Graph& graph, int scope, const ConstantIndex& constants,
                     std::set<std::string>& names) {
  const Scope& s = graph.scopes[static_cast<std::size_t>(scope)];
  std::set<std::string, std::less<>> own;
  for (const ValueInfo& input : s.inputs) own.insert(input.name);
  for (const Node& node : s.nodes) own.insert(node.outputs.begin(), node.outputs.end());
  const auto add = [&](const std::string& name) {
    if (!name.empty() && !own.contains(name) && constants.Find(scope, name) < 0) names.insert(name);
  };
  for (const Node& node : s.nodes) {
    for (const std::string& input : node.inputs) add(input);
    for (const auto& [attribute, inner] : node.subgraphs) {
      std::set<std::string> deeper;
      CollectCaptured(graph, inner, constants, deeper);
      for (const std::string& name : deeper) add(name);
    }
  }
  for (const ValueInfo& output : s.outputs) add(output.name);
}

// Operators whose outputs' dimensions depend on elements, and from which input on they do.
int FirstShapingInput(const Node& node) {
  static const std::map<std::string_view, int> kFirst = {
      {"NonZero", 0},   {"Unique", 0},         {"Compress", 0},   {"NonMaxSuppression", 0},
      {"If", 0},        {"Loop", 0},           {"Scan", 0},       {"Range", 0},
      {"Reshape", 1},   {"Slice", 1},          {"Expand", 1},     {"Tile", 1},
      {"Resize", 1},    {"Upsample", 1},       {"Pad", 1},        {"ConstantOfShape", 0},
      {"OneHot", 1},    {"TopK", 1},           {"Split", 1},      {"Squeeze", 1},
      {"Unsqueeze", 1}, {"MaxUnpool", 2},      {"AffineGrid", 1}, {"CenterCropPad", 1},
      {"DFT", 1},       {"BlackmanWindow", 0}, {"HannWindow", 0}, {"HammingWindow", 0}};
  if (node.op_type.starts_with("Reduce")) return 1;
  const auto it = kFirst.find(node.op_type);
  return it == kFirst.end() ? -1 : it->second;
}

[[noreturn]] void Rethrow(Error& error, const Node& node) {
  error.AddContext(fmt::format("running {}", NodeText(node)));
  throw error;
}

}  // namespace

void PlaceOnHeap(Slot& slot) {
  Value& value = slot.value;
  value.data = nullptr;  // what it was may go with the old memory
  try {
    value.Check();
    value.data = slot.heap.Reserve(value.Bytes());
  } catch (Error& error) {
    error.AddContext(fmt::format("making '{}' of {} [{}]", slot.name, DTypeName(value.dtype),
                                 fmt::join(value.dims, ", ")));
    throw;
  }
}

std::vector<std::string> CapturedNames(const Graph& graph, int scope) {
  std::set<std::string> names;
  CollectCaptured(graph, scope, ConstantIndex(graph), names);
  return {names.begin(), names.end()};
}

Program::Program(const Graph& graph, int scope, const Environment& environment)
    : graph_(graph), scope_(scope), environment_(environment), constants_(graph) {
  const Scope& s = graph.scopes[static_cast<std::size_t>(scope)];
  for (const ValueInfo& input : s.inputs) {
    inputs_.push_back(SlotOf(input.name));
  }
  if (scope != 0) {
    captured_ = CapturedNames(graph, scope);
    for (const std::string& name : captured_) captured_slots_.push_back(SlotOf(name));
  }
  for (const Node& node : s.nodes) AddStep(node);
  for (const ValueInfo& output : s.outputs) outputs_.push_back(SlotOf(output.name));
  reader_.inputs = outputs_;
}

Program::~Program() = default;

int Program::AddSlot(const std::string& name) {
  const int index = static_cast<int>(slots_.size());
  Slot& slot = slots_.emplace_back();
  slot.name = name;
  slot.constant = constants_.Find(scope_, name);
  slot.fixed = slot.shape_fixed = slot.constant >= 0;
  if (slot.constant >= 0) {
    const DType dtype = graph_.constants[static_cast<std::size_t>(slot.constant)].tensor.dtype();
    if (DTypeBits(dtype) == 0) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("the constant '{}' is of type {}, which the runtime does not know",
                              name, DTypeName(dtype)));
    }
  }
  by_name_.insert_or_assign(name, index);
  return index;
}

int Program::SlotOf(std::string_view name) {
  const auto it = by_name_.find(name);
  return it != by_name_.end() ? it->second : AddSlot(std::string(name));
}

void Program::AddStep(const Node& node) {
  Step step;
  step.node = &node;
  for (const std::string& input : node.inputs)
    step.inputs.push_back(input.empty() ? -1 : SlotOf(input));
  std::set<std::string> captured;
  for (const auto& [attribute, inner] : node.subgraphs) {
    for (std::string& name : CapturedNames(graph_, inner)) captured.insert(std::move(name));
  }
  for (const std::string& name : captured) step.inputs.push_back(SlotOf(name));
  for (const std::string& output : node.outputs) {
    step.outputs.push_back(output.empty() ? -1 : SlotOf(output));
  }
  try {
    step.op = MakeOp(OpBuild(graph_, scope_, node, &constants_), environment_);
  } catch (Error& error) {
    error.AddContext(fmt::format("preparing {}", NodeText(node)));
    throw;
  }
  steps_.push_back(std::move(step));
}

void Program::SetInput(std::size_t i, const Value& value) {
  Slot& slot = slots_[static_cast<std::size_t>(inputs_.at(i))];
  slot.value.dtype = value.dtype;
  slot.value.dims = value.dims;
  slot.shape_fixed = scope_ == 0;
  const bool fits = slot.planned.data != nullptr && slot.planned.dtype == value.dtype &&
                    slot.planned.dims == value.dims;
  if (fits) {
    slot.value.data = slot.planned.data;
  } else {
    PlaceOnHeap(slot);
  }
  if (const std::size_t bytes = value.Bytes()) std::memcpy(slot.value.data, value.data, bytes);
}

void Program::SetCaptured(std::size_t i, const Value& value) {
  slots_[static_cast<std::size_t>(captured_slots_.at(i))].value = value;
}

const Value& Program::output(std::size_t i) const {
  return slots_[static_cast<std::size_t>(outputs_.at(i))].value;
}

void Program::MarkFixed(const Step& step) {
  const auto slot_of = [&](int id) -> Slot& { return slots_[static_cast<std::size_t>(id)]; };
  bool fixed = !step.node->op_type.starts_with("Random") && step.node->op_type != "Bernoulli" &&
               step.node->op_type != "Multinomial";
  bool shapes_fixed = true;
  const int shaping = FirstShapingInput(*step.node);
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    if (step.inputs[i] < 0) continue;
    const Slot& input = slot_of(step.inputs[i]);
    fixed = fixed && input.fixed;
    const bool shapes = shaping >= 0 && static_cast<int>(i) >= shaping;
    shapes_fixed = shapes_fixed && input.shape_fixed && (!shapes || input.fixed);
  }
  if (step.node->op_type == "Shape" || step.node->op_type == "Size") fixed = shapes_fixed;
  for (const int id : step.outputs) {
    if (id < 0) continue;
    slot_of(id).fixed = fixed;
    slot_of(id).shape_fixed = shapes_fixed;
  }
}

void Program::RunStep(Step& step) {
  ProgramContext context(*this, step);
  try {
    step.op->Run(context);
  } catch (Error& error) {
    Rethrow(error, *step.node);
  } catch (const std::bad_alloc&) {
    Error error(ErrorCode::kUnsupported, "no memory left");
    Rethrow(error, *step.node);
  }
  if (!planned_ && scope_ == 0) MarkFixed(step);
}

void Program::RunSteps(bool timed) {
  using Clock = std::chrono::steady_clock;
  int apart = -1;  // a group whose steps run one by one
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    Step& step = steps_[i];
    step.seconds = 0;
    if (step.skip) continue;
    if (step.group >= 0 && step.group != apart) {
      StripeGroup& group = groups_[static_cast<std::size_t>(step.group)];
      if (RunGroup(group, timed)) {
        i = group.steps.back();
        continue;
      }
      apart = step.group;
    }
    const auto begin = timed ? Clock::now() : Clock::time_point();
    RunStep(step);
    if (timed) step.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  LoadOutputs();
}

void Program::Run() { RunSteps(false); }

void Program::RunTimed() { RunSteps(true); }

void Program::LoadOutputs() {
  // An output that is a constant has not been touched by a step.
  ProgramContext context(*this, reader_);
  for (std::size_t i = 0; i < outputs_.size(); ++i) context.Input(i);
}

void Program::Plan() {
  for (Step& step : steps_) {
    step.skip = !step.outputs.empty() && std::ranges::all_of(step.outputs, [&](int id) {
      return id < 0 || slots_[static_cast<std::size_t>(id)].fixed;
    });
  }
  for (Slot& slot : slots_) slot.made = slot.made || slot.value.data != nullptr;
  const StoragePlan plan = PlanStorage(slots_, steps_, inputs_, outputs_, groups_);
  arena_ = AlignedBuffer();  // an earlier plan's may be larger
  std::byte* base = arena_.Reserve(plan.bytes);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    slot.planned_view_of = slot.view_of;
    slot.planned = Value();
    if (plan.offsets[i] == kNoStorage) continue;
    slot.planned = slot.value;
    slot.planned.data = base + plan.offsets[i];
    slot.heap = AlignedBuffer();
    slot.value.data = nullptr;
  }
  planned_ = true;
}

StepReport Program::ReportOf(const Step& step) const {
  StepReport report;
  const Node& node = *step.node;
  report.name = node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
  report.op = FusedText(node);
  report.kernel = step.op->Kernel();
  report.reason = step.op->Reason();
  report.choice = step.op->Choice();
  if (step.group >= 0) {
    const StripeGroup& group = groups_[static_cast<std::size_t>(step.group)];
    if (&step == &steps_[group.steps.front()]) {
      if (!report.choice.empty()) report.choice += ' ';
      report.choice += StripeText(group);
    }
    report.reason += report.reason.empty() ? "striped" : "; striped";
  }
  report.sparsity = step.op->Sparsity();
  report.milliseconds = 1e3 * step.seconds;
  return report;
}

std::vector<StepReport> Program::Reports() const {
  std::vector<StepReport> reports;
  for (const Step& step : steps_) {
    if (!step.skip) reports.push_back(ReportOf(step));
  }
  return reports;
}

}  // namespace espalier::runtime
