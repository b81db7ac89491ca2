#include "espalier/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "io/json_events.h"
#include "io/limits.h"
#include "io/safetensors_types.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::JsonPath;
using internal::kMostDimensions;
using internal::Quote;
using internal::SafetensorsType;

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMostHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr std::string_view kMetadataKey = "__metadata__";

Error Bad(const std::string& tensor, std::string_view what, const char* file = __builtin_FILE(),
          int line = __builtin_LINE()) {
  return Error(ErrorCode::kBadFile, fmt::format("tensor {}: {}", Quote(tensor), what), file, line);
}

// Gathers the entries; what needs the file's size is checked afterwards.
class HeaderEvents : public internal::JsonEvents {
 public:
  struct Draft {
    SafetensorsEntry entry;  // begin and end count from the start of the data
    bool has_dtype = false;
    bool has_shape = false;
    unsigned offsets = 0;
  };

  void Object(const JsonPath& path) override {
    if (path.size() == 1 && path[0] != kMetadataKey) {
      drafts.emplace_back().entry.name = path[0];
    } else if (path.size() > 1) {
      Refuse(path, "an object");
    }
  }

  void Array(const JsonPath& path) override {
    if (path.size() == 2 && IsShape(path)) {
      drafts.back().has_shape = true;
    } else if (path.size() != 2 || !IsOffsets(path)) {
      Refuse(path, "an array");
    }
  }

  void String(const JsonPath& path, std::string& value) override {
    if (path.size() == 2 && path[0] == kMetadataKey) {
      metadata.emplace(path[1], std::move(value));
    } else if (path.size() == 2 && path[1] == "dtype") {
      drafts.back().entry.dtype_name = std::move(value);
      drafts.back().has_dtype = true;
    } else {
      Refuse(path, Quote(value));
    }
  }

  void Unsigned(const JsonPath& path, std::uint64_t value) override {
    if (path.size() == 3 && IsShape(path)) {
      AddDimension(drafts.back().entry, value);
    } else if (path.size() == 3 && IsOffsets(path)) {
      AddOffset(drafts.back(), value);
    } else {
      Refuse(path, fmt::to_string(value));
    }
  }

  void Other(const JsonPath& path, std::string_view text) override { Refuse(path, text); }

  std::vector<Draft> drafts;
  std::map<std::string, std::string> metadata;

 private:
  static bool IsShape(const JsonPath& path) { return InTensor(path) && path[1] == "shape"; }
  static bool IsOffsets(const JsonPath& path) {
    return InTensor(path) && path[1] == "data_offsets";
  }
  static bool InTensor(const JsonPath& path) { return path.size() >= 2 && path[0] != kMetadataKey; }

  static void AddDimension(SafetensorsEntry& entry, std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      throw Bad(entry.name, fmt::format("dimension {} in its shape is over 2^63", value));
    }
    if (entry.shape.size() == kMostDimensions) {
      throw Bad(entry.name, fmt::format("its shape has more than {} dimensions", kMostDimensions));
    }
    entry.shape.push_back(static_cast<std::int64_t>(value));
  }

  static void AddOffset(Draft& draft, std::uint64_t value) {
    if (draft.offsets == 2) {
      throw Bad(draft.entry.name,
                fmt::format("data_offsets has a third number, {}; [begin, end] is needed", value));
    }
    (draft.offsets++ == 0 ? draft.entry.begin : draft.entry.end) = value;
  }

  // Throws where the format wants another kind of value; under keys that it does not know, anything
  // passes.
  static void Refuse(const JsonPath& path, std::string_view found) {
    if (path.empty()) {
      throw Error(ErrorCode::kBadFile, fmt::format("the header is {}, not an object", found));
    }
    if (path.size() == 1) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("header entry {} is {}, not an object", Quote(path[0]), found));
    }
    if (path[0] == kMetadataKey) {
      throw Error(ErrorCode::kBadFile, fmt::format("{} has {} for {}; texts only are allowed",
                                                   kMetadataKey, found, Quote(path[1])));
    }
    if (path[1] == "dtype") {
      throw Bad(path[0], fmt::format("dtype is {}, not a text", found));
    }
    if (IsShape(path) || IsOffsets(path)) {
      throw Bad(path[0],
                fmt::format("{} has {}; whole numbers of 0 or more in one array are needed",
                            path[1], found));
    }
  }
};

std::uint64_t ReadHeaderLength(const InputFile& file) {
  if (file.size() < kLengthBytes) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("the file has {} bytes; a safetensors file has at least {}",
                            file.size(), kLengthBytes + 2));
  }
  std::array<unsigned char, kLengthBytes> bytes{};
  file.ReadAt(0, std::as_writable_bytes(std::span(bytes)));
  if (std::memcmp(bytes.data(), "version ", kLengthBytes) == 0) {
    throw Error(ErrorCode::kBadFile,
                "the file is a Git LFS pointer, not the checkpoint; run `git lfs pull`");
  }
  std::uint64_t length = 0;
  for (std::size_t i = kLengthBytes; i-- > 0;) length = (length << 8) | bytes[i];
  if (length > file.size() - kLengthBytes) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("header length {} is beyond the file's {} bytes: it is truncated or "
                            "not a safetensors file",
                            length, file.size()));
  }
  if (length > kMostHeaderBytes) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("header length {} is over the limit of {}", length, kMostHeaderBytes));
  }
  return length;
}

