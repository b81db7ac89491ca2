#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/environment.h"
#include "runtime/packed_product.h"

namespace espalier::runtime {

/// What the choice of a layer's kernel depends on.
struct LayerProblem {
  std::string layer;               ///< Name, for SessionOptions::choices.
  std::span<const float> weights;  ///< [rows, cols], row-major, of the first group.
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t pixels = 0;
  SpmmInputKind input = SpmmInputKind::kPlanes;
  std::string window;  ///< Equal for layers whose windows are equal; empty but for kWindow.
};

/// Chooses how a layer runs: as SessionOptions::choices says, else by timing the cost model's
/// candidates, else the cost model's first.
///
/// @param run_packed   Runs the layer with a candidate's packed matrix, for timing.
/// @param run_general  Runs it with the general operator; empty if that is no candidate.
LayerChoice ChooseKernel(const LayerProblem& problem, const Environment& environment,
                         const std::function<void(const PackedProduct&)>& run_packed,
                         const std::function<void()>& run_general);

/// Share of zeros.
double SparsityOf(std::span<const float> weights);

}  // namespace espalier::runtime
