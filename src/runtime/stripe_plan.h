#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "runtime/program.h"
#include "runtime/stripe_chain.h"

namespace espalier::runtime {

/// Steps of a program that run as one chain, by index. Between them lie only steps that are
/// skipped; nobody else reads what they hand on.
struct StripeGroup {
  std::vector<std::size_t> steps;
  StripeChain chain;
};

/// Groups for which the cost model expects that less memory traffic pays. To be called when all
/// steps have run once.
std::vector<StripeGroup> FindStripeGroups(std::span<const Slot> slots, std::span<const Step> steps,
                                          std::span<const int> outputs, int threads);

/// The groups that SessionOptions::choices ask for, as StripeText() said them.
std::vector<StripeGroup> ChosenStripeGroups(std::span<const Slot> slots,
                                            std::span<const Step> steps,
                                            std::span<const int> outputs,
                                            const SessionOptions& options);

/// "stripes 3x8": 3 layers, 8 rows of the last one at a time.
std::string StripeText(const StripeGroup& group);

}  // namespace espalier::runtime
