#pragma once

#include <string>
#include <string_view>

namespace espalier::internal {

/// `text` in single quotes for an error message: control characters and bytes that are not UTF-8
/// become \xNN, and more than 200 bytes are cut, so that a hostile name cannot drive a terminal.
std::string Quote(std::string_view text);

/// The system's sentence for an errno value: "No space left on device".
std::string SystemReason(int error);

}  // namespace espalier::internal
