#include "espalier/base/error.h"

#include <fmt/format.h>

namespace espalier {

Error::Error(ErrorCode code, const std::string& cause, const char* file, int line)
    : code_(code), text_(fmt::format("{} [{}:{}]", cause, file, line)) {}

void Error::AddContext(std::string_view step) { text_ += fmt::format("\n  while {}", step); }

namespace internal {

void CheckFailed(const char* condition, const char* file, int line) {
  throw Error(ErrorCode::kInternal,
              fmt::format("internal check failed: {}; please report this", condition), file, line);
}

}  // namespace internal
}  // namespace espalier
