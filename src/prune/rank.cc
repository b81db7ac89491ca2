#include "prune/rank.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "espalier/base/error.h"
#include "espalier/base/parallel.h"

namespace espalier {
namespace {

constexpr std::size_t kBins = 2048;
using Histogram = std::array<std::uint64_t, kBins>;

struct Digit {
  int shift;
  int bits;
};
constexpr std::array<Digit, 3> kDigits = {{{20, 11}, {9, 11}, {0, 9}}};

std::vector<Histogram> CountDigit(const std::vector<KeySource>& sources, int shift,
                                  std::uint32_t prefix, int threads) {
  std::vector<Histogram> histograms(sources.size());
  ParallelFor(threads, sources.size(), [&](std::size_t i) {
    histograms[i].fill(0);
    sources[i](shift, prefix, histograms[i].data());
  });
  return histograms;
}

// Walks down the digits; `choose` picks the digit's value from the histograms.
template <class Choose>
RankResult Descend(const std::vector<KeySource>& sources, int threads, const Choose& choose) {
  RankResult result;
  result.counts.resize(sources.size());
  for (const Digit& digit : kDigits) {
    const auto histograms = CountDigit(sources, digit.shift, result.threshold, threads);
    const std::size_t value = choose(digit, histograms);
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const auto begin = histograms[i].begin();
      result.counts[i].below += std::accumulate(begin, begin + value, std::uint64_t{0});
      result.counts[i].ties = histograms[i][value];
    }
    result.threshold = (result.threshold << digit.bits) | static_cast<std::uint32_t>(value);
  }
  return result;
}

// Of `count` units to drop from sources cut by `rank`, ties are kept in the order of the sources.
void ShareTies(const RankResult& rank, std::uint64_t count, const std::vector<std::size_t>& members,
               std::vector<Quota>* quotas) {
  std::uint64_t below = 0;
  std::uint64_t ties = 0;
  for (const KeyCounts& counts : rank.counts) {
    below += counts.below;
    ties += counts.ties;
  }
  ESPALIER_CHECK(below <= count && count - below <= ties);
  std::uint64_t keep = ties - (count - below);
  for (std::size_t i = 0; i < members.size(); ++i) {
    const KeyCounts& counts = rank.counts[i];
    const std::uint64_t kept = std::min(keep, counts.ties);
    keep -= kept;
    (*quotas)[members[i]] = {counts.below + counts.ties - kept, rank.threshold, counts.below,
                             counts.ties, false};
  }
}

std::vector<KeySource> Pick(const std::vector<KeySource>& sources,
                            const std::vector<std::size_t>& members) {
  std::vector<KeySource> picked;
  for (const std::size_t i : members) picked.push_back(sources[i]);
  return picked;
}

// The `limit` lowest units of one source.
Quota AtLimit(const KeySource& source, std::uint64_t limit) {
  Quota quota;
  quota.limited = true;
  if (limit == 0) return quota;
  const RankResult rank = SelectLowest({source}, limit, 1);
  return {limit, rank.threshold, rank.counts[0].below, rank.counts[0].ties, true};
}

}  // namespace

RankResult SelectLowest(const std::vector<KeySource>& sources, std::uint64_t count, int threads) {
  std::uint64_t rest = count;
  return Descend(sources, threads, [&rest](const Digit&, const std::vector<Histogram>& all) {
    for (std::size_t value = 0; value < kBins; ++value) {
      std::uint64_t here = 0;
      for (const Histogram& histogram : all) here += histogram[value];
      if (rest <= here) return value;
      rest -= here;
    }
    throw Error(ErrorCode::kInternal, "ranking was asked for more units than there are");
  });
}

RankResult CountAtThreshold(const std::vector<KeySource>& sources, std::uint32_t threshold,
                            int threads) {
  return Descend(sources, threads, [threshold](const Digit& digit, const std::vector<Histogram>&) {
    return std::size_t{(threshold >> digit.shift) & ((1u << digit.bits) - 1)};
  });
}

std::vector<Quota> DivideDrops(const std::vector<KeySource>& sources,
                               const std::vector<std::uint64_t>& limits, std::uint64_t count,
                               int threads) {
  std::vector<Quota> quotas(sources.size());
  std::vector<std::size_t> open(sources.size());
  std::iota(open.begin(), open.end(), 0);
  // Each round either fits or puts a source at its limit; the threshold of the others only rises,
  // so a source at its limit stays there.
  while (count > 0 && !open.empty()) {
    std::uint64_t room = 0;
    for (const std::size_t i : open) room += limits[i];
    if (count >= room) {  // all at their limits, which hold units back unless it is just enough
      for (const std::size_t i : open) {
        quotas[i] = AtLimit(sources[i], limits[i]);
        quotas[i].limited = count > room;
      }
      return quotas;
    }
    ShareTies(SelectLowest(Pick(sources, open), count, threads), count, open, &quotas);
    std::vector<std::size_t> over;
    for (const std::size_t i : open) {
      if (quotas[i].drop > limits[i]) over.push_back(i);
    }
    if (over.empty()) return quotas;
    for (const std::size_t i : over) {
      quotas[i] = AtLimit(sources[i], limits[i]);
      count -= limits[i];
      std::erase(open, i);
    }
  }
  for (const std::size_t i : open) quotas[i] = Quota{};
  return quotas;
}

std::vector<Quota> DropBelow(const std::vector<KeySource>& sources,
                             const std::vector<std::uint64_t>& limits, std::uint32_t threshold,
                             int threads) {
  const RankResult rank = CountAtThreshold(sources, threshold, threads);
  std::vector<Quota> quotas(sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const KeyCounts& counts = rank.counts[i];
    quotas[i] = counts.below > limits[i]
                    ? AtLimit(sources[i], limits[i])
                    : Quota{counts.below, threshold, counts.below, counts.ties, false};
  }
  return quotas;
}

}  // namespace espalier
