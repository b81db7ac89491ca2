#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/graph/layers.h"
#include "espalier/pattern/pattern.h"

namespace espalier {

/// A run of one layer's weights, as a criterion sees it.
struct ScoreInput {
  const Layer& layer;
  std::int64_t first = 0;         ///< Index of the run's first weight in the layer's order.
  bool stored_order = false;      ///< That order is the file's (elementwise patterns), else packed.
  std::span<const float> values;  ///< Real values (integer weights times their scale).
};

/// The number that says how much a weight matters. Derive from it for one of your own. Keeps no
/// state that changes; safe to use from several threads.
class Criterion {
 public:
  virtual ~Criterion() = default;

  /// The spelling that makes this criterion again: "magnitude:l2".
  virtual std::string Name() const = 0;

  /// Scores each weight: finite, >= 0, larger is kept first. Must depend on nothing but the input,
  /// so that the same weights give the same mask whatever the chunks and threads.
  virtual void Score(const ScoreInput& input, std::span<float> scores) const = 0;

  /// How scores of a block or channel combine.
  virtual UnitNorm Norm() const { return UnitNorm::kSum; }

  /// Whether the score is exactly |w|, which lets kernels work on the stored bits.
  virtual bool IsMagnitude() const { return false; }
};

/// One family of criteria: how it is spelled and how a spelling becomes a criterion.
struct CriterionEntry {
  std::string spelling;  ///< Shown by `espalier criteria`, as is the help.
  std::string help;
  /// Returns nothing if `spec` is not of this family.
  std::function<std::unique_ptr<Criterion>(std::string_view spec, std::uint64_t seed)> make;
};

/// The list of criteria that can be made by name; a value, like PatternRegistry.
class CriterionRegistry {
 public:
  /// magnitude, magnitude:l2, random.
  static const CriterionRegistry& BuiltIn();

  /// @throws Error  kInvalidArgument if an entry with this spelling exists.
  void Add(CriterionEntry entry);

  /// @param seed     Used by random criteria only.
  /// @throws Error   kInvalidArgument if no family takes `spec`; the text lists the spellings.
  std::unique_ptr<Criterion> Make(std::string_view spec, std::uint64_t seed = 0) const;

  const std::vector<CriterionEntry>& entries() const noexcept { return entries_; }

 private:
  std::vector<CriterionEntry> entries_;
};

}  // namespace espalier
