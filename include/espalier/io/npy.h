#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"
#include "espalier/io/atomic_file.h"

namespace espalier {

/// An array of a .npy file, with its bytes as stored.
struct NpyArray {
  DType dtype = DType::kUnknown;
  Dims shape;
  bool fortran_order = false;  ///< The first dimension varies fastest.
  std::vector<std::byte> bytes;
};

/// Reads format versions 1.0, 2.0 and 3.0; little-endian or single-byte element types.
/// @throws Error  kBadFile for a file that is not npy, is truncated or has an overflowing shape;
///                kUnsupported for big-endian, structured and Python-object types (named).
/// @source NEP 1, "A Simple File Format for NumPy Arrays".
NpyArray ReadNpy(const std::filesystem::path& path);

/// Writes version 1.0 (2.0 where the header needs it), whole or not at all; bfloat16 is refused, npy
/// has no name for it.
/// @throws Error  as AtomicFile; kUnsupported for a type without an npy name.
void WriteNpy(const std::filesystem::path& path, Overwrite overwrite, const NpyArray& array);

}  // namespace espalier
