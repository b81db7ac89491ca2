#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace espalier {

/// A file in memory with a path, so that a fuzzer enters where a user's file does. Made once, its
/// content is replaced for each input.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    if (descriptor_ < 0) std::abort();
  }
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }
  void Set(const std::uint8_t* data, std::size_t size) const {
    if (ftruncate(descriptor_, 0) != 0) std::abort();
    if (pwrite(descriptor_, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  }

 private:
  int descriptor_ = -1;
};

/// Stops the fuzzer with the input that broke a promise of the library.
inline void Require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace espalier
