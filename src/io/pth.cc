#include "espalier/io/pth.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "io/crc32.h"
#include "io/little_endian.h"
#include "io/pickle.h"
#include "io/pth_archive.h"
#include "io/pth_objects.h"
#include "io/strided.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::Pickle;
using internal::PickleValue;
using internal::PthStorages;
using internal::Quote;
using Kind = PickleValue::Kind;

constexpr std::string_view kZipMagic = "PK\x03\x04";
// Of the older format: torch.serialization.MAGIC_NUMBER as a pickle, behind PROTO and its number.
constexpr std::string_view kOldMagic("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 13);
constexpr std::int64_t kOldVersion = 1001;

std::string Head(const InputFile& file) {
  std::string head(std::min<std::uint64_t>(file.size(), 2 + kOldMagic.size()), '\0');
  file.ReadAt(0, std::as_writable_bytes(std::span(head)));
  return head;
}

bool IsOld(std::string_view head) {
  return head.starts_with('\x80') &&
         head.substr(std::min<std::size_t>(2, head.size())) == kOldMagic;
}

std::uint32_t Checksum(const InputFile& file, std::uint64_t begin, std::uint64_t end) {
  std::vector<std::byte> chunk(std::min<std::uint64_t>(end - begin, std::uint64_t{1} << 18));
  std::uint32_t sum = 0;
  for (; begin < end; begin += chunk.size()) {
    chunk.resize(std::min<std::uint64_t>(end - begin, chunk.size()));
    file.ReadAt(begin, chunk);
    sum = internal::Crc32(chunk, sum);
  }
  return sum;
}

[[noreturn]] void ThrowChecksum(std::uint32_t found, std::uint32_t wanted) {
  throw Error(ErrorCode::kBadFile,
              fmt::format("checksum {:08x} instead of {:08x}: the file is damaged, or was written "
                          "without checksums",
                          found, wanted));
}

void CheckByteOrder(const InputFile& file, const internal::StoredFile* stored) {
  if (stored == nullptr) return;  // before PyTorch 2.1
  std::string text(std::min<std::uint64_t>(stored->entry.size, 16), '\0');
  file.ReadAt(stored->begin, std::as_writable_bytes(std::span(text)));
  if (text == "little") return;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("the file has the byte order {}; only little is supported", Quote(text)));
}

PthHeader ReadZip(const InputFile& file) {
  const internal::StoredFiles files(file);
  const std::string prefix = files.Prefix();
  if (files.Has(prefix + "constants.pkl")) {
    throw Error(ErrorCode::kUnsupported,
                "a TorchScript archive, which is a program; save model.state_dict() instead");
  }
  CheckByteOrder(file, files.Find(prefix + "byteorder"));
  const internal::StoredFile& stored = *files.Find(prefix + "data.pkl");
  const std::uint64_t end = stored.begin + stored.entry.size;
  const std::uint32_t sum = Checksum(file, stored.begin, end);
  if (sum != stored.entry.crc) ThrowChecksum(sum, stored.entry.crc);
  const Pickle pickle = internal::ReadPickle(file, stored.begin, end);
  PthStorages storages = internal::CollectStorages(pickle, file.size());
  for (auto& [key, storage] : storages) {
    const internal::StoredFile* const data = files.Find(fmt::format("{}data/{}", prefix, key));
    if (data == nullptr || data->entry.size != storage.bytes) {
      throw Error(
          ErrorCode::kBadFile,
          fmt::format("storage {} needs {} bytes, its entry {}data/{} {}", Quote(key),
                      storage.bytes, prefix, key,
                      data == nullptr ? "is missing" : fmt::format("has {}", data->entry.size)));
    }
    storage.begin = data->begin;
    storage.checksum = data->entry.crc;
  }
  return internal::CollectTensors(pickle, storages, file.size());
}

// The older format's third pickle: {'protocol_version': 1001, 'little_endian': True, ...}.
void CheckSystem(const Pickle& pickle) {
  if (pickle.root.kind != Kind::kDict) {
    throw Error(ErrorCode::kBadFile, "the pickle about the system is no dict");
  }
  const auto& items = pickle.objects[pickle.root.Number()];
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    const bool is_order =
        items[i].kind == Kind::kText && pickle.texts[items[i].Number()] == "little_endian";
    if (is_order && (items[i + 1].kind != Kind::kBool || items[i + 1].bits == 0)) {
      throw Error(ErrorCode::kUnsupported,
                  "the file is big-endian; only little-endian ones are supported");
    }
  }
}

