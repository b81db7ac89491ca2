#include "runtime/control.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

namespace espalier::runtime {
namespace {

// A subgraph with the way its captured names come in: behind the node's own inputs, all names of
// all subgraphs in byte order.
class Body {
 public:
  Body(const OpBuild& build, const Environment& environment, const std::string& attribute) {
    const auto it = build.node().subgraphs.find(attribute);
    if (it == build.node().subgraphs.end()) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} has no subgraph '{}'", NodeText(build.node()), attribute));
    }
    std::set<std::string> all;
    for (const auto& [name, scope] : build.node().subgraphs) {
      for (std::string& captured : CapturedNames(build.graph(), scope)) {
        all.insert(std::move(captured));
      }
    }
    program_ = std::make_unique<Program>(build.graph(), it->second, environment);
    for (const std::string& name : program_->captured()) {
      sources_.push_back(build.node().inputs.size() +
                         static_cast<std::size_t>(std::distance(all.begin(), all.find(name))));
    }
  }

  void Capture(const OpContext& context) {
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      program_->SetCaptured(i, context.Input(sources_[i]));
    }
  }

  Program& program() { return *program_; }

 private:
  std::unique_ptr<Program> program_;
  std::vector<std::size_t> sources_;
};

void Copy(const Value& from, Value& to) {
  if (const std::size_t bytes = from.Bytes()) std::memcpy(to.data, from.data, bytes);
}

bool Truth(const Value& value) {
  if (value.dtype != DType::kBool || value.Elements() != 1) {
    throw Error(ErrorCode::kBadFile, fmt::format("a condition of type {} with {} elements",
                                                 DTypeName(value.dtype), value.Elements()));
  }
  return value.As<std::uint8_t>()[0] != 0;
}

void CheckCount(const char* what, std::size_t have, std::size_t need) {
  if (have < need) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("the subgraph has {} {}, {} are needed", have, what, need));
  }
}

// All loops of a run together, so that loops in loops end, too.
void CountRound(const Environment& environment) {
  if (environment.loop_trips < environment.options.max_loop_trips) {
    ++environment.loop_trips;
    return;
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("loops of more than {} rounds", environment.options.max_loop_trips));
}

class IfOp final : public Op {
 public:
  IfOp(const OpBuild& build, const Environment& environment)
      : yes_(build, environment, "then_branch"), no_(build, environment, "else_branch") {}

  void Run(OpContext& context) override {
    Body& body = Truth(context.Input(0)) ? yes_ : no_;
    body.Capture(context);
    body.program().Run();
    CheckCount("outputs", body.program().OutputCount(), context.OutputCount());
    for (std::size_t i = 0; i < context.OutputCount(); ++i) {
      if (!context.HasOutput(i)) continue;
      const Value& result = body.program().output(i);
      Copy(result, context.Output(i, result.dtype, result.dims));
    }
  }

 private:
  Body yes_;
  Body no_;
};

// A value that a loop hands from one round to the next, in memory of its own.
class Carried {
 public:
  void Set(const Value& value) {
    value_.dtype = value.dtype;
    value_.dims = value.dims;
    value_.data = buffer_.Reserve(value.Bytes());
    Copy(value, value_);
  }
  const Value& value() const { return value_; }

 private:
  Value value_;
  AlignedBuffer buffer_;
};

// One output of each round, joined along a new axis.
class Stacked {
 public:
  void Clear() {
    size_ = 0;
    rounds_ = 0;
  }

  void Add(const Value& value) {
    if (rounds_ != 0 && (value.dims != dims_ || value.dtype != dtype_)) {
      throw Error(ErrorCode::kBadFile, "a scan output changes its shape from round to round");
    }
    dims_ = value.dims;
    dtype_ = value.dtype;
    const std::size_t bytes = value.Bytes();
    MakeRoom(size_ + bytes);
    if (bytes != 0) std::memcpy(buffer_.data() + size_, value.data, bytes);
    size_ += bytes;
    ++rounds_;
  }

