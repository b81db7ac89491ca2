#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"

namespace espalier::internal {

/// What the header of a .npy file says about the bytes behind it.
struct NpyLayout {
  DType dtype = DType::kUnknown;
  bool fortran_order = false;
  Dims shape;
};

/// Reads a header's text: a Python dict with the keys 'descr', 'fortran_order' and 'shape', each
/// once, in any order. A small grammar of its own: no escapes, no expressions.
/// @throws Error  kBadFile with the byte at fault; kUnsupported for an element type, which is
/// named.
NpyLayout ParseNpyHeader(std::string_view text);

/// The header's text as NumPy 2 writes it, without the padding.
/// @throws Error  kUnsupported for a type without an npy name or over 64 dimensions.
std::string NpyHeaderText(const NpyLayout& layout);

}  // namespace espalier::internal
