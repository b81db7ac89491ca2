#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"
#include "espalier/io/atomic_file.h"
#include "espalier/io/file.h"

namespace espalier {

/// One tensor of a safetensors file.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kUnknown;  ///< kUnknown for a type that this version does not know.
  std::string dtype_name;         ///< As written in the file: "F32", "BF16", "F8_E4M3", ...
  Dims shape;
  std::uint64_t begin = 0;  ///< First byte, from the start of the file.
  std::uint64_t end = 0;    ///< One past the last byte.
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;        ///< In the order of their bytes.
  std::map<std::string, std::string> metadata;  ///< "__metadata__"; may be empty.
  std::uint64_t data_begin = 0;                 ///< Length field and header, in bytes.
};

/// Reads and checks the header; the tensors' bytes are not read.
///
/// Checked: the length against the file, JSON, types and signs, offsets (inside the file, in order,
/// no overlap, no hole), byte counts against shape and dtype, duplicate names, overflowing
/// products, at most 64 dimensions.
/// @throws Error  kBadFile with the tensor's name, both values, and what to do.
/// @cost   One read of the header; headers over 100 MB are refused, as by the format's own library.
/// @source safetensors format, https://github.com/huggingface/safetensors, README "Format".
SafetensorsHeader ReadSafetensorsHeader(const InputFile& file);

/// One tensor to write.
struct SafetensorsTensor {
  std::string name;  ///< UTF-8; unique in the file.
  DType dtype = DType::kUnknown;
  Dims shape;
  std::span<const std::byte> bytes;  ///< Row-major, little-endian.
};

/// Writes a file that appears whole or not at all. Tensors lie in the order given, the first at a
/// multiple of 8 bytes; the same arguments give the same bytes.
/// @param metadata  "__metadata__"; left out if empty.
/// @throws Error    kInvalidArgument for a type without a name in the format, a name that comes
///                  twice, is "__metadata__" or not UTF-8; kShapeMismatch if the bytes are not as
///                  many as shape and type say; kWriteFailed as AtomicFile.
void WriteSafetensors(const std::filesystem::path& path, Overwrite overwrite,
                      std::span<const SafetensorsTensor> tensors,
                      const std::map<std::string, std::string>& metadata = {});

/// A checkpoint in several files: "model.safetensors.index.json".
struct SafetensorsIndex {
  std::vector<std::string> shards;                ///< File names, sorted, each once.
  std::map<std::string, std::string> weight_map;  ///< Tensor name -> shard.
};

/// Reads and checks an index. Shard names must be plain file names in the index's own folder.
/// @throws Error  kBadFile (the JSON's place, the bad key or the path that leaves the folder).
SafetensorsIndex ReadSafetensorsIndex(const std::filesystem::path& path);

}  // namespace espalier
