#include "runtime/stripe_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <optional>

#include "espalier/base/isa.h"
#include "runtime/layer_weight.h"

namespace espalier::runtime {
namespace {

// What a stripe touches of all images: three quarters of an L2 of 512 KB. Half of it would leave
// MobileNet's first layers 2 rows at a time, at which the depthwise ones take up to twice as long.
constexpr std::size_t kStripeBytes = 384 * 1024;
// Of the input and the output, which only pass through.
constexpr double kPassingShare = 0.5;
// Measured on MobileNetV1 and V2 (Zen 3): an image of 1.6 MB costs nothing to hand on through L3,
// one of 3.2 MB 0.25 ms, one of 4.8 MB 0.2 ms; at 20 bytes/ns about two passes over what is above
// 1 MB.
constexpr double kNearBytes = 1e6;
constexpr double kFarPasses = 2;
// A row that is kept moves within L2: a quarter of a fetch from behind it.
constexpr double kKeepCost = 0.25;
// Starting a layer on a stripe takes as long as fetching so many bytes, ...
constexpr double kStartBytes = 20e3;
// ... and each channel of a depthwise one 60 ns.
constexpr double kStartChannelBytes = 1200;
// Fewer pixels than this leave the vectors of a tile half empty.
constexpr std::size_t kFewestPixels = 48;

double ImageBytes(std::size_t channels, std::size_t rows, std::size_t width) {
  return static_cast<double>(channels * rows * width * sizeof(float));
}

double FarBytes(double bytes) { return kFarPasses * std::max(0.0, bytes - kNearBytes); }

// Steps in a row, each of which alone reads what the one before it makes.
struct Line {
  std::vector<std::size_t> steps;
  std::vector<const StripeLayer*> layers;
};

std::vector<int> CountReaders(std::span<const Slot> slots, std::span<const Step> steps,
                              std::span<const int> outputs) {
  std::vector<int> readers(slots.size());
  const auto read = [&](int slot) {
    if (slot >= 0) ++readers[static_cast<std::size_t>(slot)];
  };
  for (const Step& step : steps) {
    for (const int slot : step.inputs) read(slot);
  }
  for (const int slot : outputs) read(slot);
  return readers;
}

std::vector<Line> FindLines(std::span<const Slot> slots, std::span<const Step> steps,
                            std::span<const int> outputs) {
  const std::vector<int> readers = CountReaders(slots, steps, outputs);
  std::vector<Line> lines;
  int handed_on = -1;  // slot that continues the last line
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    if (step.skip) continue;
    const StripeLayer* layer = step.op->AsStripeLayer();
    if (layer == nullptr) {
      handed_on = -1;
      continue;
    }
    if (handed_on < 0 || step.inputs[0] != handed_on) lines.emplace_back();
    lines.back().steps.push_back(i);
    lines.back().layers.push_back(layer);
    const int made = step.outputs[0];
    handed_on = readers[static_cast<std::size_t>(made)] == 1 ? made : -1;
  }
  return lines;
}

std::vector<const StripeLayer*> Part(const Line& line, std::size_t begin, std::size_t end) {
  return {line.layers.begin() + static_cast<std::ptrdiff_t>(begin),
          line.layers.begin() + static_cast<std::ptrdiff_t>(end)};
}

StripeGroup GroupOf(const Line& line, std::size_t begin, StripeChain chain) {
  const auto first = line.steps.begin() + static_cast<std::ptrdiff_t>(begin);
  return {{first, first + static_cast<std::ptrdiff_t>(chain.size())}, std::move(chain)};
}

// The most rows whose stripe stays near; nothing if even the fewest do not.
std::optional<StripeChain> FittingChain(const Line& line, std::size_t begin, std::size_t end,
                                        int threads) {
  const StripeLayer& first = *line.layers[begin];
  const StripeShape in = first.Shape();
  const StripeShape out = line.layers[end - 1]->Shape();
  std::optional<StripeChain> best;
  for (std::size_t rows = 1; rows < out.out_h; rows *= 2) {
    if (rows * out.out_w < kFewestPixels) continue;
    StripeChain chain(Part(line, begin, end), rows, threads);
    const std::size_t in_rows = rows * in.in_h / out.out_h;
    const double bytes = static_cast<double>(chain.buffer_floats() * sizeof(float)) +
                         kPassingShare * (ImageBytes(in.in_channels, in_rows, in.in_w) +
                                          ImageBytes(out.out_channels, rows, out.out_w));
    if (bytes > static_cast<double>(kStripeBytes)) break;
    best = std::move(chain);
  }
  return best;
}

double CostOf(const Line& line, std::size_t begin, const StripeChain& chain) {
  double cost = 0;
  const StripeShape last = line.layers[begin + chain.size() - 1]->Shape();
  const double stripes = static_cast<double>((last.out_h + chain.rows() - 1) / chain.rows());
  for (std::size_t i = begin; i < begin + chain.size(); ++i) {
    const StripeShape shape = line.layers[i]->Shape();
    cost += stripes * kStartBytes;
    const RowRange one = line.layers[i]->InputRows({shape.out_h / 2, shape.out_h / 2 + 1});
    const RowRange two = line.layers[i]->InputRows({shape.out_h / 2, shape.out_h / 2 + 2});
    if (one.size() > 1)
      cost += stripes * kStartChannelBytes * static_cast<double>(shape.in_channels);
    if (i == begin) continue;
    const std::size_t kept = one.size() - std::min(one.size(), two.size() - one.size());
    cost += kKeepCost * stripes * ImageBytes(shape.in_channels, kept, shape.in_w);
  }
  return cost;
}

double ImageBehind(const StripeLayer& layer) {
  const StripeShape shape = layer.Shape();
  return ImageBytes(shape.out_channels, shape.out_h, shape.out_w);
}

// Cuts the line where the traffic through far memory, and what stripes cost, is least.
void CutLine(const Line& line, int threads, std::vector<StripeGroup>& groups) {
  const std::size_t count = line.layers.size();
  std::vector<double> best(count + 1, std::numeric_limits<double>::infinity());
  std::vector<std::size_t> from(count + 1);
  std::vector<std::optional<StripeChain>> chains(count + 1);
  best[0] = 0;
  for (std::size_t begin = 0; begin < count; ++begin) {
    for (std::size_t end = begin + 1; end <= std::min(count, begin + kMaxStripeLayers); ++end) {
      std::optional<StripeChain> chain;
      if (end > begin + 1) {
        chain = FittingChain(line, begin, end, threads);
        if (!chain) continue;
      }
      const double cost = best[begin] + (chain ? CostOf(line, begin, *chain) : 0) +
                          FarBytes(ImageBehind(*line.layers[end - 1]));
      if (cost >= best[end]) continue;
      best[end] = cost;
      from[end] = begin;
      chains[end] = std::move(chain);
    }
  }
  for (std::size_t end = count; end > 0; end = from[end]) {
    if (chains[end]) groups.push_back(GroupOf(line, from[end], std::move(*chains[end])));
  }
}

void SortBySteps(std::vector<StripeGroup>& groups) {
  std::ranges::sort(groups, {}, [](const StripeGroup& group) { return group.steps.front(); });
}

// What StripeText() writes.
struct ChosenStripes {
  std::size_t layers = 0;
  std::size_t rows = 0;
};

// No layers if the options choose none for this instruction set.
ChosenStripes StripesFor(const std::string& layer, const SessionOptions& options) {
  for (const KernelChoice& choice : options.choices) {
    if (choice.layer != layer || choice.isa != ActiveIsa()) continue;
    const std::size_t at = choice.choice.find("stripes ");
    if (at == std::string::npos) continue;
    ChosenStripes chosen;
    const char* const text = choice.choice.c_str() + at;
    if (std::sscanf(text, "stripes %zux%zu", &chosen.layers, &chosen.rows) == 2) return chosen;
  }
  return {};
}

bool FitsLine(const Line& line, std::size_t begin, const ChosenStripes& chosen) {
  if (chosen.layers > std::min(kMaxStripeLayers, line.steps.size() - begin)) return false;
  return chosen.rows > 0 && chosen.rows <= line.layers[begin + chosen.layers - 1]->Shape().out_h;
}

}  // namespace

