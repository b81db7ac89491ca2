#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "runtime/program.h"
#include "runtime/stripe_plan.h"

namespace espalier::runtime {

/// The slot has no place of its own in the arena: a constant, a kept value, a view.
inline constexpr std::size_t kNoStorage = std::numeric_limits<std::size_t>::max();

struct StoragePlan {
  std::vector<std::size_t> offsets;  ///< By slot: bytes from the arena's begin, or kNoStorage.
  std::size_t bytes = 0;
};

/// Gives the values that steps make, as the last run left them, places in one arena, by the time
/// that each is in use. An input of a Concat whose elements are one run of the output is placed
/// inside of the output, so that nothing has to be copied. What a group of stripes hands from step
/// to step gets none.
StoragePlan PlanStorage(std::span<const Slot> slots, std::span<const Step> steps,
                        std::span<const int> inputs, std::span<const int> outputs,
                        std::span<const StripeGroup> groups);

}  // namespace espalier::runtime