  bool empty() const { return rounds_ == 0; }

  // @param axis     Of the new axis in the output.
  // @param reverse  The last round comes first.
  void Write(OpContext& context, std::size_t output, std::int64_t axis, bool reverse) const {
    Dims dims = dims_;
    const std::size_t at = CheckedAxis(axis, dims.size() + 1);
    dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(at), rounds_);
    Value& out = context.Output(output, dtype_, dims);
    std::size_t outer = 1;
    for (std::size_t i = 0; i < at; ++i) outer *= static_cast<std::size_t>(dims[i]);
    const auto rounds = static_cast<std::size_t>(rounds_);
    if (size_ == 0) return;
    const std::size_t inner = size_ / rounds / outer;
    for (std::size_t o = 0; o < outer; ++o) {
      for (std::size_t r = 0; r < rounds; ++r) {
        const std::size_t round = reverse ? rounds - 1 - r : r;
        std::memcpy(out.data + (o * rounds + r) * inner,
                    buffer_.data() + (round * outer + o) * inner, inner);
      }
    }
  }

  // For no rounds at all: an output with no elements, as far as its type is known.
  static void WriteEmpty(OpContext& context, std::size_t output, const ValueInfo& declared) {
    Dims dims = declared.dims.value_or(Dims());
    for (std::int64_t& dim : dims) dim = std::max<std::int64_t>(dim, 0);
    dims.insert(dims.begin(), 0);
    const DType dtype = declared.dtype == DType::kUnknown ? DType::kFloat32 : declared.dtype;
    context.Output(output, dtype, dims);
  }

 private:
  void MakeRoom(std::size_t bytes) {
    if (bytes <= buffer_.size()) return;
    AlignedBuffer larger;
    larger.Reserve(std::max(bytes, 2 * size_));
    if (size_ != 0) std::memcpy(larger.data(), buffer_.data(), size_);
    buffer_ = std::move(larger);
  }

  AlignedBuffer buffer_;
  std::size_t size_ = 0;
  Dims dims_;
  DType dtype_ = DType::kUnknown;
  std::int64_t rounds_ = 0;
};

class LoopOp final : public Op {
 public:
  LoopOp(const OpBuild& build, const Environment& environment)
      : environment_(environment),
        body_(build, environment, "body"),
        inputs_(build.node().inputs.size()),
        declared_(build.graph()
                      .scopes[static_cast<std::size_t>(build.node().subgraphs.at("body"))]
                      .outputs) {
    if (inputs_ < 2) inputs_ = 2;
    carried_.resize(inputs_ - 2);
    const std::size_t outputs = build.node().outputs.size();
    stacked_.resize(outputs > carried_.size() ? outputs - carried_.size() : 0);
    CheckCount("inputs", body_.program().InputCount(), inputs_);
    CheckCount("outputs", body_.program().OutputCount(), 1 + carried_.size() + stacked_.size());
  }

  void Run(OpContext& context) override {
    std::int64_t trips = std::numeric_limits<std::int64_t>::max();
    if (context.HasInput(0)) trips = TripCount(context);
    bool go = !context.HasInput(1) || Truth(context.Input(1));
    for (std::size_t i = 0; i < carried_.size(); ++i) carried_[i].Set(context.Input(i + 2));
    for (Stacked& stacked : stacked_) stacked.Clear();
    body_.Capture(context);
    for (std::int64_t trip = 0; go && trip < trips; ++trip) {
      CountRound(environment_);
      go = Round(trip);
    }
    Finish(context);
  }

 private:
  static std::int64_t TripCount(const OpContext& context) {
    const std::vector<std::int64_t> count = context.Ints(0);
    if (count.size() == 1) return count[0];
    throw Error(ErrorCode::kBadFile, fmt::format("a trip count of {} elements", count.size()));
  }

