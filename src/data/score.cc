#include "espalier/data/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::Quote;

// Rounding in a Softmax of some thousand classes stays far below.
constexpr float kMostProbability = 1.001f;

void CheckOutputs(ClassifierOutput output, std::span<const float> outputs, std::string_view name) {
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const float value = outputs[i];
    if (std::isnan(value) || value == std::numeric_limits<float>::infinity()) {
      throw Error(ErrorCode::kBadFile, fmt::format("the model's output for class {} of {} is {}", i,
                                                   Quote(name), value));
    }
    if (output == ClassifierOutput::kProbabilities && (value < 0 || value > kMostProbability)) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("the model's output for class {} of {} is {}, no probability", i,
                              Quote(name), value));
    }
  }
}

double Loss(ClassifierOutput output, std::span<const float> outputs, float right) {
  if (output == ClassifierOutput::kProbabilities) {
    return -std::log(
        static_cast<double>(std::clamp(right, std::numeric_limits<float>::min(), 1.0f)));
  }
  const double most = *std::ranges::max_element(outputs);
  double sum = 0;  // of exp(x - most): no overflow, and at least 1
  for (const float value : outputs) sum += std::exp(value - most);
  return most + std::log(sum) - static_cast<double>(right);
}

}  // namespace

void ClassificationScore::Add(std::span<const float> outputs, std::int64_t label,
                              std::string_view name) {
  if (label < 0 || static_cast<std::uint64_t>(label) >= outputs.size()) {
    throw Error(ErrorCode::kShapeMismatch,
                fmt::format("{} has the label {}, but the model's classes are 0 to {}", Quote(name),
                            label, static_cast<std::int64_t>(outputs.size()) - 1));
  }
  CheckOutputs(output_, outputs, name);
  const auto at = static_cast<std::size_t>(label);
  const float right = outputs[at];
  if (*std::ranges::max_element(outputs) == -std::numeric_limits<float>::infinity()) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("all the model's outputs for {} are -infinity", Quote(name)));
  }
  const auto better = std::ranges::count_if(outputs, [right](float v) { return v > right; }) +
                      std::ranges::count(outputs.first(at), right);
  ++samples_;
  top1_ += better < 1 ? 1 : 0;
  top5_ += better < 5 ? 1 : 0;
  loss_sum_ += Loss(output_, outputs, right);
}

void ClassificationScore::Merge(const ClassificationScore& other) noexcept {
  samples_ += other.samples_;
  top1_ += other.top1_;
  top5_ += other.top5_;
  loss_sum_ += other.loss_sum_;
}

}  // namespace espalier
