#pragma once

#include <map>
#include <string>

#include "espalier/format/packed_matrix.h"
#include "espalier/runtime/session.h"
#include "runtime/value.h"

namespace espalier::runtime {

/// The kernel that was chosen for a layer.
struct LayerChoice {
  PackOptions options;
  bool general = false;  ///< The general operator is faster than any packed kernel.
  std::string text;      ///< What was chosen, as in SessionOptions::choices.
  std::string reason;
};

/// What the operators of a session have in common.
struct Environment {
  explicit Environment(const SessionOptions& given = {}, std::uint64_t memory_limit = UINT64_MAX)
      : options(given), memory(memory_limit) {}

  SessionOptions options;
  /// What the values of all programs take together.
  mutable MemoryBudget memory;
  /// Rounds that loops made in this run.
  mutable std::int64_t loop_trips = 0;
  /// What timing found, by problem: layers of the same shape and sparsity are timed once.
  mutable std::map<std::string, LayerChoice> tuned;
};

}  // namespace espalier::runtime
