#pragma once

#include <map>
#include <string>

#include "espalier/format/packed_matrix.h"
#include "espalier/runtime/session.h"

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
  SessionOptions options;
  /// What timing found, by problem: layers of the same shape and sparsity are timed once.
  mutable std::map<std::string, LayerChoice> tuned;
};

}  // namespace espalier::runtime
