#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "runtime/ops/dispatch.h"
#include "runtime/ops/float_op.h"
#include "runtime/ops/matrix_onednn.h"
#include "runtime/ops/normalize_parallel.h"
#include "runtime/ops/recurrent_cell.h"

namespace espalier::runtime {
namespace {

struct CellKind {
  std::int64_t gates;
  void (*step)(const CellStep& step);
  std::array<const char*, 3> activations;  // of one direction; null at the end
};

constexpr CellKind kLstm = {4, &StepLstm, {"Sigmoid", "Tanh", "Tanh"}};
constexpr CellKind kGru = {3, &StepGru, {"Sigmoid", "Tanh", nullptr}};
constexpr CellKind kRnn = {1, &StepRnn, {"Tanh", nullptr, nullptr}};

// The inputs of all three operators.
enum Input : std::size_t { kX, kW, kR, kB, kLengths, kInitialH, kInitialC, kPeepholes };

struct Sizes {
  std::int64_t steps = 0, batch = 0, input = 0, hidden = 0, directions = 1;
};

class RecurrentOp final : public FloatOp {
 public:
  RecurrentOp(const OpBuild& build, const CellKind& kind)
      : kind_(kind),
        clip_(build.Float("clip", 0)),
        hidden_size_(build.Int("hidden_size", 0)),
        batch_first_(build.Int("layout", 0) != 0),
        input_forget_(build.Int("input_forget", 0) != 0),
        linear_before_reset_(build.Int("linear_before_reset", 0) != 0) {
    const std::string direction = build.String("direction", "forward");
    if (direction != "forward" && direction != "reverse" && direction != "bidirectional") {
      build.Refuse(fmt::format("direction '{}'", direction));
    }
    reverse_ = direction == "reverse";
    directions_ = direction == "bidirectional" ? 2 : 1;
    std::vector<std::string> defaults;
    for (const char* name : kind.activations) {
      if (name != nullptr) defaults.emplace_back(name);
    }
    activation_count_ = defaults.size();
    activations_ = ReadCellActivations(build, directions_, defaults);
    buffers_.resize(directions_);
  }

