#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "espalier/io/pth.h"
#include "io/pickle.h"

namespace espalier::internal {

/// Bytes that tensors of a file share.
struct PthStorage {
  DType dtype = DType::kUnknown;  ///< kUnknown: bytes, whose tensors name their type.
  std::uint64_t bytes = 0;
  std::uint64_t begin = 0;  ///< Offset in the file.
  std::optional<std::uint32_t> checksum;
};

/// By their keys; std::map, so that the order is the same everywhere.
using PthStorages = std::map<std::string, PthStorage>;

/// The storages that a pickle mentions, with types and sizes, without places.
/// @throws Error  kBadFile for a storage that is malformed, or larger than `file_size`.
PthStorages CollectStorages(const Pickle& pickle, std::uint64_t file_size);

/// The pickle's tensors and values, by name.
/// @throws Error  kBadFile with the tensor's name; kUnsupported for what cannot be read as elements
///                of a storage.
PthHeader CollectTensors(const Pickle& pickle, const PthStorages& storages,
                         std::uint64_t file_size);

}  // namespace espalier::internal
