#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/op.h"

namespace espalier::runtime {

/// One of the activations of LSTM, GRU and RNN.
struct CellActivation {
  enum class Kind : std::uint8_t {
    kRelu,
    kTanh,
    kSigmoid,
    kAffine,
    kLeakyRelu,
    kThresholdedRelu,
    kScaledTanh,
    kHardSigmoid,
    kElu,
    kSoftsign,
    kSoftplus,
  };
  Kind kind = Kind::kTanh;
  float alpha = 0;
  float beta = 0;

  /// In place.
  void Apply(float* x, std::int64_t count) const;
};

/// The activations of all directions, `defaults` for each if the node says nothing.
/// @throws Error  kUnsupported for names that ONNX does not have or another number of them.
std::vector<CellActivation> ReadCellActivations(const OpBuild& build, std::size_t directions,
                                                const std::vector<std::string>& defaults);

/// What a step of a cell works on: `batch` rows of `hidden`.
struct CellStep {
  std::int64_t batch = 0;
  std::int64_t hidden = 0;
  const float* recurrent = nullptr;       ///< R [gates * hidden, hidden].
  const float* recurrent_bias = nullptr;  ///< GRU's Rbh where it stands apart; else null.
  const float* peephole = nullptr;        ///< LSTM's P [3 * hidden]; null for none.
  const CellActivation* activations = nullptr;
  float clip = 0;  ///< 0 for none.
  bool input_forget = false;
  bool linear_before_reset = false;

  float* gates = nullptr;    ///< [batch, gates * hidden]: the inputs' part with biases. Used up.
  const float* h = nullptr;  ///< State before, [batch, hidden].
  const float* c = nullptr;
  float* new_h = nullptr;  ///< State after; not the memory of h.
  float* new_c = nullptr;
  float* scratch = nullptr;  ///< [batch, hidden] twice.
};

void StepLstm(const CellStep& step);
void StepGru(const CellStep& step);
void StepRnn(const CellStep& step);

}  // namespace espalier::runtime
