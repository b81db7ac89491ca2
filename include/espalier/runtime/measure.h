#pragma once

#include <functional>
#include <vector>

#include "espalier/runtime/session.h"

namespace espalier {

/// Wall-clock times of many runs of the same thing, in milliseconds.
struct Latency {
  double min_ms = 0;
  double p10_ms = 0;  ///< A tenth of the runs took no longer.
  double median_ms = 0;
};

/// Times things in turn, one run of each a round, so that whatever else the machine does meets all
/// of them alike.
/// @param warmup  Rounds that do not count.
/// @param rounds  At least 1.
/// @return        One a thing.
/// @throws Error  kInvalidArgument for no rounds; whatever the things throw.
std::vector<Latency> MeasureInTurn(const std::vector<std::function<void()>>& things, int warmup,
                                   int rounds);

/// The steps of a session with each step's median time over `rounds` runs.
/// @throws Error  As Session::Run(); kInvalidArgument for no rounds.
std::vector<StepReport> MeasureSteps(Session& session, std::span<const InputTensor> inputs,
                                     int rounds);

}  // namespace espalier
