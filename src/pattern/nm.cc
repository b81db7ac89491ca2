#include "espalier/pattern/nm.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/pattern/registry.h"

namespace espalier {
namespace {

class NmPattern final : public Pattern {
 public:
  explicit NmPattern(NmGroup group) : group_(group) {}

  Kind kind() const override { return Kind::kPerGroup; }
  std::string Name() const override { return fmt::format("{}:{}", group_.n, group_.m); }
  std::optional<NmGroup> Nm() const override { return group_; }

  void MaskGroups(std::span<const float> scores, const PackedShape& shape,
                  std::span<std::uint8_t> keep) const override {
    std::vector<std::int64_t> order(group_.m);
    for (std::int64_t start = 0; start < shape.Elements(); start += shape.channels) {
      for (std::int64_t c = 0; c < shape.channels; c += group_.m) {
        const std::int64_t length = std::min(group_.m, shape.channels - c);
        MaskGroup(scores.subspan(start + c, length), keep.subspan(start + c, length), order);
      }
    }
  }

  std::optional<Violation> FindViolation(std::span<const std::uint8_t> nonzero,
                                         const PackedShape& shape) const override {
    for (std::int64_t start = 0; start < shape.Elements(); start += shape.channels) {
      for (std::int64_t c = 0; c < shape.channels; c += group_.m) {
        const auto group = nonzero.subspan(start + c, std::min(group_.m, shape.channels - c));
        const std::int64_t count = std::accumulate(group.begin(), group.end(), std::int64_t{0});
        if (count <= group_.n) continue;
        const std::int64_t line = start / shape.channels;  // row * positions + position
        return Violation{line / shape.positions, line % shape.positions, c, count};
      }
    }
    return std::nullopt;
  }

 private:
  void MaskGroup(std::span<const float> scores, std::span<std::uint8_t> keep,
                 std::vector<std::int64_t>& order) const {
    const auto length = static_cast<std::int64_t>(scores.size());
    const std::int64_t kept = std::min(group_.n, length);
    std::iota(order.begin(), order.begin() + length, 0);
    std::partial_sort(order.begin(), order.begin() + kept, order.begin() + length,
                      [scores](std::int64_t a, std::int64_t b) {
                        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                      });
    std::fill(keep.begin(), keep.end(), std::uint8_t{0});
    for (std::int64_t i = 0; i < kept; ++i) keep[order[i]] = 1;
  }

  NmGroup group_;
};

}  // namespace

std::unique_ptr<Pattern> ParseNm(std::string_view spec) {
  constexpr std::int64_t kMostGroup = 65536;
  const std::size_t colon = spec.find(':');
  if (colon == std::string_view::npos) return nullptr;
  const auto digits = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (!digits(spec.substr(0, colon)) || !digits(spec.substr(colon + 1))) return nullptr;
  const auto n = ParseCount(spec.substr(0, colon), kMostGroup);
  const auto m = ParseCount(spec.substr(colon + 1), kMostGroup);
  if (!n || !m || *n < 1 || *n >= *m) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("pattern '{}': N:M keeps N of every M input channels and needs "
                            "1 <= N < M <= {}",
                            spec, kMostGroup));
  }
  return std::make_unique<NmPattern>(NmGroup{*n, *m});
}

}  // namespace espalier
