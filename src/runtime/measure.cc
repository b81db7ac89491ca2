#include "espalier/runtime/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "espalier/base/error.h"

namespace espalier {
namespace {

void CheckRounds(int rounds) {
  if (rounds >= 1) return;
  throw Error(ErrorCode::kInvalidArgument, fmt::format("{} runs, at least 1 is needed", rounds));
}

// The share `part` of the times is not above the result.
double Quantile(std::vector<double>& times, double part) {
  std::ranges::sort(times);
  return times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1))];
}

}  // namespace

std::vector<Latency> MeasureInTurn(const std::vector<std::function<void()>>& things, int warmup,
                                   int rounds) {
  using Clock = std::chrono::steady_clock;
  CheckRounds(rounds);
  std::vector<std::vector<double>> times(things.size());
  for (int round = 0; round < warmup + rounds; ++round) {
    for (std::size_t i = 0; i < things.size(); ++i) {
      const auto begin = Clock::now();
      things[i]();
      const std::chrono::duration<double, std::milli> time = Clock::now() - begin;
      if (round >= warmup) times[i].push_back(time.count());
    }
  }
  std::vector<Latency> latencies;
  for (std::vector<double>& list : times) {
    latencies.push_back({Quantile(list, 0), Quantile(list, 0.1), Quantile(list, 0.5)});
  }
  return latencies;
}

std::vector<StepReport> MeasureSteps(Session& session, std::span<const InputTensor> inputs,
                                     int rounds) {
  CheckRounds(rounds);
  std::vector<StepReport> steps;
  std::vector<std::vector<double>> times;
  for (int round = 0; round < rounds; ++round) {
    session.RunTimed(inputs);
    steps = session.Steps();
    times.resize(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i) times[i].push_back(steps[i].milliseconds);
  }
  for (std::size_t i = 0; i < steps.size(); ++i) steps[i].milliseconds = Quantile(times[i], 0.5);
  return steps;
}

}  // namespace espalier
