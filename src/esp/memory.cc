#include "esp/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include "esp/layout.h"
#include "espalier/base/error.h"

namespace espalier::internal {
namespace {

constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
constexpr std::uint64_t kBlockBytes = std::uint64_t{16} << 20;

Memory MapBlock(std::uint64_t size) {
  const std::uint64_t whole = (size + kHugePage - 1) / kHugePage * kHugePage;
  const std::uint64_t mapped = whole + kHugePage;  // room to begin at a huge page
  void* const begin = size > whole || mapped < whole
                          ? MAP_FAILED
                          : mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) {
    throw Error(ErrorCode::kUnsupported, fmt::format("no memory for {} bytes", size));
  }
  std::shared_ptr<void> owner(begin, [mapped](void* block) { munmap(block, mapped); });
  const std::uint64_t past = reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  std::byte* const first = static_cast<std::byte*>(begin) + (past == 0 ? 0 : kHugePage - past);
  // Not for a small model: it would take 2 MB. Failure leaves small pages.
  if (size >= kHugePage / 2) madvise(first, whole, MADV_HUGEPAGE);
  return {std::move(owner), {first, static_cast<std::size_t>(size)}};
}

}  // namespace

std::vector<Memory> ZeroedPieces(std::span<const std::uint64_t> sizes) {
  std::vector<Memory> pieces(sizes.size());
  for (std::size_t first = 0; first < sizes.size();) {
    std::uint64_t block_bytes = Aligned(sizes[first]);
    std::size_t end = first + 1;
    for (; end < sizes.size() && block_bytes + Aligned(sizes[end]) <= kBlockBytes; ++end) {
      block_bytes += Aligned(sizes[end]);
    }
    if (block_bytes > 0) {
      const Memory block = MapBlock(block_bytes);
      std::uint64_t at = 0;
      for (std::size_t i = first; i < end; ++i) {
        pieces[i] = {block.owner, block.bytes.subspan(at, Aligned(sizes[i]))};
        at += Aligned(sizes[i]);
      }
    }
    first = end;
  }
  return pieces;
}

}  // namespace espalier::internal