  bool Round(std::int64_t trip) {
    Program& program = body_.program();
    std::uint8_t yes = 1;
    program.SetInput(0, {DType::kInt64, {}, reinterpret_cast<std::byte*>(&trip)});
    program.SetInput(1, {DType::kBool, {}, reinterpret_cast<std::byte*>(&yes)});
    for (std::size_t i = 0; i < carried_.size(); ++i) program.SetInput(i + 2, carried_[i].value());
    program.Run();
    const bool go = Truth(program.output(0));
    for (std::size_t i = 0; i < carried_.size(); ++i) carried_[i].Set(program.output(i + 1));
    for (std::size_t i = 0; i < stacked_.size(); ++i) {
      stacked_[i].Add(program.output(i + 1 + carried_.size()));
    }
    return go;
  }

  void Finish(OpContext& context) {
    for (std::size_t i = 0; i < context.OutputCount(); ++i) {
      if (!context.HasOutput(i)) continue;
      if (i < carried_.size()) {
        const Value& value = carried_[i].value();
        Copy(value, context.Output(i, value.dtype, value.dims));
      } else if (const Stacked& stacked = stacked_[i - carried_.size()]; !stacked.empty()) {
        stacked.Write(context, i, 0, false);
      } else {
        Stacked::WriteEmpty(context, i, declared_[i + 1]);
      }
    }
  }

  const Environment& environment_;
  Body body_;
  std::size_t inputs_;
  const std::vector<ValueInfo>& declared_;
  std::vector<Carried> carried_;
  std::vector<Stacked> stacked_;
};

