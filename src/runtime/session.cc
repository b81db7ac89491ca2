#include "espalier/runtime/session.h"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <new>
#include <set>
#include <stdexcept>

#include "espalier/base/error.h"
#include "espalier/base/random.h"
#include "runtime/check_graph.h"
#include "runtime/passes/passes.h"
#include "runtime/program.h"

namespace espalier {
namespace {

using runtime::Program;
using runtime::Value;

// Plans that a session keeps: each has packed weights of its own.
constexpr std::size_t kMostPlans = 16;

std::uint64_t LimitOf(const SessionOptions& options) {
  if (options.memory_limit != 0) return options.memory_limit;
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return std::uint64_t{1} << 40;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) / 4 * 3;
}

// Memory that runs out in lists of an operator's own.
template <typename Call>
auto WithMemoryErrors(const Call& call) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kUnsupported, "no memory left");
  } catch (const std::length_error&) {
    throw Error(ErrorCode::kUnsupported, "more elements than any list can hold");
  }
}

std::string DimsOf(const Dims& dims) { return fmt::format("[{}]", fmt::join(dims, ", ")); }

// Every operator that is missing, once, with its domain.
void CheckOperators(const Graph& graph) {
  std::set<std::string> missing;
  for (const Scope& scope : graph.scopes) {
    if (scope.kind == Scope::Kind::kFunction) continue;
    for (const Node& node : scope.nodes) {
      if (runtime::FindOp(node) != nullptr) continue;
      missing.insert(node.domain.empty() ? node.op_type : node.domain + "." + node.op_type);
    }
  }
  if (missing.empty()) return;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("the runtime has no operator {}", fmt::join(missing, ", ")));
}

// Files of IR version 3 list initializers among the inputs: values that a caller may replace. Here
// they are constants.
void DropInputsWithDefaults(Graph& graph) {
  const ConstantIndex constants(graph);
  std::erase_if(graph.scopes.at(0).inputs,
                [&](const ValueInfo& input) { return constants.Find(0, input.name) >= 0; });
}

void CheckInputType(const ValueInfo& input) {
  if (input.dtype != DType::kString) return;
  throw Error(
      ErrorCode::kUnsupported,
      fmt::format("input '{}' is of type string, which the runtime does not know", input.name));
}

void CheckInput(const ValueInfo& declared, const InputTensor& given) {
  if (declared.dtype != DType::kUnknown && declared.dtype != given.dtype) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("input '{}' is {}, the model wants {}", declared.name,
                            DTypeName(given.dtype), DTypeName(declared.dtype)));
  }
  for (const std::int64_t dim : given.dims) {
    if (dim < 0) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("input '{}' has the shape {}", declared.name, DimsOf(given.dims)));
    }
  }
  if (TensorByteCount(given.dtype, given.dims) != given.bytes.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("input '{}' has {} bytes, {} of shape {} has {}", declared.name,
                            given.bytes.size(), DTypeName(given.dtype), DimsOf(given.dims),
                            TensorByteCount(given.dtype, given.dims)));
  }
  if (!declared.dims) return;
  bool fits = declared.dims->size() == given.dims.size();
  for (std::size_t i = 0; fits && i < given.dims.size(); ++i) {
    fits = (*declared.dims)[i] < 0 || (*declared.dims)[i] == given.dims[i];
  }
  if (!fits) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("input '{}' has the shape {}, the model wants {} (-1: any)",
                            declared.name, DimsOf(given.dims), DimsOf(*declared.dims)));
  }
}

}  // namespace

struct Session::Impl {
  explicit Impl(const SessionOptions& options) : environment(options, LimitOf(options)) {}

  struct Planned {
    std::vector<DType> dtypes;
    std::vector<Dims> dims;
    std::unique_ptr<Program> program;
  };

