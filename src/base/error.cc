#include "espalier/base/error.h"

#include <fmt/format.h>

namespace espalier {
namespace {

// Compilers that are told relative paths, as a compiler cache does, count from the build folder.
std::string_view FromTheRoot(std::string_view file) {
  while (file.starts_with("../")) file.remove_prefix(3);
  return file;
}

}  // namespace

Error::Error(ErrorCode code, const std::string& cause, const char* file, int line)
    : code_(code), text_(fmt::format("{} [{}:{}]", cause, FromTheRoot(file), line)) {}

void Error::AddContext(std::string_view step) { text_ += fmt::format("\n  while {}", step); }

namespace internal {

void CheckFailed(const char* condition, const char* file, int line) {
  throw Error(ErrorCode::kInternal,
              fmt::format("internal check failed: {}; please report this", condition), file, line);
}

}  // namespace internal
}  // namespace espalier
