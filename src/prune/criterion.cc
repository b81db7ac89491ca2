#include "espalier/prune/criterion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "espalier/base/error.h"
#include "espalier/base/random.h"

namespace espalier {
namespace {

class MagnitudeCriterion final : public Criterion {
 public:
  explicit MagnitudeCriterion(UnitNorm norm) : norm_(norm) {}

  std::string Name() const override {
    return norm_ == UnitNorm::kSum ? "magnitude" : "magnitude:l2";
  }
  UnitNorm Norm() const override { return norm_; }
  bool IsMagnitude() const override { return true; }

  void Score(const ScoreInput& input, std::span<float> scores) const override {
    std::ranges::transform(input.values, scores.begin(), [](float w) { return std::fabs(w); });
  }

 private:
  UnitNorm norm_;
};

class RandomCriterion final : public Criterion {
 public:
  explicit RandomCriterion(std::uint64_t seed) : seed_(seed) {}

  std::string Name() const override { return "random"; }

  void Score(const ScoreInput& input, std::span<float> scores) const override {
    const std::uint64_t seed = SeedFor(seed_, input.layer.weight);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      // 24 random bits are exact in a float; + 1 keeps a random score above that of no weight.
      const std::uint64_t bits = RandomAt(seed, static_cast<std::uint64_t>(input.first) + i) >> 40;
      scores[i] = static_cast<float>(bits + 1) * 0x1p-24f;
    }
  }

 private:
  std::uint64_t seed_;
};

}  // namespace

const CriterionRegistry& CriterionRegistry::BuiltIn() {
  static const CriterionRegistry registry = [] {
    CriterionRegistry r;
    r.Add({"magnitude", "|w|; blocks and channels by the sum of |w| (L1); the default",
           [](std::string_view spec, std::uint64_t) -> std::unique_ptr<Criterion> {
             if (spec != "magnitude" && spec != "magnitude:l1") return nullptr;
             return std::make_unique<MagnitudeCriterion>(UnitNorm::kSum);
           }});
    r.Add({"magnitude:l2", "|w|; blocks and channels by the root of the sum of squares",
           [](std::string_view spec, std::uint64_t) -> std::unique_ptr<Criterion> {
             if (spec != "magnitude:l2") return nullptr;
             return std::make_unique<MagnitudeCriterion>(UnitNorm::kRootSumSquares);
           }});
    r.Add({"random", "a random number from --seed and the weight's name: the control",
           [](std::string_view spec, std::uint64_t seed) -> std::unique_ptr<Criterion> {
             if (spec != "random") return nullptr;
             return std::make_unique<RandomCriterion>(seed);
           }});
    return r;
  }();
  return registry;
}

void CriterionRegistry::Add(CriterionEntry entry) {
  const auto same = [&entry](const CriterionEntry& e) { return e.spelling == entry.spelling; };
  if (std::ranges::any_of(entries_, same)) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("a criterion spelled '{}' is registered already", entry.spelling));
  }
  entries_.push_back(std::move(entry));
}

std::unique_ptr<Criterion> CriterionRegistry::Make(std::string_view spec,
                                                   std::uint64_t seed) const {
  std::string spellings;
  for (const CriterionEntry& entry : entries_) {
    if (auto criterion = entry.make(spec, seed)) return criterion;
    spellings += (spellings.empty() ? "" : ", ") + entry.spelling;
  }
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("unknown criterion '{}'; there are: {} (see `espalier criteria`)", spec,
                          spellings));
}

}  // namespace espalier
