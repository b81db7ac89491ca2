#pragma once

namespace espalier {

/// What the core gives at this moment, in GFLOP/s, float32 at the widest vectors in use. On a
/// shared host the second number moves by itself: another machine on the same core takes part of
/// the loads.
struct MachineLimits {
  double fma;       ///< Multiply-adds of registers: what a dense product may reach.
  double load_fma;  ///< Multiply-adds with one operand of each in the nearest cache: what an
                    ///< unstructured sparse product may reach.
};

/// @cost  About 0.1 ms.
MachineLimits MeasureMachineLimits();

}  // namespace espalier
