// A PyTorch file with other values in some of its tensors.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/io/pth.h"
#include "io/crc32.h"
#include "io/little_endian.h"
#include "io/pth_archive.h"
#include "io/strided.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::Quote;
using internal::StoredFile;

// Bytes that are read, changed and written as one: a storage of an archive, or, in the older
// format, what changed tensors span together.
struct Part {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  const StoredFile* stored = nullptr;
  std::vector<const PthChange*> changes;
};

void CheckChange(const PthChange& change) {
  const std::uint64_t need = static_cast<std::uint64_t>(ElementCount(change.entry.shape)) *
                             static_cast<std::uint64_t>(DTypeBits(change.entry.dtype)) / 8;
  if (change.bytes.size() == need) return;
  throw Error(ErrorCode::kShapeMismatch,
              fmt::format("tensor {}: {} bytes for the shape {} of {}", Quote(change.entry.name),
                          change.bytes.size(), DimsText(change.entry.shape),
                          DTypeName(change.entry.dtype)));
}

// By their first byte; changes that touch the same bytes share a part.
std::vector<Part> PartsOf(const std::vector<PthChange>& changes,
                          const std::vector<const StoredFile*>& archive) {
  std::vector<const PthChange*> order;
  for (const PthChange& change : changes) {
    CheckChange(change);
    if (!change.bytes.empty()) order.push_back(&change);
  }
  std::ranges::stable_sort(order, {}, [](const PthChange* change) { return change->entry.begin; });
  std::vector<Part> parts;
  for (const PthChange* change : order) {
    Part part = {change->entry.begin, change->entry.end, nullptr, {}};
    const auto behind = std::ranges::upper_bound(
        archive, part.begin, {}, [](const StoredFile* stored) { return stored->begin; });
    if (behind != archive.begin()) {
      part.stored = *std::prev(behind);
      part.begin = part.stored->begin;
      part.end = part.begin + part.stored->entry.size;
    }
    if (change->entry.end > part.end) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("tensor {} does not lie in the file", Quote(change->entry.name)));
    }
    if (parts.empty() || part.begin >= parts.back().end) parts.push_back(part);
    parts.back().end = std::max(parts.back().end, part.end);
    parts.back().changes.push_back(change);
  }
  return parts;
}

// Puts the new checksum wherever the old one stands: in the directory, and in the local header or
// the record behind the data.
void PatchChecksum(const InputFile& input, AtomicFile& output, const StoredFile& stored,
                   std::uint32_t sum) {
  const std::uint64_t end = stored.begin + stored.entry.size;
  constexpr unsigned kHasDescriptor = 8;
  std::vector<std::uint64_t> places = {stored.entry.record_at + 16, stored.entry.header_at + 14};
  if ((stored.entry.flags & kHasDescriptor) != 0) places.insert(places.end(), {end, end + 4});
  std::array<std::byte, 4> bytes{};
  for (const std::uint64_t place : places) {
    input.ReadAt(place, bytes);
    if (internal::LittleEndian(bytes.data(), 4) != stored.entry.crc) continue;
    for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<std::byte>(sum >> (8 * i));
    output.WriteAt(place, bytes);
  }
}

}  // namespace

void RewritePth(const InputFile& input, AtomicFile& output, const std::vector<PthChange>& changes) {
  std::array<char, 2> magic{};
  input.ReadAt(0, std::as_writable_bytes(std::span(magic)));
  std::optional<internal::StoredFiles> files;
  if (std::string_view(magic.data(), 2) == "PK") files.emplace(input);
  const std::vector<Part> parts =
      PartsOf(changes, files ? files->InOrder() : std::vector<const StoredFile*>());
  std::uint64_t at = 0;
  std::vector<std::pair<const StoredFile*, std::uint32_t>> sums;
  for (const Part& part : parts) {
    output.CopyFrom(input, at, at, part.begin - at);
    std::vector<std::byte> bytes(part.end - part.begin);
    input.ReadAt(part.begin, bytes);
    for (const PthChange* change : part.changes) {
      const PthEntry& entry = change->entry;
      internal::Scatter(
          entry, change->bytes,
          std::span(bytes).subspan(entry.begin - part.begin, entry.end - entry.begin));
    }
    output.WriteAt(part.begin, bytes);
    if (part.stored != nullptr) sums.emplace_back(part.stored, internal::Crc32(bytes));
    at = part.end;
  }
  output.CopyFrom(input, at, at, input.size() - at);
  for (const auto& [stored, sum] : sums) PatchChecksum(input, output, *stored, sum);
}

}  // namespace espalier
