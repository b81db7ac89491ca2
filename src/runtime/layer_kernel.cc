#include "runtime/layer_kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "espalier/base/isa.h"
#include "runtime/pack_candidates.h"

namespace espalier::runtime {
namespace {

constexpr const char* kGeneral = "general";

// Each candidate runs once; those within 30 % of the best run twice more. The least time counts:
// whatever else the machine does only ever adds to it.
constexpr int kMoreRuns = 2;
constexpr double kStillInRace = 1.3;

// From this share of zeros on, the general operator is not timed: it would have to do 2.5 times the
// work in less time.
constexpr double kDenseMayWin = 0.6;

// One thread is timed by its own CPU time, which does not count what else the machine runs on the
// core meanwhile; several by the clock on the wall.
double Now(int threads) {
  timespec time = {};
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return 1e3 * static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_nsec);
}

double MillisecondsOf(const std::function<void()>& run, int threads) {
  const double begin = Now(threads);
  run();
  return Now(threads) - begin;
}

struct Candidate {
  PackOptions options;
  std::function<void()> run;
  bool general = false;
  double best_ms = std::numeric_limits<double>::infinity();
};

std::string TextOf(const Candidate& candidate) {
  return candidate.general ? kGeneral : PackText(candidate.options);
}

std::size_t Fastest(std::vector<Candidate>& candidates, int threads) {
  for (Candidate& candidate : candidates) {
    candidate.run();  // caches and branch predictors learn
    candidate.best_ms = MillisecondsOf(candidate.run, threads);
  }
  const auto best = [&] { return std::ranges::min_element(candidates, {}, &Candidate::best_ms); };
  const double limit = kStillInRace * best()->best_ms;
  for (int i = 0; i < kMoreRuns; ++i) {
    for (Candidate& candidate : candidates) {
      if (candidate.best_ms <= limit) {
        candidate.best_ms = std::min(candidate.best_ms, MillisecondsOf(candidate.run, threads));
      }
    }
  }
  return static_cast<std::size_t>(best() - candidates.begin());
}

std::string KeyOf(const LayerProblem& problem, double sparsity, int threads) {
  return fmt::format("{}x{} {} {} {} {:.2f} {}", problem.rows, problem.cols, problem.pixels,
                     static_cast<int>(problem.input), problem.window, sparsity, threads);
}

LayerChoice FromCandidate(const Candidate& candidate, std::string reason) {
  return {candidate.options, candidate.general, TextOf(candidate), std::move(reason)};
}

}  // namespace

double SparsityOf(std::span<const float> weights) {
  if (weights.empty()) return 0;
  const auto zeros = std::ranges::count(weights, 0.0f);
  return static_cast<double>(zeros) / static_cast<double>(weights.size());
}

LayerChoice ChooseKernel(const LayerProblem& problem, const Environment& environment,
                         const std::function<void(const PackedProduct&)>& run_packed,
                         const std::function<void()>& run_general) {
  const SessionOptions& options = environment.options;
  for (const KernelChoice& choice : options.choices) {
    if (choice.layer != problem.layer || choice.isa != ActiveIsa()) continue;
    if (choice.choice == kGeneral && run_general) return {{}, true, kGeneral, "chosen before"};
    const auto pack = PackFromText(choice.choice);
    if (pack && HoldsExactly(pack->value, problem.weights)) {
      return {*pack, false, choice.choice, "chosen before"};
    }
  }
  const double sparsity = SparsityOf(problem.weights);
  const std::string key = KeyOf(problem, sparsity, options.threads);
  const auto known = environment.tuned.find(key);
  if (known != environment.tuned.end()) return known->second;

  const std::vector<PackOptions> packs = PackCandidates(problem.weights, problem.rows, problem.cols,
                                                        problem.pixels, options.dense_only);
  if (!options.tune) {
    return {packs.front(), false, PackText(packs.front()), "cost model"};
  }
  std::vector<Candidate> candidates;
  std::vector<std::unique_ptr<PackedProduct>> packed;
  for (const PackOptions& pack : packs) {
    packed.push_back(std::make_unique<PackedProduct>(problem.weights, problem.rows, problem.cols,
                                                     pack, problem.pixels, options.threads));
    candidates.push_back({pack, [&run_packed, p = packed.back().get()] { run_packed(*p); }});
  }
  if (run_general && (sparsity < kDenseMayWin || options.dense_only)) {
    candidates.push_back({{}, run_general, true});
  }
  const Candidate& winner = candidates[Fastest(candidates, options.threads)];
  double dense_ms = std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : candidates) {
    if (candidate.general || candidate.options.kind == PackedKind::kDense) {
      dense_ms = std::min(dense_ms, candidate.best_ms);
    }
  }
  std::string reason = fmt::format("fastest of {}", candidates.size());
  if (dense_ms < std::numeric_limits<double>::infinity() && dense_ms > winner.best_ms) {
    reason = fmt::format("{:.2f} x dense", dense_ms / winner.best_ms);
  }
  return environment.tuned.emplace(key, FromCandidate(winner, std::move(reason))).first->second;
}

}  // namespace espalier::runtime
