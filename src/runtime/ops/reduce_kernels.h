#pragma once

#include "runtime/ops/reduce_loops.h"

namespace espalier::runtime {

enum class ReduceKind : unsigned char {
  kSum,
  kAbsoluteSum,
  kSquareSum,
  kExpSum,  ///< With ReduceEnd::kLog only.
  kProduct,
  kMax,
  kMin,
};

/// Runs reductions; keeps its working memory.
class ReduceKernels {
 public:
  /// @param x    The tensor that was planned.
  /// @param out  Of the same type, with plan.outputs() > 0 elements. Integers wrap; roots and
  ///             logarithms of integers are cut to integers. Over nothing: 0, 1, infinities; the
  ///             mean is NaN, of integers 0.
  /// @throws Error  kUnsupported for a type that the reduction does not run on.
  void Run(ReduceKind kind, ReduceEnd end, const ReducePlan& plan, int threads, const Value& x,
           Value& out);

 private:
  void RunInDouble(ReduceKind kind, ReduceEnd end, const ReducePlan& plan, int threads,
                   const Value& x, Value& out);

  std::vector<double> wide_x_;
  std::vector<double> wide_out_;
};

}  // namespace espalier::runtime
