#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace espalier {

/// Little-endian number of `count` bytes.
inline std::string Little(std::uint64_t value, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

/// Pieces of a pickle of protocol 2.
inline std::string PText(std::string_view text) {
  return "X" + Little(text.size(), 4) + std::string(text);
}
inline std::string PInt(std::uint64_t value) { return "\x8a\x08" + Little(value, 8); }
inline std::string PTuple(const std::vector<std::uint64_t>& values) {
  std::string text = "(";
  for (const std::uint64_t value : values) text += PInt(value);
  return text + "t";
}
inline std::string PGlobal(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string PStorage(const std::string& key, std::uint64_t elements,
                            const std::string& type = "FloatStorage") {
  return "(" + PText("storage") + PGlobal("torch", type) + PText(key) + PText("cpu") +
         PInt(elements) + "tQ";
}
/// _rebuild_tensor_v2 of a storage.
inline std::string PTensor(const std::string& storage, std::uint64_t offset,
                           const std::vector<std::uint64_t>& shape,
                           const std::vector<std::uint64_t>& strides) {
  return PGlobal("torch._utils", "_rebuild_tensor_v2") + "(" + storage + PInt(offset) +
         PTuple(shape) + PTuple(strides) + "\x89" + PGlobal("collections", "OrderedDict") + ")Rt" +
         "R";
}
inline std::string PDict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string text = "}(";
  for (const auto& [key, value] : items) text += PText(key) + value;
  return text + "u";
}
inline std::string PDone(const std::string& value) { return "\x80\x02" + value + "."; }

/// Files of a test's archive; the checksum of each is right.
using ZipFiles = std::vector<std::pair<std::string, std::string>>;
std::string StoredZip(const ZipFiles& files);

/// The archive that torch.save() makes: a pickle and storages "0", "1", ...
std::string PthZip(const std::string& pickle, const std::vector<std::string>& storages = {});

/// The format before PyTorch 1.6, with storages of floats.
std::string PthOld(const std::string& pickle, const std::vector<std::string>& storages = {});

}  // namespace espalier