  Graph graph;
  runtime::Environment environment;
  std::vector<ValueInfo> inputs;
  std::vector<ValueInfo> outputs;
  std::vector<std::unique_ptr<Planned>> plans;
  std::vector<OutputTensor> results;
  std::vector<const InputTensor*> ordered;
  Planned* last = nullptr;
  std::unique_ptr<Program> spare;  // for the first shapes
  Value fed;                       // kept, so that feeding allocates nothing

  void Order(std::span<const InputTensor> given);
  void Prepare(Graph whole);
  Planned& PlanFor();
  std::unique_ptr<Planned> MakePlan();
  void Feed(Program& program);
  void Run(std::span<const InputTensor> given, bool timed);
  void Collect(const Program& program);
};

// Puts the given inputs in the model's order.
void Session::Impl::Order(std::span<const InputTensor> given) {
  for (const InputTensor& tensor : given) {
    if (std::ranges::find(inputs, tensor.name, &ValueInfo::name) == inputs.end()) {
      std::vector<std::string> names;
      for (const ValueInfo& input : inputs) names.push_back(input.name);
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("the model has no input '{}'; its inputs are {}", tensor.name,
                              fmt::join(names, ", ")));
    }
  }
  ordered.clear();
  for (const ValueInfo& input : inputs) {
    const auto it = std::ranges::find(given, input.name, &InputTensor::name);
    if (it == given.end()) {
      throw Error(ErrorCode::kInvalidArgument, fmt::format("input '{}' is missing", input.name));
    }
    CheckInput(input, *it);
    ordered.push_back(&*it);
  }
}

void Session::Impl::Feed(Program& program) {
  for (std::size_t i = 0; i < ordered.size(); ++i) {
    fed.dtype = ordered[i]->dtype;
    fed.dims = ordered[i]->dims;
    fed.data = const_cast<std::byte*>(ordered[i]->bytes.data());  // only read
    program.SetInput(i, fed);
  }
}

Session::Impl::Planned& Session::Impl::PlanFor() {
  const auto fits = [&](const Planned& plan) {
    for (std::size_t i = 0; i < ordered.size(); ++i) {
      if (plan.dtypes[i] != ordered[i]->dtype || plan.dims[i] != ordered[i]->dims) return false;
    }
    return true;
  };
  const auto known = std::ranges::find_if(plans, [&](const auto& plan) { return fits(*plan); });
  if (known != plans.end()) {
    std::rotate(plans.begin(), known, known + 1);
    return *plans.front();
  }
  if (plans.size() == kMostPlans) plans.pop_back();
  std::unique_ptr<Planned> plan;
  try {
    plan = MakePlan();
  } catch (const Error& error) {
    if (plans.empty() || error.code() != ErrorCode::kUnsupported) throw;
    plans.clear();  // with the memory of the other shapes it may fit
    plan = MakePlan();
  }
  plans.insert(plans.begin(), std::move(plan));
  return *plans.front();
}

std::unique_ptr<Session::Impl::Planned> Session::Impl::MakePlan() {
  auto plan = std::make_unique<Planned>();
  for (const InputTensor* input : ordered) {
    plan->dtypes.push_back(input->dtype);
    plan->dims.push_back(input->dims);
  }
  plan->program = spare ? std::move(spare) : std::make_unique<Program>(graph, 0, environment);
  Feed(*plan->program);
  plan->program->Run();
  plan->program->Plan();
  plan->program->ChooseStripes([&] {
    environment.loop_trips = 0;
    Feed(*plan->program);
  });
  return plan;
}

void Session::Impl::Run(std::span<const InputTensor> given, bool timed) {
  const runtime::MemoryBudget::Scope counted(environment.memory);
  environment.loop_trips = 0;
  last = nullptr;
  Order(given);
  WithMemoryErrors([&] {
    Planned& plan = PlanFor();
    environment.loop_trips = 0;
    Feed(*plan.program);
    timed ? plan.program->RunTimed() : plan.program->Run();
    last = &plan;
  });
  Collect(*last->program);
}

