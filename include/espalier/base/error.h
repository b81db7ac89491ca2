#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace espalier {

/// What kind of trouble an Error reports; the command line turns it into its exit status.
enum class ErrorCode {
  kInvalidArgument,  ///< The caller asked for something that makes no sense (exit 2).
  kShapeMismatch,    ///< Two shapes that have to agree do not (exit 2).
  kBadFile,          ///< A file is missing, unreadable, truncated or malformed (exit 3).
  kUnsupported,      ///< The input is valid, but this build or version cannot handle it (exit 4).
  kWriteFailed,      ///< An output could not be written; nothing was left behind (exit 5).
  kInternal,         ///< A fault of Espalier itself (exit 70).
};

/// The only exception type that leaves the library. what() reads top-down: the cause and its
/// place in our source, then one "while ..." line from each caller that knew more.
class Error : public std::exception {
 public:
  /// @param cause  One sentence with both values and, where there is one, what to do.
  /// @param file   Left at its default: the source file that throws.
  /// @param line   Left at its default: the line that throws.
  Error(ErrorCode code, const std::string& cause, const char* file = __builtin_FILE(),
        int line = __builtin_LINE());

  /// Adds a line "while <step>", for a caller that knows what was going on.
  void AddContext(std::string_view step);

  ErrorCode code() const noexcept { return code_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  ErrorCode code_;
  std::string text_;
};

namespace internal {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}  // namespace internal

}  // namespace espalier

/// For our own invariants, on in every build: throws Error(kInternal) with the condition's text.
#define ESPALIER_CHECK(condition) \
  ((condition)                    \
       ? static_cast<void>(0)     \
       : ::espalier::internal::CheckFailed(#condition, __builtin_FILE(), __builtin_LINE()))

/// The same inside kernels, where release builds may not pay for it.
#ifdef NDEBUG
#define ESPALIER_DCHECK(condition) static_cast<void>(0)
#else
#define ESPALIER_DCHECK(condition) ESPALIER_CHECK(condition)
#endif
