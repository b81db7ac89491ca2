#pragma once

#include <string>
#include <string_view>

namespace espalier {

/// A name from a file, with control characters written as "\x1b".
std::string PrintableName(std::string_view text);

}  // namespace espalier
