#include "runtime/ops/recurrent_cell.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "espalier/kernels/rows.h"
#include "runtime/ops/matrix_onednn.h"

namespace espalier::runtime {
namespace {

using Kind = CellActivation::Kind;

struct NamedKind {
  const char* name;  // in small letters: ONNX does not care
  Kind kind;
  bool has_alpha, has_beta;
  float alpha, beta;
};

constexpr NamedKind kKinds[] = {
    {"relu", Kind::kRelu, false, false, 0, 0},
    {"tanh", Kind::kTanh, false, false, 0, 0},
    {"sigmoid", Kind::kSigmoid, false, false, 0, 0},
    {"affine", Kind::kAffine, true, true, 1, 0},
    {"leakyrelu", Kind::kLeakyRelu, true, false, 0.01f, 0},
    {"thresholdedrelu", Kind::kThresholdedRelu, true, false, 1, 0},
    {"scaledtanh", Kind::kScaledTanh, true, true, 1, 1},
    {"hardsigmoid", Kind::kHardSigmoid, true, true, 0.2f, 0.5f},
    {"elu", Kind::kElu, true, false, 1, 0},
    {"softsign", Kind::kSoftsign, false, false, 0, 0},
    {"softplus", Kind::kSoftplus, false, false, 0, 0},
};

const NamedKind& FindKind(const OpBuild& build, std::string name) {
  std::string small = name;
  for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const NamedKind& kind : kKinds) {
    if (small == kind.name) return kind;
  }
  build.Refuse(fmt::format("the activation '{}'", name));
}

template <typename Map>
void MapAll(float* x, std::int64_t count, const Map& map) {
  for (std::int64_t i = 0; i < count; ++i) x[i] = map(x[i]);
}

void Clip(float clip, float* x, std::int64_t count) {
  if (clip <= 0) return;
  for (std::int64_t i = 0; i < count; ++i) x[i] = std::clamp(x[i], -clip, clip);
}

// Clipped and activated: what a gate's sum becomes.
void FinishGate(const CellStep& step, const CellActivation& activation, float* gate) {
  Clip(step.clip, gate, step.hidden);
  activation.Apply(gate, step.hidden);
}

// gates[:, first..] += h * R^T for `count` gates.
void AddRecurrent(const CellStep& step, std::int64_t gate_count, std::int64_t first,
                  std::int64_t count, const float* h) {
  GemmShape gemm;
  gemm.transpose_b = true;
  gemm.m = step.batch;
  gemm.n = count * step.hidden;
  gemm.k = step.hidden;
  gemm.lda = gemm.ldb = step.hidden;
  gemm.ldc = gate_count * step.hidden;
  Gemm(gemm, h, step.recurrent + first * step.hidden * step.hidden, 1.0f,
       step.gates + first * step.hidden);
}

void AddProduct(const float* a, const float* b, float* sum, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += a[i] * b[i];
}

}  // namespace

void CellActivation::Apply(float* x, std::int64_t count) const {
  const auto n = static_cast<std::size_t>(count);
  const float a = alpha, b = beta;
  switch (kind) {
    case Kind::kRelu:
      return ActivateRow({ActivationKind::kRelu, 0, 0}, nullptr, x, n);
    case Kind::kTanh:
      return ActivateRow({ActivationKind::kTanh, 0, 0}, nullptr, x, n);
    case Kind::kSigmoid:
      return ActivateRow({ActivationKind::kSigmoid, 0, 0}, nullptr, x, n);
    case Kind::kLeakyRelu:
      return ActivateRow({ActivationKind::kLeakyRelu, a, 0}, nullptr, x, n);
    case Kind::kHardSigmoid:
      return ActivateRow({ActivationKind::kHardSigmoid, a, b}, nullptr, x, n);
    case Kind::kAffine:
      return ScaleRow(x, a, b, x, n);
    case Kind::kThresholdedRelu:
      return MapAll(x, count, [&](float v) { return v >= a ? v : 0.0f; });
    case Kind::kScaledTanh:
      return MapAll(x, count, [&](float v) { return a * std::tanh(b * v); });
    case Kind::kElu:
      return MapAll(x, count, [&](float v) { return v >= 0 ? v : a * std::expm1(v); });
    case Kind::kSoftsign:
      return MapAll(x, count, [](float v) { return v / (1 + std::abs(v)); });
    case Kind::kSoftplus:
      return MapAll(x, count,
                    [](float v) { return std::max(v, 0.0f) + std::log1p(std::exp(-std::abs(v))); });
  }
}

