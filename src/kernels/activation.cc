#include "espalier/kernels/activation.h"

#include <cmath>

namespace espalier {
namespace {

// A NaN fails both comparisons and comes back as it is.
float Clamp(float x, float low, float high) noexcept {
  if (x < low) return low;
  return x > high ? high : x;
}

}  // namespace

float Activate(const Activation& activation, float x) noexcept {
  const float alpha = activation.alpha;
  const float beta = activation.beta;
  switch (activation.kind) {
    case ActivationKind::kNone:
      return x;
    case ActivationKind::kRelu:
      return x < 0 ? 0 : x;
    case ActivationKind::kClip:
      return Clamp(x, alpha, beta);
    case ActivationKind::kLeakyRelu:
      return x < 0 ? alpha * x : x;
    case ActivationKind::kHardSigmoid:
      return Clamp(alpha * x + beta, 0, 1);
    case ActivationKind::kHardSwish:
      return x * Clamp(alpha * x + beta, 0, 1);
    case ActivationKind::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case ActivationKind::kSilu:
      return x / (1 + std::exp(-x));
    case ActivationKind::kTanh:
      return std::tanh(x);
  }
  return x;
}

}  // namespace espalier
