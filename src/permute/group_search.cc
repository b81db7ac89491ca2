#include "permute/group_search.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <span>

namespace espalier::internal {
namespace {

Window SortedWindow(Window window) {
  std::ranges::sort(window);
  return window;
}

// The consumer's windows that lie in the cell as a whole, each set of channels once.
std::vector<Window> WindowsWithin(const Consumer& consumer, const ChannelCell& cell) {
  std::vector<Window> within;
  std::set<Window> seen;
  for (const Window& window : consumer.Windows()) {
    const bool inside = std::ranges::all_of(window, [&](std::uint32_t channel) {
      return std::ranges::binary_search(cell.channels, channel);
    });
    if (!inside) continue;
    const Window sorted = SortedWindow(window);
    const bool distinct = std::ranges::adjacent_find(sorted) == sorted.end();
    if (distinct && seen.insert(sorted).second) within.push_back(window);
  }
  return within;
}

// Windows that share a channel cannot be filled one by one.
bool AreDisjoint(const std::vector<Window>& windows) {
  std::set<std::uint32_t> seen;
  for (const Window& window : windows) {
    for (const std::uint32_t channel : window) {
      if (!seen.insert(channel).second) return false;
    }
  }
  return true;
}

// Whether the consumer looks at these very sets of channels.
bool HasWindows(const Consumer& consumer, const ChannelCell& cell,
                const std::vector<Window>& windows) {
  std::set<Window> own;
  for (const Window& window : WindowsWithin(consumer, cell)) own.insert(SortedWindow(window));
  if (own.size() != windows.size()) return false;
  return std::ranges::all_of(
      windows, [&](const Window& window) { return own.contains(SortedWindow(window)); });
}

std::vector<Window> WindowsToFill(const ChannelCell& cell, const std::vector<Consumer>& consumers) {
  std::vector<Window> best;
  std::size_t most = 0;
  for (const Consumer& consumer : consumers) {
    std::vector<Window> windows = WindowsWithin(consumer, cell);
    const std::size_t weights = windows.size() * consumer.rows();
    if (windows.size() < 2 || weights <= most || !AreDisjoint(windows)) continue;
    most = weights;
    best = std::move(windows);
  }
  return best;
}

double KeptOf(const std::vector<Consumer>& consumers, std::span<const std::uint32_t> takes) {
  double kept = 0;
  for (const Consumer& consumer : consumers) kept += consumer.Kept(takes);
  return kept;
}

// Changes `takes` for the cell's channels; returns the rounds.
std::int64_t SearchCell(const ChannelCell& cell, const std::vector<Consumer>& consumers,
                        const NmGroup& nm, const PermuteOptions& options,
                        std::vector<std::uint32_t>& takes) {
  const std::vector<Window> windows = WindowsToFill(cell, consumers);
  if (windows.empty()) return 0;
  std::vector<std::uint32_t> channels;
  for (const Window& window : windows) {
    channels.insert(channels.end(), window.begin(), window.end());
  }
  std::vector<float> scores;
  std::size_t rows = 0;
  for (const Consumer& consumer : consumers) {
    if (HasWindows(consumer, cell, windows)) rows += consumer.AppendColumns(channels, &scores);
  }
  const ScoreMatrix matrix = {scores, static_cast<std::int64_t>(rows),
                              static_cast<std::int64_t>(channels.size())};
  const PermuteResult found = SearchPermutation(matrix, nm, options);
  for (std::size_t i = 0; i < channels.size(); ++i) takes[channels[i]] = channels[found.order[i]];
  return found.rounds;
}

}  // namespace

GroupOrder SearchGroup(const CouplingGroup& group, const std::vector<Consumer>& consumers,
                       const NmGroup& nm, const PermuteOptions& options) {
  GroupOrder found;
  found.takes.resize(group.channels);
  std::iota(found.takes.begin(), found.takes.end(), 0u);
  for (const Consumer& consumer : consumers) found.total += consumer.Total();
  found.kept_before = found.kept_after = KeptOf(consumers, found.takes);
  double channels = 0;
  for (const ChannelCell& cell : group.cells) channels += static_cast<double>(cell.channels.size());
  for (const ChannelCell& cell : group.cells) {
    std::vector<std::uint32_t> trial = found.takes;
    PermuteOptions of_cell = options;
    of_cell.share *= static_cast<double>(cell.channels.size()) / channels;
    const std::int64_t rounds = SearchCell(cell, consumers, nm, of_cell, trial);
    found.rounds += rounds;
    if (rounds == 0 || trial == found.takes) continue;
    const double kept = KeptOf(consumers, trial);
    if (kept <= found.kept_after) continue;
    found.kept_after = kept;
    found.takes = std::move(trial);
  }
  return found;
}

}  // namespace espalier::internal