std::vector<CellActivation> ReadCellActivations(const OpBuild& build, std::size_t directions,
                                                const std::vector<std::string>& defaults) {
  std::vector<std::string> names;
  if (const auto it = build.node().attributes.find("activations");
      it != build.node().attributes.end()) {
    if (const auto* list = std::get_if<std::vector<std::string>>(&it->second)) names = *list;
  }
  if (names.empty()) {
    for (std::size_t i = 0; i < directions; ++i) {
      names.insert(names.end(), defaults.begin(), defaults.end());
    }
  }
  if (names.size() != directions * defaults.size()) {
    build.Refuse(
        fmt::format("{} activations instead of {}", names.size(), directions * defaults.size()));
  }
  // The lists have numbers only for those activations that take one.
  const std::vector<float> alphas = build.Floats("activation_alpha", {});
  const std::vector<float> betas = build.Floats("activation_beta", {});
  std::size_t alpha = 0, beta = 0;
  std::vector<CellActivation> activations;
  for (const std::string& name : names) {
    const NamedKind& kind = FindKind(build, name);
    CellActivation activation{kind.kind, kind.alpha, kind.beta};
    if (kind.has_alpha && alpha < alphas.size()) activation.alpha = alphas[alpha++];
    if (kind.has_beta && beta < betas.size()) activation.beta = betas[beta++];
    activations.push_back(activation);
  }
  return activations;
}

// Gates in the order input, output, forget, cell.
void StepLstm(const CellStep& step) {
  const std::int64_t n = step.hidden;
  AddRecurrent(step, 4, 0, 4, step.h);
  for (std::int64_t b = 0; b < step.batch; ++b) {
    float* input = step.gates + b * 4 * n;
    float* output = input + n;
    float* forget = input + 2 * n;
    float* cell = input + 3 * n;
    const float* c = step.c + b * n;
    float* new_c = step.new_c + b * n;
    float* new_h = step.new_h + b * n;
    if (step.peephole != nullptr) {
      AddProduct(step.peephole, c, input, n);
      AddProduct(step.peephole + 2 * n, c, forget, n);
    }
    FinishGate(step, step.activations[0], input);
    if (step.input_forget) {
      for (std::int64_t i = 0; i < n; ++i) forget[i] = 1 - input[i];
    } else {
      FinishGate(step, step.activations[0], forget);
    }
    FinishGate(step, step.activations[1], cell);
    for (std::int64_t i = 0; i < n; ++i) new_c[i] = forget[i] * c[i] + input[i] * cell[i];
    if (step.peephole != nullptr) AddProduct(step.peephole + n, new_c, output, n);
    FinishGate(step, step.activations[0], output);
    std::copy_n(new_c, n, new_h);
    step.activations[2].Apply(new_h, n);
    for (std::int64_t i = 0; i < n; ++i) new_h[i] *= output[i];
  }
}

// Gates in the order update, reset, hidden.
void StepGru(const CellStep& step) {
  const std::int64_t n = step.hidden;
  AddRecurrent(step, 3, 0, 2, step.h);
  float* reset_h = step.scratch;
  if (step.linear_before_reset) {  // h * Rh^T + Rbh, before the reset gate takes its share
    GemmShape gemm{false, true, step.batch, n, n, n, n, n};
    Gemm(gemm, step.h, step.recurrent + 2 * n * n, 0.0f, reset_h);
  }
  for (std::int64_t b = 0; b < step.batch; ++b) {
    float* update = step.gates + b * 3 * n;
    float* reset = update + n;
    FinishGate(step, step.activations[0], update);
    FinishGate(step, step.activations[0], reset);
    float* row = reset_h + b * n;
    if (step.linear_before_reset) {
      for (std::int64_t i = 0; i < n; ++i) {
        const float bias = step.recurrent_bias == nullptr ? 0 : step.recurrent_bias[i];
        reset[n + i] += reset[i] * (row[i] + bias);
      }
    } else {
      for (std::int64_t i = 0; i < n; ++i) row[i] = reset[i] * step.h[b * n + i];
    }
  }
  if (!step.linear_before_reset) AddRecurrent(step, 3, 2, 1, reset_h);
  for (std::int64_t b = 0; b < step.batch; ++b) {
    const float* update = step.gates + b * 3 * n;
    float* hidden = step.gates + b * 3 * n + 2 * n;
    FinishGate(step, step.activations[1], hidden);
    for (std::int64_t i = 0; i < n; ++i) {
      step.new_h[b * n + i] = (1 - update[i]) * hidden[i] + update[i] * step.h[b * n + i];
    }
  }
}

void StepRnn(const CellStep& step) {
  AddRecurrent(step, 1, 0, 1, step.h);
  for (std::int64_t b = 0; b < step.batch; ++b) {
    float* gate = step.gates + b * step.hidden;
    FinishGate(step, step.activations[0], gate);
    std::copy_n(gate, step.hidden, step.new_h + b * step.hidden);
  }
}

}  // namespace espalier::runtime
