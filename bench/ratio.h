#pragma once

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "espalier/base/isa.h"

namespace espalier {

/// Times of one kernel and of a memcpy of the same bytes, taken in turn in one run.
struct RatioRow {
  std::string name;
  std::size_t bytes = 0;
  std::vector<double> kernel_seconds;
  std::vector<double> copy_seconds;
};

/// The share `part` (0.5: the median) of the times is not above the result.
inline double Quantile(std::vector<double> seconds, double part) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[static_cast<std::size_t>(part * static_cast<double>(seconds.size() - 1))];
}

inline std::vector<RatioRow>& RatioRows() {
  static std::vector<RatioRow> rows;
  return rows;
}

/// CPU time of this thread: what other programs do on the same core meanwhile does not count.
template <typename Step>
double SecondsOf(const Step& step) {
  const auto now = [] {
    timespec time = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  step();
  benchmark::ClobberMemory();
  return now() - begin;
}

/// Copies `original` over a work matrix (the timed control, which also undoes the last kernel) and
/// runs kernel(work), in turn, once an iteration. Google Benchmark sees the kernel's time.
template <typename T, typename Kernel>
void MeasureRatio(benchmark::State& state, const std::string& name, const std::vector<T>& original,
                  const Kernel& kernel) {
  RatioRow row{name, original.size() * sizeof(T), {}, {}};
  std::vector<T> work = original;
  kernel(work);  // pages and code are in place from here on
  for (auto _ : state) {
    row.copy_seconds.push_back(
        SecondsOf([&] { std::memcpy(work.data(), original.data(), row.bytes); }));
    row.kernel_seconds.push_back(SecondsOf([&] { kernel(work); }));
    state.SetIterationTime(row.kernel_seconds.back());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(row.bytes));
  const auto ratio = [&row](double part) {
    return Quantile(row.kernel_seconds, part) / Quantile(row.copy_seconds, part);
  };
  state.counters["to_memcpy_median"] = ratio(0.5);
  state.counters["to_memcpy_p10"] = ratio(0.1);
  RatioRows().push_back(std::move(row));
}

/// Registers a kernel under its name; 51 turns each.
template <typename T, typename Kernel>
void RegisterRatio(const std::string& name, const std::vector<T>& original, const Kernel& kernel) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [name, &original, kernel](benchmark::State& state) {
                                 MeasureRatio(state, name, original, kernel);
                               })
      ->Iterations(51)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

/// The control alone, as a benchmark of its own.
template <typename T>
void RegisterMemcpy(const std::string& name, const std::vector<T>& original) {
  benchmark::RegisterBenchmark(name.c_str(), [&original](benchmark::State& state) {
    std::vector<T> work = original;
    const std::size_t bytes = original.size() * sizeof(T);
    for (auto _ : state) {
      std::memcpy(work.data(), original.data(), bytes);
      benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
  })->Unit(benchmark::kMillisecond);
}

inline void PrintRatios() {
  fmt::print("\n{:<30}{:>6} {:>9}{:>9}  {:>8}{:>8}\n", "one thread, " + ActiveIsa(), "MiB",
             "kernel ms", "memcpy", "ratio", "p10");
  for (const RatioRow& row : RatioRows()) {
    const double kernel = Quantile(row.kernel_seconds, 0.5);
    const double copy = Quantile(row.copy_seconds, 0.5);
    fmt::print("{:<30}{:>6} {:>9.2f}{:>9.2f}  {:>8.2f}{:>8.2f}\n", row.name, row.bytes >> 20,
               kernel * 1e3, copy * 1e3, kernel / copy,
               Quantile(row.kernel_seconds, 0.1) / Quantile(row.copy_seconds, 0.1));
  }
}

/// Body of each bench's main(): pins the process to the CPU it is on, runs what was registered,
/// prints the table. ESPALIER_FORCE_ISA chooses the instruction set.
inline int RunRatioBenchmarks(int argc, char** argv) {
  ForceIsaFromEnvironment();
  cpu_set_t cpu;
  CPU_ZERO(&cpu);
  CPU_SET(sched_getcpu(), &cpu);
  sched_setaffinity(0, sizeof(cpu), &cpu);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return EXIT_FAILURE;
  benchmark::RunSpecifiedBenchmarks();
  PrintRatios();
  return EXIT_SUCCESS;
}

/// Normal numbers, as weights are, of standard deviation 0.02.
inline std::vector<float> NormalWeights(std::size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

}  // namespace espalier