void Session::Impl::Collect(const Program& program) {
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Value& value = program.output(i);
    results[i].dtype = value.dtype;
    results[i].dims = value.dims;
    results[i].bytes = {value.data, value.Bytes()};
  }
}

void Session::Impl::Prepare(Graph whole) {
  const runtime::MemoryBudget::Scope counted(environment.memory);
  if (whole.scopes.empty()) throw Error(ErrorCode::kBadFile, "the graph has no scope");
  CheckOperators(whole);
  DropInputsWithDefaults(whole);
  runtime::CheckGraph(whole);
  inputs = whole.scopes[0].inputs;
  outputs = whole.scopes[0].outputs;
  for (const ValueInfo& input : inputs) CheckInputType(input);
  graph = runtime::Simplify(std::move(whole));
  // Making every operator once shows what is not supported before anything runs.
  spare = std::make_unique<Program>(graph, 0, environment);
  for (const ValueInfo& output : outputs) results.push_back({output.name, {}, {}, {}});
}

Session::Session(Graph graph, const SessionOptions& options)
    : impl_(std::make_unique<Impl>(options)) {
  if (options.threads < 1) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} threads, at least 1 is needed", options.threads));
  }
  WithMemoryErrors([&] { impl_->Prepare(std::move(graph)); });
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

std::span<const ValueInfo> Session::inputs() const { return impl_->inputs; }
std::span<const ValueInfo> Session::outputs() const { return impl_->outputs; }

std::span<const OutputTensor> Session::Run(std::span<const InputTensor> inputs) {
  impl_->Run(inputs, false);
  return impl_->results;
}

std::span<const OutputTensor> Session::RunTimed(std::span<const InputTensor> inputs) {
  impl_->Run(inputs, true);
  return impl_->results;
}

std::map<std::string, Tensor> Session::Run(const std::map<std::string, Tensor>& inputs) {
  std::vector<InputTensor> given;
  for (const auto& [name, tensor] : inputs) {
    given.push_back({name, tensor.dtype(), tensor.dims(), tensor.bytes()});
  }
  std::map<std::string, Tensor> out;
  for (const OutputTensor& result : Run(given)) {
    out.emplace(std::string(result.name), result.ToTensor());
  }
  return out;
}

std::vector<StepReport> Session::Steps() const {
  if (impl_->last == nullptr) return {};
  return impl_->last->program->Reports();
}

std::uint64_t Session::MemoryLimit() const { return impl_->environment.memory.limit(); }

std::size_t Session::ArenaBytes() const {
  return impl_->last == nullptr ? 0 : impl_->last->program->arena_bytes();
}

Tensor OutputTensor::ToTensor() const {
  return Tensor(dtype, dims, std::vector<std::byte>(bytes.begin(), bytes.end()));
}

std::map<std::string, Tensor> RandomInputs(const Session& session, std::uint64_t seed,
                                           std::int64_t unknown) {
  std::map<std::string, Tensor> inputs;
  runtime::MemoryBudget budget(session.MemoryLimit());
  for (const ValueInfo& input : session.inputs()) {
    Dims dims = input.dims.value_or(Dims());
    for (std::int64_t& dim : dims) {
      if (dim < 0) dim = unknown;
    }
    const DType dtype = input.dtype == DType::kUnknown ? DType::kFloat32 : input.dtype;
    try {
      budget.Take(TensorByteCount(dtype, dims));
    } catch (Error& error) {
      error.AddContext(fmt::format("making input '{}' of {}", input.name, DimsOf(dims)));
      throw;
    }
    std::vector<std::byte> bytes(TensorByteCount(dtype, dims));
    if (dtype == DType::kFloat32) {
      const std::uint64_t own = SeedFor(seed, input.name);
      auto* const values = reinterpret_cast<float*>(bytes.data());
      for (std::size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
        values[i] = static_cast<float>(RandomAt(own, i) >> 40) * 0x1p-24f;
      }
    }
    inputs.emplace(input.name, Tensor(dtype, dims, std::move(bytes)));
  }
  return inputs;
}

}  // namespace espalier