class ScanOp final : public Op {
 public:
  ScanOp(const OpBuild& build, const Environment& environment)
      : environment_(environment),
        body_(build, environment, "body"),
        declared_(build.graph()
                      .scopes[static_cast<std::size_t>(build.node().subgraphs.at("body"))]
                      .outputs) {
    if (build.opset() < 9) build.Refuse("Scan of opset 8");
    const std::int64_t scanned = build.Int("num_scan_inputs", 0);
    const auto inputs = static_cast<std::int64_t>(build.node().inputs.size());
    if (scanned < 1 || scanned > inputs) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("num_scan_inputs is {}, with {} inputs", scanned, inputs));
    }
    sequences_ = static_cast<std::size_t>(scanned);
    states_.resize(static_cast<std::size_t>(inputs - scanned));
    const std::size_t outputs = build.node().outputs.size();
    stacked_.resize(outputs > states_.size() ? outputs - states_.size() : 0);
    input_axes_ = build.Ints("scan_input_axes", {});
    input_reversed_ = build.Ints("scan_input_directions", {});
    output_axes_ = build.Ints("scan_output_axes", {});
    output_reversed_ = build.Ints("scan_output_directions", {});
    input_axes_.resize(sequences_);
    input_reversed_.resize(sequences_);
    output_axes_.resize(stacked_.size());
    output_reversed_.resize(stacked_.size());
    slices_.resize(sequences_);
    CheckCount("inputs", body_.program().InputCount(), states_.size() + sequences_);
    CheckCount("outputs", body_.program().OutputCount(), states_.size() + stacked_.size());
  }

  void Run(OpContext& context) override {
    for (std::size_t i = 0; i < states_.size(); ++i) states_[i].Set(context.Input(i));
    for (Stacked& stacked : stacked_) stacked.Clear();
    body_.Capture(context);
    const std::int64_t steps = StepCount(context);
    for (std::int64_t step = 0; step < steps; ++step) {
      CountRound(environment_);
      Round(context, step, steps);
    }
    for (std::size_t i = 0; i < context.OutputCount(); ++i) {
      if (!context.HasOutput(i)) continue;
      if (i < states_.size()) {
        Copy(states_[i].value(),
             context.Output(i, states_[i].value().dtype, states_[i].value().dims));
        continue;
      }
      const std::size_t k = i - states_.size();
      if (stacked_[k].empty()) {
        Stacked::WriteEmpty(context, i, declared_[i]);
      } else {
        stacked_[k].Write(context, i, output_axes_[k], output_reversed_[k] != 0);
      }
    }
  }

 private:
  std::int64_t StepCount(const OpContext& context) const {
    std::int64_t steps = -1;
    for (std::size_t i = 0; i < sequences_; ++i) {
      const Dims& dims = context.Input(states_.size() + i).dims;
      const std::int64_t length = dims[CheckedAxis(input_axes_[i], dims.size())];
      if (steps >= 0 && steps != length) {
        throw Error(ErrorCode::kBadFile,
                    fmt::format("scan inputs of {} and {} steps", steps, length));
      }
      steps = length;
    }
    return steps;
  }

  void Round(OpContext& context, std::int64_t step, std::int64_t steps) {
    Program& program = body_.program();
    for (std::size_t i = 0; i < states_.size(); ++i) program.SetInput(i, states_[i].value());
    for (std::size_t i = 0; i < sequences_; ++i) {
      const std::int64_t at = input_reversed_[i] != 0 ? steps - 1 - step : step;
      program.SetInput(states_.size() + i, Slice(context.Input(states_.size() + i), i, at));
    }
    program.Run();
    for (std::size_t i = 0; i < states_.size(); ++i) states_[i].Set(program.output(i));
    for (std::size_t i = 0; i < stacked_.size(); ++i) {
      stacked_[i].Add(program.output(i + states_.size()));
    }
  }

  const Value& Slice(const Value& sequence, std::size_t i, std::int64_t at) {
    const std::size_t axis = CheckedAxis(input_axes_[i], sequence.rank());
    Slot& slot = slices_[i];
    slot.value.dtype = sequence.dtype;
    slot.value.dims = sequence.dims;
    const auto length = static_cast<std::size_t>(slot.value.dims[axis]);
    slot.value.dims.erase(slot.value.dims.begin() + static_cast<std::ptrdiff_t>(axis));
    slot.value.data = slot.buffer.Reserve(slot.value.Bytes());
    std::size_t outer = 1;
    for (std::size_t d = 0; d < axis; ++d) outer *= static_cast<std::size_t>(sequence.dims[d]);
    if (slot.value.Bytes() == 0) return slot.value;
    const std::size_t inner = slot.value.Bytes() / outer;
    for (std::size_t o = 0; o < outer; ++o) {
      std::memcpy(slot.value.data + o * inner,
                  sequence.data + (o * length + static_cast<std::size_t>(at)) * inner, inner);
    }
    return slot.value;
  }

  struct Slot {
    Value value;
    AlignedBuffer buffer;
  };

  const Environment& environment_;
  Body body_;
  const std::vector<ValueInfo>& declared_;
  std::size_t sequences_ = 0;
  std::vector<Carried> states_;
  std::vector<Stacked> stacked_;
  std::vector<Slot> slices_;
  std::vector<std::int64_t> input_axes_, input_reversed_, output_axes_, output_reversed_;
};

template <typename T>
std::unique_ptr<Op> MakeAlone(const OpBuild& build) {
  static const Environment kAlone;
  return std::make_unique<T>(build, kAlone);
}

constexpr OpEntry kOps[] = {{"", "If", &MakeAlone<IfOp>},
                            {"", "Loop", &MakeAlone<LoopOp>},
                            {"", "Scan", &MakeAlone<ScanOp>}};

}  // namespace

std::span<const OpEntry> ControlOps() { return kOps; }

std::unique_ptr<Op> MakeControl(const OpBuild& build, const Environment& environment) {
  if (build.node().op_type == "If") return std::make_unique<IfOp>(build, environment);
  if (build.node().op_type == "Loop") return std::make_unique<LoopOp>(build, environment);
  return std::make_unique<ScanOp>(build, environment);
}

}  // namespace espalier::runtime
