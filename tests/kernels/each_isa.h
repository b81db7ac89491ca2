#pragma once

#include <cstdint>

#include "gtest/gtest.h"
#include "hwy/highway.h"

namespace espalier {

/// Runs `check` once on every instruction set that is built in and that this machine has.
template <typename Check>
void OnEachIsa(Check check) {
  for (const std::int64_t isa : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(isa);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    SCOPED_TRACE(hwy::TargetName(isa));
    check();
  }
  hwy::SetSupportedTargetsForTest(0);  // back to the machine's own choice
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace espalier
