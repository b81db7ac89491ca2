#include "espalier/pattern/pattern.h"

#include <fmt/format.h>

#include "espalier/base/error.h"

namespace espalier {
namespace {

[[noreturn]] void NotOfThisKind(const Pattern& pattern, const char* function) {
  throw Error(ErrorCode::kInternal,
              fmt::format("pattern '{}' does not implement {}", pattern.Name(), function));
}

}  // namespace

void Pattern::MaskGroups(std::span<const float>, const PackedShape&,
                         std::span<std::uint8_t>) const {
  NotOfThisKind(*this, "MaskGroups");
}

std::optional<Violation> Pattern::FindViolation(std::span<const std::uint8_t>,
                                                const PackedShape&) const {
  NotOfThisKind(*this, "FindViolation");
}

std::int64_t Pattern::UnitCount(const PackedShape&) const { NotOfThisKind(*this, "UnitCount"); }

std::int64_t Pattern::UnitSize(const PackedShape&) const { NotOfThisKind(*this, "UnitSize"); }

void Pattern::ScoreUnits(std::span<const float>, const PackedShape&, UnitNorm,
                         std::span<float>) const {
  NotOfThisKind(*this, "ScoreUnits");
}

void Pattern::ExpandUnits(std::span<const std::uint8_t>, const PackedShape&,
                          std::span<std::uint8_t>) const {
  NotOfThisKind(*this, "ExpandUnits");
}

}  // namespace espalier
