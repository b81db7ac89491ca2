#include "cli/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>

namespace espalier::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kQuietTime(2);
constexpr std::chrono::milliseconds kBetweenDrawings(100);
constexpr int kBarColumns = 40;

struct State {
  Clock::time_point start = Clock::now();
  Clock::time_point drawn = start;
};

}  // namespace

Progress MakeProgressBar(const CommonOptions& common, const Streams& streams) {
  if (common.quiet || isatty(STDERR_FILENO) == 0) return {};
  auto state = std::make_shared<State>();
  return [state, &talk = streams.talk](std::uint64_t done, std::uint64_t total) {
    const Clock::time_point now = Clock::now();
    if (total == 0 || now - state->start < kQuietTime || now - state->drawn < kBetweenDrawings) {
      return;
    }
    state->drawn = now;
    const double share = static_cast<double>(done) / static_cast<double>(total);
    const double elapsed = std::chrono::duration<double>(now - state->start).count();
    const int filled = static_cast<int>(share * kBarColumns);
    talk << fmt::format("\r[{:#<{}}{:.<{}}] {:5.1f} % {:5.0f} s left ", "", filled, "",
                        kBarColumns - filled, 100 * share,
                        share > 0 ? elapsed / share - elapsed : 0.0)
         << std::flush;
  };
}

void ClearProgressBar(const Progress& progress, const Streams& streams) {
  if (progress) streams.talk << "\r\x1b[K" << std::flush;
}

}  // namespace espalier::cli
