#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "esp/layout.h"
#include "espalier/esp/esp_file.h"

namespace espalier::internal {

/// Bytes to read from: a file or a piece of memory. `read` fills its argument from an offset on,
/// inside `size`; called from several threads.
struct ByteSource {
  std::uint64_t size = 0;
  std::function<void(std::uint64_t offset, std::span<std::byte> out)> read;
};

/// Body of ReadEsp().
EspFile ParseEsp(const ByteSource& source, int threads, Checks checks);

/// A source in memory, which has to outlive it.
ByteSource SourceOf(std::span<const std::byte> bytes);

}  // namespace espalier::internal
