#include "onnx/external_data.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "espalier/base/error.h"
#include "io/text.h"
#include "onnx/tensor_proto.h"

namespace espalier::internal {
namespace {

namespace fs = std::filesystem;

// So that a runtime can map each tensor: a page of x86, and a multiple of every SIMD width.
constexpr std::uint64_t kAlignment = 4096;

std::uint64_t ParseNumber(const std::string& key, const std::string& text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc{} && stop == end) return value;
  throw Error(ErrorCode::kBadFile,
              fmt::format("external data's {} is {}, not a number of bytes", key, Quote(text)));
}

struct Place {
  std::string location;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
};

Place PlaceOf(const onnx::TensorProto& proto) {
  Place place;
  for (const onnx::StringStringEntryProto& entry : proto.external_data()) {
    if (entry.key() == "location") place.location = entry.value();
    if (entry.key() == "offset") place.offset = ParseNumber(entry.key(), entry.value());
    if (entry.key() == "length") place.length = ParseNumber(entry.key(), entry.value());
  }
  return place;
}

[[noreturn]] void RefusePath(const std::string& location, const char* problem) {
  throw Error(ErrorCode::kBadFile,
              fmt::format("external data path {} {}; put the data file into the model's folder",
                          Quote(location), problem));
}

// Whether `path` is below `folder`; both are canonical.
bool IsInside(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != ".." && relative != ".";
}

void AddEntry(onnx::TensorProto* proto, const char* key, std::string value) {
  onnx::StringStringEntryProto* entry = proto->add_external_data();
  entry->set_key(key);
  entry->set_value(std::move(value));
}

}  // namespace

ExternalReader::ExternalReader(const fs::path& model) {
  std::error_code ignored;  // the model itself has been opened, so its folder exists
  folder_ = fs::weakly_canonical(fs::absolute(model, ignored).parent_path(), ignored);
}

ExternalReader::OpenFile& ExternalReader::Open(const std::string& location) {
  if (location.empty()) RefusePath(location, "is empty");
  if (location.find('\0') != std::string::npos) RefusePath(location, "has a NUL character");
  const fs::path relative(location);
  if (relative.is_absolute()) RefusePath(location, "is absolute");
  std::error_code error;
  const fs::path path = fs::weakly_canonical(folder_ / relative, error);
  if (error) RefusePath(location, "cannot be resolved");
  if (!IsInside(path, folder_)) RefusePath(location, "leaves the model's folder");
  const auto found = files_.find(path);
  if (found != files_.end()) return found->second;
  return files_.emplace(path, OpenFile{InputFile(path)}).first->second;
}

SharedBytes ExternalReader::Read(const onnx::TensorProto& proto,
                                 std::optional<std::uint64_t> needed) {
  const Place place = PlaceOf(proto);
  OpenFile& open = Open(place.location);
  const std::uint64_t size = open.file.size();
  if (place.offset > size) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("external data at offset {} of {}, which has {} bytes", place.offset,
                            Quote(place.location), size));
  }
  const std::uint64_t length = place.length.value_or(needed.value_or(size - place.offset));
  if (needed && length != *needed) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("external data has length {}, type and dimensions need {} bytes",
                            length, *needed));
  }
  if (length > size - place.offset) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("external data of {} bytes at offset {} of {}, which has {} bytes",
                            length, place.offset, Quote(place.location), size));
  }
  SharedBytes& bytes = read_[{&open, place.offset, length}];
  if (bytes != nullptr) return bytes;
  // Without this, many tensors could each claim the whole of a large file.
  open.bytes_read += length;
  if (open.bytes_read > size) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("external data of different tensors overlaps in {} ({} bytes)",
                            Quote(place.location), size));
  }
  std::vector<std::byte> buffer(length);
  open.file.ReadAt(place.offset, buffer);
  bytes = std::make_shared<const std::vector<std::byte>>(std::move(buffer));
  return bytes;
}

std::vector<fs::path> ExternalReader::Files() const {
  std::vector<fs::path> paths;
  for (const auto& [path, file] : files_) paths.push_back(path);
  return paths;
}

void ExternalWriter::Add(std::span<const std::byte> bytes, onnx::TensorProto* proto) {
  const auto [found, is_new] = offsets_.try_emplace({bytes.data(), bytes.size()}, end_);
  if (is_new) {
    ranges_.push_back({end_, bytes});
    end_ = (end_ + bytes.size() + kAlignment - 1) / kAlignment * kAlignment;
  }
  ClearValues(proto);
  AddEntry(proto, "location", path_.filename().string());
  AddEntry(proto, "offset", std::to_string(found->second));
  AddEntry(proto, "length", std::to_string(bytes.size()));
  proto->set_data_location(onnx::TensorProto::EXTERNAL);
}

AtomicFile ExternalWriter::Write(Overwrite overwrite) const {
  AtomicFile file(path_, overwrite, ranges_.back().offset + ranges_.back().bytes.size());
  for (const Range& range : ranges_) file.WriteAt(range.offset, range.bytes);
  return file;
}

}  // namespace espalier::internal
