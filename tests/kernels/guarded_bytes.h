#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>

namespace espalier {

/// On which side of the memory a page lies that cannot be touched; on the other side one does too,
/// a few bytes away.
enum class GuardSide { kBehind, kBefore };

/// Memory that ends at a page that cannot be touched, or begins behind one.
class GuardedBytes {
 public:
  GuardedBytes(std::size_t bytes, GuardSide side) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t body = (bytes + page - 1) / page * page;
    mapped_ = body + 2 * page;
    void* const base = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) std::abort();
    base_ = static_cast<char*>(base);
    if (mprotect(base_ + page, body, PROT_READ | PROT_WRITE) != 0) std::abort();
    data_ = base_ + page + (side == GuardSide::kBehind ? body - bytes : 0);
  }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;
  ~GuardedBytes() { munmap(base_, mapped_); }
  void* data() const { return data_; }

 private:
  char* base_ = nullptr;
  std::size_t mapped_ = 0;
  void* data_ = nullptr;
};

}  // namespace espalier