 protected:
  void RunFloat(OpContext& context) override {
    if (context.Input(kX).dtype != DType::kFloat32) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("a recurrent layer of {}", DTypeName(context.Input(kX).dtype)));
    }
    const Sizes sizes = Place(context);
    PlaceLengths(context, sizes);
    std::array<float*, 3> outputs{};
    MakeOutputs(context, sizes, &outputs);
    const std::int64_t work =
        sizes.steps * sizes.batch * kind_.gates * sizes.hidden * (sizes.hidden + sizes.input);
    for (std::size_t d = 0; d < directions_; ++d) ReserveBuffers(sizes, d);
    if (directions_ == 1) return RunDirection(context, context.threads(), sizes, 0, outputs);
    ParallelRanges(context.threads(), 2, work, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t d = begin; d < end; ++d) {
        RunDirection(context, 1, sizes, static_cast<std::size_t>(d), outputs);
      }
    });
  }

 private:
  // One direction's memory.
  struct Buffers {
    AlignedBuffer inputs, gates, state, bias;
  };

  static void CheckDims(const OpContext& context, std::size_t i,
                        std::initializer_list<std::int64_t> want) {
    const Value& value = InputOf(context, i, DType::kFloat32);
    if (std::equal(value.dims.begin(), value.dims.end(), want.begin(), want.end())) return;
    throw Error(ErrorCode::kBadFile, fmt::format("input {} of a recurrent layer is {}, expected {}",
                                                 i, DimsText(value.dims), DimsText(want)));
  }

  Sizes Place(const OpContext& context) const {
    const Value& x = context.Input(kX);
    const Value& r = context.Input(kR);
    if (x.rank() != 3 || r.rank() != 3) {
      throw Error(ErrorCode::kBadFile, fmt::format("a recurrent layer of {} with the weight {}",
                                                   DimsText(x.dims), DimsText(r.dims)));
    }
    Sizes sizes;
    sizes.steps = x.dims[batch_first_ ? 1 : 0];
    sizes.batch = x.dims[batch_first_ ? 0 : 1];
    sizes.input = x.dims[2];
    sizes.hidden = r.dims[2];
    sizes.directions = static_cast<std::int64_t>(directions_);
    if (hidden_size_ != 0 && hidden_size_ != sizes.hidden) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("hidden_size {}, the weight has {}", hidden_size_, sizes.hidden));
    }
    const std::int64_t rows = kind_.gates * sizes.hidden;
    CheckDims(context, kW, {sizes.directions, rows, sizes.input});
    CheckDims(context, kR, {sizes.directions, rows, sizes.hidden});
    if (context.HasInput(kB)) CheckDims(context, kB, {sizes.directions, 2 * rows});
    if (context.HasInput(kInitialH)) CheckState(context, kInitialH, sizes);
    if (kind_.gates != kLstm.gates) return sizes;
    if (context.HasInput(kInitialC)) CheckState(context, kInitialC, sizes);
    if (context.HasInput(kPeepholes)) {
      CheckDims(context, kPeepholes, {sizes.directions, 3 * sizes.hidden});
    }
    return sizes;
  }

  void CheckState(const OpContext& context, std::size_t i, const Sizes& sizes) const {
    if (batch_first_) return CheckDims(context, i, {sizes.batch, sizes.directions, sizes.hidden});
    CheckDims(context, i, {sizes.directions, sizes.batch, sizes.hidden});
  }

  void PlaceLengths(const OpContext& context, const Sizes& sizes) {
    lengths_.assign(static_cast<std::size_t>(sizes.batch), sizes.steps);
    if (!context.HasInput(kLengths)) return;
    const Value& lengths = InputOf(context, kLengths, DType::kInt32);
    if (lengths.Elements() != lengths_.size()) {
      throw Error(ErrorCode::kBadFile, fmt::format("{} sequence_lens for a batch of {}",
                                                   lengths.Elements(), sizes.batch));
    }
    for (std::size_t b = 0; b < lengths_.size(); ++b) {
      lengths_[b] = lengths.As<std::int32_t>()[b];
      if (lengths_[b] < 0 || lengths_[b] > sizes.steps) {
        throw Error(ErrorCode::kBadFile,
                    fmt::format("a sequence of {} in {} steps", lengths_[b], sizes.steps));
      }
    }
  }

  void MakeOutputs(OpContext& context, const Sizes& sizes, std::array<float*, 3>* outputs) {
    if (batch_first_) {
      y_dims_.assign({sizes.batch, sizes.steps, sizes.directions, sizes.hidden});
    } else {
      y_dims_.assign({sizes.steps, sizes.directions, sizes.batch, sizes.hidden});
    }
    if (batch_first_) {
      state_dims_.assign({sizes.batch, sizes.directions, sizes.hidden});
    } else {
      state_dims_.assign({sizes.directions, sizes.batch, sizes.hidden});
    }
    for (std::size_t i = 0; i < std::min<std::size_t>(3, context.OutputCount()); ++i) {
      if (!context.HasOutput(i)) continue;
      (*outputs)[i] = context.Out<float>(i, DType::kFloat32, i == 0 ? y_dims_ : state_dims_);
    }
    // Steps behind the end of a shorter sequence stay zero.
    if ((*outputs)[0] != nullptr) {
      std::fill_n((*outputs)[0], static_cast<std::size_t>(ElementCount(y_dims_)), 0.0f);
    }
  }

  void ReserveBuffers(const Sizes& sizes, std::size_t d) {
    const std::int64_t rows = kind_.gates * sizes.hidden;
    const auto bytes = [&](std::initializer_list<std::int64_t> dims) {
      buffer_dims_ = dims;
      return static_cast<std::size_t>(TensorByteCount(DType::kFloat32, buffer_dims_));
    };
    buffers_[d].inputs.Reserve(bytes({sizes.steps, sizes.batch, rows}));
    buffers_[d].gates.Reserve(bytes({sizes.batch, rows}));
    buffers_[d].state.Reserve(bytes({6, sizes.batch, sizes.hidden}));
    buffers_[d].bias.Reserve(bytes({rows}));
  }

  // Row of a step of a batch entry in x, in order of memory.
  std::int64_t RowOf(const Sizes& sizes, std::int64_t step, std::int64_t b) const {
    return batch_first_ ? b * sizes.steps + step : step * sizes.batch + b;
  }
  std::int64_t StateRow(const Sizes& sizes, std::int64_t d, std::int64_t b) const {
    return batch_first_ ? b * sizes.directions + d : d * sizes.batch + b;
  }

  // x * W^T + biases for all steps at once.
  void ProjectInputs(const OpContext& context, int threads, const Sizes& sizes, std::int64_t d) {
    const std::int64_t rows = kind_.gates * sizes.hidden;
    auto& own = buffers_[static_cast<std::size_t>(d)];
    auto* projected = reinterpret_cast<float*>(own.inputs.data());
    auto* bias = reinterpret_cast<float*>(own.bias.data());
    std::fill_n(bias, rows, 0.0f);
    if (context.HasInput(kB)) {
      const float* w = context.In<float>(kB) + d * 2 * rows;
      // GRU's last one goes through the reset gate.
      const std::int64_t joint = IsLinearGru() ? rows - sizes.hidden : rows;
      for (std::int64_t i = 0; i < rows; ++i) bias[i] = w[i] + (i < joint ? w[rows + i] : 0);
    }
    for (std::int64_t i = 0; i < sizes.steps * sizes.batch; ++i) {
      std::copy_n(bias, rows, projected + i * rows);
    }
    const GemmShape gemm{
        false, true, sizes.steps * sizes.batch, rows, sizes.input, sizes.input, sizes.input, rows};
    ParallelGemm(threads, gemm, context.In<float>(kX),
                 context.In<float>(kW) + d * rows * sizes.input, 1.0f, projected);
  }

  bool IsLinearGru() const { return kind_.gates == kGru.gates && linear_before_reset_; }

  void LoadState(const OpContext& context, const Sizes& sizes, std::int64_t d, std::size_t input,
                 float* state) const {
    const std::int64_t n = sizes.hidden;
    const bool lstm_only = input == kInitialC && kind_.gates != kLstm.gates;
    if (lstm_only || !context.HasInput(input)) {
      std::fill_n(state, sizes.batch * n, 0.0f);
      return;
    }
    const float* from = context.In<float>(input);
    for (std::int64_t b = 0; b < sizes.batch; ++b) {
      std::copy_n(from + StateRow(sizes, d, b) * n, n, state + b * n);
    }
  }

  CellStep MakeStep(const OpContext& context, const Sizes& sizes, std::size_t d) {
    const std::int64_t n = sizes.hidden, rows = kind_.gates * n;
    const auto direction = static_cast<std::int64_t>(d);
    CellStep step;
    step.batch = sizes.batch;
    step.hidden = n;
    step.recurrent = context.In<float>(kR) + direction * rows * n;
    if (IsLinearGru() && context.HasInput(kB)) {
      step.recurrent_bias = context.In<float>(kB) + direction * 2 * rows + 2 * rows - n;
    }
    if (kind_.gates == kLstm.gates && context.HasInput(kPeepholes)) {
      step.peephole = context.In<float>(kPeepholes) + direction * 3 * n;
    }
    step.activations = activations_.data() + d * activation_count_;
    step.clip = clip_;
    step.input_forget = input_forget_;
    step.linear_before_reset = linear_before_reset_;
    step.gates = reinterpret_cast<float*>(buffers_[d].gates.data());
    return step;
  }

  void RunDirection(OpContext& context, int threads, const Sizes& sizes, std::size_t d,
                    const std::array<float*, 3>& outputs) {
    const std::int64_t n = sizes.hidden, size = sizes.batch * n, rows = kind_.gates * n;
    const auto direction = static_cast<std::int64_t>(d);
    const bool backwards = reverse_ || d == 1;
    ProjectInputs(context, threads, sizes, direction);
    CellStep step = MakeStep(context, sizes, d);
    const auto* projected = reinterpret_cast<const float*>(buffers_[d].inputs.data());
    auto* state = reinterpret_cast<float*>(buffers_[d].state.data());
    float* h = state;
    float* c = state + size;
    step.new_h = state + 2 * size;
    step.new_c = state + 3 * size;
    step.scratch = state + 4 * size;
    LoadState(context, sizes, direction, kInitialH, h);
    LoadState(context, sizes, direction, kInitialC, c);
    for (std::int64_t s = 0; s < sizes.steps; ++s) {
      const auto time = [&](std::int64_t b) {
        const std::int64_t length = lengths_[static_cast<std::size_t>(b)];
        return s >= length ? -1 : backwards ? length - 1 - s : s;
      };
      for (std::int64_t b = 0; b < sizes.batch; ++b) {
        const std::int64_t t = std::max<std::int64_t>(0, time(b));
        std::copy_n(projected + RowOf(sizes, t, b) * rows, rows, step.gates + b * rows);
      }
      step.h = h;
      step.c = c;
      kind_.step(step);
      for (std::int64_t b = 0; b < sizes.batch; ++b) {
        const std::int64_t t = time(b);
        if (t < 0) continue;
        std::copy_n(step.new_h + b * n, n, h + b * n);
        if (kind_.gates == kLstm.gates) std::copy_n(step.new_c + b * n, n, c + b * n);
        if (outputs[0] == nullptr) continue;
        const std::int64_t row = batch_first_
                                     ? (b * sizes.steps + t) * sizes.directions + direction
                                     : (t * sizes.directions + direction) * sizes.batch + b;
        std::copy_n(step.new_h + b * n, n, outputs[0] + row * n);
      }
    }
    for (std::int64_t b = 0; b < sizes.batch; ++b) {
      const std::int64_t row = StateRow(sizes, direction, b) * n;
      if (outputs[1] != nullptr) std::copy_n(h + b * n, n, outputs[1] + row);
      if (outputs[2] != nullptr) std::copy_n(c + b * n, n, outputs[2] + row);
    }
  }

  const CellKind& kind_;
  const float clip_;
  const std::int64_t hidden_size_;
  const bool batch_first_, input_forget_, linear_before_reset_;
  bool reverse_ = false;
  std::size_t directions_ = 1;
  std::size_t activation_count_ = 0;
  std::vector<CellActivation> activations_;
  std::vector<std::int64_t> lengths_;
  Dims y_dims_, state_dims_, buffer_dims_;
  std::vector<Buffers> buffers_;
};

template <const CellKind& kKind>
std::unique_ptr<Op> Make(const OpBuild& build) {
  return std::make_unique<RecurrentOp>(build, kKind);
}

constexpr OpEntry kOps[] = {
    {"", "LSTM", &Make<kLstm>},
    {"", "GRU", &Make<kGru>},
    {"", "RNN", &Make<kRnn>},
};

}  // namespace

std::span<const OpEntry> RecurrentOps() { return kOps; }

}  // namespace espalier::runtime