std::vector<StripeGroup> FindStripeGroups(std::span<const Slot> slots, std::span<const Step> steps,
                                          std::span<const int> outputs, int threads) {
  std::vector<StripeGroup> groups;
  for (const Line& line : FindLines(slots, steps, outputs)) CutLine(line, threads, groups);
  SortBySteps(groups);
  return groups;
}

std::vector<StripeGroup> ChosenStripeGroups(std::span<const Slot> slots,
                                            std::span<const Step> steps,
                                            std::span<const int> outputs,
                                            const SessionOptions& options) {
  std::vector<StripeGroup> groups;
  for (const Line& line : FindLines(slots, steps, outputs)) {
    for (std::size_t i = 0; i < line.steps.size(); ++i) {
      const ChosenStripes chosen = StripesFor(LayerName(*steps[line.steps[i]].node), options);
      if (chosen.layers < 2 || !FitsLine(line, i, chosen)) continue;
      const std::size_t end = i + chosen.layers;
      groups.push_back(
          GroupOf(line, i, StripeChain(Part(line, i, end), chosen.rows, options.threads)));
      i = end - 1;
    }
  }
  return groups;
}

std::string StripeText(const StripeGroup& group) {
  return fmt::format("stripes {}x{}", group.chain.size(), group.chain.rows());
}

}  // namespace espalier::runtime
