#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace espalier {

/// What a classifier's outputs are.
enum class ClassifierOutput {
  kLogits,         ///< Any finite numbers; -infinity rules a class out.
  kProbabilities,  ///< 0..1, as the last node is a Softmax.
};

/// Counts right answers of a classifier and sums its loss.
class ClassificationScore {
 public:
  explicit ClassificationScore(ClassifierOutput output) : output_(output) {}

  /// Adds one sample. Of equal outputs, the class with the lower index ranks first, as in NumPy's
  /// argmax. A probability below 1.2e-38 counts as that, so that the loss stays finite.
  /// @param outputs  One value a class.
  /// @param label    Index of the right class.
  /// @param name     The sample's name, for the Error.
  /// @throws Error   kBadFile if an output is NaN, +infinity or not a probability, or if all are
  ///                 -infinity; kShapeMismatch if there is no class `label`. Nothing is added.
  void Add(std::span<const float> outputs, std::int64_t label, std::string_view name);

  /// Adds what another thread counted.
  void Merge(const ClassificationScore& other) noexcept;

  std::int64_t samples() const noexcept { return samples_; }
  std::int64_t top1() const noexcept { return top1_; }  ///< Samples whose class ranks first.
  std::int64_t top5() const noexcept { return top5_; }  ///< Samples whose class is in the first 5.
  /// Mean cross-entropy in nats; 0 without samples.
  double loss() const noexcept {
    return samples_ == 0 ? 0 : loss_sum_ / static_cast<double>(samples_);
  }

 private:
  ClassifierOutput output_;
  std::int64_t samples_ = 0;
  std::int64_t top1_ = 0;
  std::int64_t top5_ = 0;
  double loss_sum_ = 0;
};

}  // namespace espalier