// Behind the pickles: for each key, the number of elements and then these.
void PlaceOldStorages(const InputFile& file, const Pickle& keys, PthStorages& storages) {
  if (keys.root.kind != Kind::kList) {
    throw Error(ErrorCode::kBadFile, "the pickle of storages is no list");
  }
  std::set<std::string> placed;
  std::uint64_t at = keys.end;
  for (const PickleValue& value : keys.objects[keys.root.Number()]) {
    const std::string key = value.kind == Kind::kText ? keys.texts[value.Number()] : "";
    const auto storage = storages.find(key);
    if (storage == storages.end() || !placed.insert(key).second) {
      throw Error(
          ErrorCode::kBadFile,
          fmt::format("storage {} in the list comes twice or belongs to no tensor", Quote(key)));
    }
    std::array<std::byte, 8> size{};
    file.ReadAt(at, size);
    const std::uint64_t element = std::max<std::uint64_t>(DTypeBits(storage->second.dtype) / 8, 1);
    const std::uint64_t elements = internal::LittleEndian(size.data(), 8);
    if (elements != storage->second.bytes / element) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("storage {} has {} elements at byte {} instead of {}", Quote(key),
                              elements, at, storage->second.bytes / element));
    }
    storage->second.begin = at + size.size();
    at = storage->second.begin + storage->second.bytes;
    if (at > file.size()) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("storage {} ends at byte {}, the file at {}: it is truncated",
                              Quote(key), at, file.size()));
    }
  }
  for (const auto& [key, storage] : storages) {
    if (!placed.contains(key)) {
      throw Error(ErrorCode::kBadFile, fmt::format("storage {} is not in the list", Quote(key)));
    }
  }
}

PthHeader ReadOld(const InputFile& file) {
  const Pickle version = internal::ReadPickle(file, 2 + kOldMagic.size(), file.size());
  if (version.root.kind != Kind::kInt || version.root.bits != kOldVersion) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("the older format's version is not {}", kOldVersion));
  }
  const Pickle system = internal::ReadPickle(file, version.end, file.size());
  CheckSystem(system);
  const Pickle pickle = internal::ReadPickle(file, system.end, file.size());
  const Pickle keys = internal::ReadPickle(file, pickle.end, file.size());
  PthStorages storages = internal::CollectStorages(pickle, file.size());
  PlaceOldStorages(file, keys, storages);
  return internal::CollectTensors(pickle, storages, file.size());
}

PthHeader ReadHeader(const InputFile& file) {
  const std::string head = Head(file);
  if (head.starts_with(kZipMagic)) return ReadZip(file);
  if (IsOld(head)) return ReadOld(file);
  if (head.starts_with("version ")) {
    throw Error(ErrorCode::kBadFile,
                "the file is a Git LFS pointer, not the checkpoint; run `git lfs pull`");
  }
  throw Error(ErrorCode::kBadFile,
              fmt::format("the file begins with {}; PyTorch's begin as a zip archive or with the "
                          "magic number of versions before 1.6",
                          Quote(head.substr(0, 4))));
}

}  // namespace

bool PthEntry::IsContiguous() const {
  const std::int64_t count = ElementCount(shape);
  std::int64_t stride = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (count > 1 && shape[d] > 1 && strides[d] != stride) return false;
    stride *= shape[d];
  }
  return true;
}

bool IsPth(const InputFile& file) {
  const std::string head = Head(file);
  return head.starts_with(kZipMagic) || IsOld(head);
}

PthHeader ReadPthHeader(const InputFile& file) {
  try {
    return ReadHeader(file);
  } catch (Error& error) {
    error.AddContext(fmt::format("reading the header of {}", Quote(file.path().native())));
    throw;
  }
}

std::vector<PthEntry> StateDictOf(const PthHeader& header, const std::string& place) {
  std::set<std::string> places;
  for (const PthEntry& entry : header.entries) places.insert(entry.place);
  std::string chosen = place;
  if (place.empty() && !places.contains("")) {
    constexpr std::string_view kUsual[] = {"state_dict", "model_state_dict", "model", "net"};
    const auto* const usual = std::ranges::find_if(
        kUsual, [&](std::string_view name) { return places.contains(std::string(name)); });
    if (usual != std::end(kUsual)) {
      chosen = *usual;
    } else if (places.size() == 1) {
      chosen = *places.begin();
    }
  }
  std::vector<PthEntry> entries;
  std::ranges::copy_if(header.entries, std::back_inserter(entries),
                       [&](const PthEntry& entry) { return entry.place == chosen; });
  if (!entries.empty()) return entries;
  std::vector<std::string> quoted;
  for (const std::string& name : places) quoted.push_back(Quote(name));
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("no tensors at {} in the file; there are some at {}",
                  place.empty() ? "the top" : Quote(place),
                  quoted.empty() ? "no place" : fmt::format("{}", fmt::join(quoted, ", "))));
}

std::vector<std::byte> ReadPthTensor(const InputFile& file, const PthEntry& entry) {
  try {
    const auto count = static_cast<std::size_t>(ElementCount(entry.shape));
    std::vector<std::byte> bytes(entry.end - entry.begin);
    file.ReadAt(entry.begin, bytes);
    if (entry.checksum) {
      const std::uint32_t sum = internal::Crc32(bytes);
      if (sum != *entry.checksum) ThrowChecksum(sum, *entry.checksum);
    }
    if (entry.IsContiguous()) return bytes;
    std::vector<std::byte> out(count * DTypeBits(entry.dtype) / 8);
    internal::Gather(entry, bytes, out);
    return out;
  } catch (Error& error) {
    error.AddContext(
        fmt::format("reading tensor {} of {}", Quote(entry.name), Quote(file.path().native())));
    throw;
  }
}

}  // namespace espalier
