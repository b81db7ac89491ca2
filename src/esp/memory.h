#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace espalier::internal {

/// A piece of a block that is freed with the last owner of any of its pieces.
struct Memory {
  std::shared_ptr<void> owner;
  std::span<std::byte> bytes;
};

/// Zeroed pieces of the given sizes, aligned to 64, in blocks of up to 16 MiB (larger pieces have a
/// block of their own). Fresh pages from the kernel: nobody else writes the zeros of a sparse
/// weight.
///
/// Blocks ask for huge pages: a first touch of 17 MB in pages of 4 KB costs 4100 faults, 10 ms on a
/// virtual machine, more than reading and expanding together.
/// @throws Error  kUnsupported if there is no memory.
std::vector<Memory> ZeroedPieces(std::span<const std::uint64_t> sizes);

}  // namespace espalier::internal