void CheckByteCount(const SafetensorsEntry& entry) {
  const std::uint64_t stored = entry.end - entry.begin;
  const auto count = static_cast<std::uint64_t>(ElementCount(entry.shape));
  const SafetensorsType* type = internal::FindSafetensorsType(entry.dtype_name);
  if (type == nullptr) return;
  if (count > std::numeric_limits<std::uint64_t>::max() / type->bits) {
    throw Bad(entry.name, fmt::format("shape {} of {} overflows 2^64 bits", DimsText(entry.shape),
                                      entry.dtype_name));
  }
  const std::uint64_t bits = count * type->bits;
  if (bits % 8 != 0) {
    throw Bad(entry.name, fmt::format("shape {} of {} is {} bits, not a whole number of bytes",
                                      DimsText(entry.shape), entry.dtype_name, bits));
  }
  if (bits / 8 != stored) {
    throw Bad(entry.name, fmt::format("data_offsets span {} bytes, shape {} of {} needs {}", stored,
                                      DimsText(entry.shape), entry.dtype_name, bits / 8));
  }
}

void CheckDraft(const HeaderEvents::Draft& draft, std::uint64_t data_bytes) {
  const SafetensorsEntry& entry = draft.entry;
  if (!draft.has_dtype) throw Bad(entry.name, "dtype is missing");
  if (!draft.has_shape) throw Bad(entry.name, "shape is missing");
  if (draft.offsets != 2) {
    throw Bad(entry.name,
              fmt::format("data_offsets has {} numbers; [begin, end] is needed", draft.offsets));
  }
  if (entry.begin > entry.end) {
    throw Bad(entry.name,
              fmt::format("data_offsets begin at {}, after their end {}", entry.begin, entry.end));
  }
  if (entry.end > data_bytes) {
    throw Bad(entry.name, fmt::format("data_offsets end at {}, but the file has {} bytes of data; "
                                      "it may be truncated",
                                      entry.end, data_bytes));
  }
  try {
    CheckByteCount(entry);
  } catch (Error& error) {
    error.AddContext(fmt::format("checking the size of tensor {}", Quote(entry.name)));
    throw;
  }
}

// Every byte of the data belongs to exactly one tensor.
void CheckCover(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes) {
  std::uint64_t covered = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != covered) {
      throw Bad(entry.name, fmt::format("its data begins at {}, {} {}", entry.begin,
                                        entry.begin < covered ? "inside the tensor that ends at"
                                                              : "leaving a hole after",
                                        covered));
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    throw Error(ErrorCode::kBadFile, fmt::format("the tensors end at {}, but the file has {} bytes "
                                                 "of data: {} bytes belong to no tensor",
                                                 covered, data_bytes, data_bytes - covered));
  }
}

SafetensorsHeader ReadHeader(const InputFile& file) {
  const std::uint64_t length = ReadHeaderLength(file);
  std::string text(length, '\0');
  file.ReadAt(kLengthBytes, std::as_writable_bytes(std::span(text)));
  if (!text.starts_with('{')) {
    throw Error(ErrorCode::kBadFile, fmt::format("the header begins with {}, not with '{{'",
                                                 Quote(std::string_view(text).substr(0, 1))));
  }
  HeaderEvents events;
  internal::ParseJson(text, events);

  SafetensorsHeader header;
  header.data_begin = kLengthBytes + length;
  header.metadata = std::move(events.metadata);
  const std::uint64_t data_bytes = file.size() - header.data_begin;
  header.entries.reserve(events.drafts.size());
  for (HeaderEvents::Draft& draft : events.drafts) {
    CheckDraft(draft, data_bytes);
    const SafetensorsType* type = internal::FindSafetensorsType(draft.entry.dtype_name);
    draft.entry.dtype = type != nullptr ? type->dtype : DType::kUnknown;
    header.entries.push_back(std::move(draft.entry));
  }
  // By the end too: an empty tensor stands before the one that begins at the same byte.
  std::ranges::stable_sort(header.entries, {}, [](const SafetensorsEntry& entry) {
    return std::pair(entry.begin, entry.end);
  });
  CheckCover(header.entries, data_bytes);
  for (SafetensorsEntry& entry : header.entries) {
    entry.begin += header.data_begin;
    entry.end += header.data_begin;
  }
  return header;
}

}  // namespace

SafetensorsHeader ReadSafetensorsHeader(const InputFile& file) {
  try {
    return ReadHeader(file);
  } catch (Error& error) {
    error.AddContext(fmt::format("reading the header of {}", Quote(file.path().native())));
    throw;
  }
}

}  // namespace espalier
