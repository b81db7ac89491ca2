#include "io/pth_archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

void CheckStored(const ZipEntry& entry) {
  if (entry.method != 0 || (entry.flags & 1u) != 0) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the entry {} is compressed or encrypted; unpack the archive and pack "
                            "it again with `zip -0`, or load and save it in PyTorch",
                            Quote(entry.name)));
  }
  if (entry.size != entry.packed_size) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("the entry {} is stored, but with the sizes {} and {}",
                            Quote(entry.name), entry.packed_size, entry.size));
  }
}

}  // namespace

StoredFiles::StoredFiles(const InputFile& file) {
  const ZipBytes archive = {file.size(), [&file](std::uint64_t offset, std::span<std::byte> out) {
                              file.ReadAt(offset, out);
                            }};
  for (ZipEntry& entry : ReadZipIndex(archive)) {
    StoredFile stored;
    stored.begin = ZipDataOffset(archive, entry);
    stored.entry = std::move(entry);
    const std::string name = stored.entry.name;
    if (!files_.emplace(name, std::move(stored)).second) {
      throw Error(ErrorCode::kBadFile, fmt::format("the entry {} comes twice", Quote(name)));
    }
  }
  CheckPlaces(FindZipDirectory(archive).offset);
}

const StoredFile* StoredFiles::Find(const std::string& name) const {
  const auto found = files_.find(name);
  if (found == files_.end()) return nullptr;
  CheckStored(found->second.entry);
  return &found->second;
}

std::string StoredFiles::Prefix() const {
  constexpr std::string_view kPickle = "data.pkl";
  std::vector<std::string> found;
  for (const auto& [name, stored] : files_) {
    if (name == kPickle || name.ends_with("/data.pkl")) found.push_back(name);
  }
  if (found.size() != 1) {
    throw Error(
        ErrorCode::kBadFile,
        fmt::format("{} entries with the name data.pkl instead of 1: this zip archive is no "
                    "PyTorch file",
                    found.size()));
  }
  return found[0].substr(0, found[0].size() - kPickle.size());
}

std::vector<const StoredFile*> StoredFiles::InOrder() const {
  std::vector<const StoredFile*> order;
  for (const auto& [name, stored] : files_) order.push_back(&stored);
  std::ranges::sort(order, {}, [](const StoredFile* stored) { return stored->entry.header_at; });
  return order;
}

void StoredFiles::CheckPlaces(std::uint64_t directory) const {
  const std::vector<const StoredFile*> order = InOrder();
  for (std::size_t i = 0; i < order.size(); ++i) {
    const StoredFile& stored = *order[i];
    const bool last = i + 1 == order.size();
    const std::uint64_t limit = last ? directory : order[i + 1]->entry.header_at;
    if (stored.begin <= limit && stored.entry.packed_size <= limit - stored.begin) continue;
    throw Error(ErrorCode::kBadFile,
                fmt::format("the entry {} has {} bytes from byte {} on, but {} begins at {}",
                            Quote(stored.entry.name), stored.entry.packed_size, stored.begin,
                            last ? "the directory" : Quote(order[i + 1]->entry.name), limit));
  }
}

}  // namespace espalier::internal
