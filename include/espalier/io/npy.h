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
/// @throws Error  kBadFile for a file that is not npy, is truncated, has bytes after the array, a
///                header over 1 MiB, over 64 dimensions or an overflowing shape; kUnsupported for
///                big-endian, structured and Python-object types (named).
/// @source NEP 1, "A Simple File Format for NumPy Arrays".
NpyArray ReadNpy(const std::filesystem::path& path);

/// Writes version 1.0, whole or not at all, with the bytes that NumPy 2 writes.
/// @throws Error  as AtomicFile; kUnsupported for a type without an npy name, as bfloat16, or for
///                over 64 dimensions; kShapeMismatch if `array.bytes` does not fit its shape.
void WriteNpy(const std::filesystem::path& path, Overwrite overwrite, const NpyArray& array);

/// The same up to the last step: the file gets its name on Commit(). For several arrays of which
/// all or none are to appear.
/// @throws Error  as WriteNpy().
AtomicFile StageNpy(const std::filesystem::path& path, Overwrite overwrite, const NpyArray& array);

}  // namespace espalier
