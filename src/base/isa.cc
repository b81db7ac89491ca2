#include "espalier/base/isa.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cstdlib>

#include "espalier/base/error.h"
#include "hwy/highway.h"

namespace espalier {
namespace {

// Every bit in `targets`, best (lowest) first, is one instruction set.
std::vector<std::string> Names(std::int64_t targets) {
  std::vector<std::string> names;
  for (auto rest = static_cast<std::uint64_t>(targets); rest != 0; rest &= rest - 1) {
    names.emplace_back(hwy::TargetName(std::int64_t{1} << std::countr_zero(rest)));
  }
  return names;
}

}  // namespace

std::vector<std::string> AvailableIsas() {
  std::vector<std::string> names;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

std::string ActiveIsa() { return Names(hwy::SupportedTargets() & HWY_TARGETS).front(); }

void ForceIsa(std::string_view name) {
  hwy::SetSupportedTargetsForTest(0);
  if (!name.empty()) {
    std::int64_t forced = 0;
    for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
      if (name == hwy::TargetName(target)) forced = target;
    }
    if (forced == 0) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("instruction set '{}' is not available here; available: {}", name,
                              fmt::join(AvailableIsas(), ", ")));
    }
    hwy::SetSupportedTargetsForTest(forced);
  }
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

void ForceIsaFromEnvironment() {
  if (const char* name = std::getenv("ESPALIER_FORCE_ISA"); name != nullptr && *name != '\0') {
    ForceIsa(name);
  }
}

}  // namespace espalier
