#pragma once

#include <cstdint>

namespace espalier {

/// What a kernel does to its results as it stores them.
enum class ActivationKind : std::uint8_t {
  kNone,
  kRelu,         ///< max(x, 0)
  kClip,         ///< min(max(x, alpha), beta)
  kLeakyRelu,    ///< x < 0 ? alpha * x : x
  kHardSigmoid,  ///< clamp(alpha * x + beta, 0, 1)
  kHardSwish,    ///< x * clamp(alpha * x + beta, 0, 1); 1/6 and 0.5 in ONNX's HardSwish
  kSigmoid,      ///< 1 / (1 + exp(-x))
  kSilu,         ///< x * sigmoid(x)
  kTanh,
};

/// A function with its two numbers, as ActivationKind says what they mean.
struct Activation {
  ActivationKind kind = ActivationKind::kNone;
  float alpha = 0;
  float beta = 0;

  bool operator==(const Activation&) const = default;
};

/// The plain reference; NaN stays NaN.
float Activate(const Activation& activation, float x) noexcept;

}  // namespace espalier
