#include <fmt/format.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "espalier/base/error.h"
#include "espalier/io/safetensors.h"
#include "io/safetensors_types.h"
#include "io/text.h"

namespace espalier {
namespace {

// Keys stay in the order in which they were added, so that entries stand as their bytes do.
using Json = nlohmann::ordered_json;

constexpr std::size_t kAlignment = 8;

std::uint64_t ElementsOf(const Dims& shape) {
  std::uint64_t elements = 1;
  for (const std::int64_t size : shape) {
    const bool fits =
        size >= 0 && !__builtin_mul_overflow(elements, static_cast<std::uint64_t>(size), &elements);
    if (!fits) throw Error(ErrorCode::kShapeMismatch, fmt::format("a dimension of {}", size));
  }
  return elements;
}

void CheckTensor(const SafetensorsTensor& tensor, std::set<std::string_view>* names) {
  const auto fail = [&](ErrorCode code, const std::string& what) {
    throw Error(code, fmt::format("tensor {}: {}", internal::Quote(tensor.name), what));
  };
  if (tensor.name == "__metadata__" || !names->insert(tensor.name).second) {
    fail(ErrorCode::kInvalidArgument, "the name is taken; give it another");
  }
  const auto* type = internal::FindSafetensorsType(tensor.dtype);
  if (type == nullptr) {
    fail(ErrorCode::kInvalidArgument,
         fmt::format("safetensors has no type {}", DTypeName(tensor.dtype)));
  }
  const std::uint64_t elements = ElementsOf(tensor.shape);
  if (elements > (std::uint64_t{1} << 58) || tensor.bytes.size() * 8 != elements * type->bits) {
    fail(ErrorCode::kShapeMismatch,
         fmt::format("{} bytes for shape [{}] of {}", tensor.bytes.size(),
                     fmt::join(tensor.shape, ", "), type->name));
  }
}

std::string HeaderOf(std::span<const SafetensorsTensor> tensors,
                     const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string_view> names;
  std::uint64_t offset = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    CheckTensor(tensor, &names);
    header[tensor.name] = {{"dtype", internal::FindSafetensorsType(tensor.dtype)->name},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    throw Error(ErrorCode::kInvalidArgument, "a name or a note is not UTF-8");
  }
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  return text;
}

}  // namespace

void WriteSafetensors(const std::filesystem::path& path, Overwrite overwrite,
                      std::span<const SafetensorsTensor> tensors,
                      const std::map<std::string, std::string>& metadata) {
  const std::string header = HeaderOf(tensors, metadata);
  std::uint64_t total = sizeof(std::uint64_t) + header.size();
  for (const SafetensorsTensor& tensor : tensors) total += tensor.bytes.size();
  AtomicFile file(path, overwrite, total);
  const std::uint64_t length = header.size();
  file.WriteAt(0, std::as_bytes(std::span(&length, 1)));
  std::uint64_t offset = sizeof length;
  file.WriteAt(offset, std::as_bytes(std::span(header)));
  offset += header.size();
  for (const SafetensorsTensor& tensor : tensors) {
    file.WriteAt(offset, tensor.bytes);
    offset += tensor.bytes.size();
  }
  file.Commit();
}

}  // namespace espalier
