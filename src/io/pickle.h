#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/base/dtype.h"
#include "espalier/io/file.h"

namespace espalier::internal {

/// What a name that a pickle may mention stands for.
enum class PickleRole : std::uint8_t {
  kOrderedDict,
  kSet,
  kSize,       ///< torch.Size, a tuple.
  kDevice,     ///< torch.device.
  kEncode,     ///< _codecs.encode: bytes, from a text.
  kTensor,     ///< _rebuild_tensor(storage, offset, size, stride)
  kTensorV2,   ///< The same, then requires_grad, hooks and perhaps metadata.
  kTensorV3,   ///< The same, then requires_grad, hooks, dtype and perhaps metadata.
  kParameter,  ///< _rebuild_parameter(tensor, requires_grad, hooks)
  kStorage,    ///< Elements of one type; kUnknown for storages that are bytes.
  kDType,
};

/// A name "module name", as the pickle has it.
struct PickleGlobal {
  std::string_view name;
  PickleRole role;
  DType dtype = DType::kUnknown;
};

/// A value. Containers are held by number in Pickle, so that cycles and shared parts cost nothing.
struct PickleValue {
  enum class Kind : std::uint8_t {
    kNone,
    kBool,
    kInt,
    kFloat,
    kBigInt,  ///< Beyond 64 bits; its value is dropped.
    kText,    ///< Number in Pickle::texts.
    kGlobal,  ///< Number for GlobalOf().
    kTuple,   ///< This and all below: number in Pickle::objects.
    kList,
    kDict,     ///< Keys and values in turn.
    kCall,     ///< A global and the tuple of its arguments; nothing was called.
    kStorage,  ///< A persistent id: one value, its tuple.
  };
  Kind kind = Kind::kNone;
  std::int64_t bits = 0;  ///< Value or number; the bits of a float.

  double Float() const { return std::bit_cast<double>(bits); }
  std::uint32_t Number() const { return static_cast<std::uint32_t>(bits); }
};

/// What a pickle describes.
struct Pickle {
  PickleValue root;
  std::vector<std::string> texts;
  std::vector<std::vector<PickleValue>> objects;
  std::vector<std::uint32_t> storages;  ///< All objects that are a kStorage.
  std::uint64_t end = 0;                ///< Offset in the file, behind the pickle.
};

/// Number of the name "module name", for a kGlobal; nothing if it is not among those known.
std::optional<std::uint32_t> FindGlobal(std::string_view name);

/// The name behind a kGlobal.
const PickleGlobal& GlobalOf(const PickleValue& value);

/// Reads a pickle without executing anything: it knows the names that a dict of tensors needs, from
/// one table, and what they would do; calls become data. Protocols 2 to 4.
/// @param begin  Offset of the pickle in the file.
/// @param end    Where it ends at the latest.
/// @throws Error  kUnsupported for other names and opcodes, kBadFile for what is malformed or
///                beyond the limits (64 MiB, 4 million containers, 16 million values), with the
///                byte in the file.
/// @cost   One pass; memory about 50 times the pickle in the worst case, 5 times for a state dict.
/// @source Python's Lib/pickletools.py, the opcodes' descriptions.
Pickle ReadPickle(const InputFile& file, std::uint64_t begin, std::uint64_t end);

}  // namespace espalier::internal
