#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "espalier/base/dtype.h"
#include "espalier/base/weight_view.h"
#include "espalier/io/atomic_file.h"
#include "espalier/io/file.h"

namespace espalier {

/// One tensor of a PyTorch file (.pth, .pt, .bin).
struct PthEntry {
  std::string place;  ///< Keys and indices that lead to its dict, with '/'; "" at the top.
  std::string name;   ///< Its key there: "layer1.0.conv1.weight".
  DType dtype = DType::kUnknown;
  Dims shape;
  Dims strides;             ///< In elements, none negative; as many as `shape` has.
  std::uint64_t begin = 0;  ///< Of its first element, from the start of the file.
  std::uint64_t end = 0;    ///< One past the last byte that it reaches.
  /// CRC-32 of the bytes [begin, end), if the file has it: not for views of a part, nor in files of
  /// PyTorch before 1.6.
  std::optional<std::uint32_t> checksum;

  /// Whether the bytes [begin, end) are the elements in row-major order.
  bool IsContiguous() const;
};

/// A value in a PyTorch file that is no tensor.
struct PthValue {
  std::string place;  ///< As PthEntry::place.
  std::string name;
  std::variant<bool, std::int64_t, double, std::string> value;
};

struct PthHeader {
  std::vector<PthEntry> entries;  ///< In the order of the file's dicts; tied tensors come twice.
  std::vector<PthValue> values;   ///< Numbers and texts beside them, as an "epoch".
};

/// Whether a file begins as PyTorch's do: a zip archive, or the pickle of versions before 1.6.
bool IsPth(const InputFile& file);

/// Reads names, types and shapes of what torch.save() wrote; the tensors' bytes are not read.
///
/// Nothing in the file is executed: its pickle is taken apart by a machine of our own, which knows
/// dicts, lists, tuples, numbers, texts and dense tensors and refuses all else by its name. Both of
/// PyTorch's formats: zip with stored entries (1.6 and newer), and the older one.
/// @throws Error  kBadFile, with the place, for what is truncated, malformed or contradicts itself;
///                kUnsupported, with the name, for objects of other classes, sparse and quantized
///                tensors, compressed entries, TorchScript and big-endian files.
/// @cost   Reads the pickle and 30 bytes for each storage. Limits: 64 MiB of pickle, 64 dicts
/// inside
///         each other, 64 dimensions, tensors that repeat elements (stride 0) to more bytes than
///         the file has.
/// @source torch/serialization.py, torch/_utils.py and caffe2/serialize/inline_container.h.
PthHeader ReadPthHeader(const InputFile& file);

/// The tensors of one dict, for a model's parameters: those at the top if there are any, else of
/// the first that exists of state_dict, model_state_dict, model and net, else of the only dict that
/// has tensors.
/// @param place  That dict, as PthEntry::place, instead of the choice; "" chooses.
/// @throws Error  kInvalidArgument, with the places there are, if there is no such dict or several
///                to choose from.
std::vector<PthEntry> StateDictOf(const PthHeader& header, const std::string& place = {});

/// The elements of one tensor, row-major.
/// @throws Error  kBadFile if the file became shorter, or the checksum is wrong.
/// @cost   Memory: the tensor, and for one that is not contiguous the bytes it spans.
std::vector<std::byte> ReadPthTensor(const InputFile& file, const PthEntry& entry);

/// A tensor to write.
struct PthTensor {
  std::string name;
  DType dtype = DType::kUnknown;
  Dims shape;
  std::span<const std::byte> bytes;  ///< Row-major.
};

/// Writes a state dict, an OrderedDict of tensors in the given order, whole or not at all, for
/// torch.load() of PyTorch 1.6 and newer, with weights_only too. The same tensors give the same
/// bytes. uint16, uint32, uint64 and 8-bit floats need PyTorch 2.3 to be read.
/// @throws Error  as AtomicFile; kInvalidArgument if a name comes twice; kShapeMismatch if the
/// bytes
///                do not fit the shape; kUnsupported for types that PyTorch does not have and for
///                over 64 dimensions.
void WritePth(const std::filesystem::path& path, Overwrite overwrite,
              const std::vector<PthTensor>& tensors);

/// New values for a tensor of a file.
struct PthChange {
  PthEntry entry;                    ///< From ReadPthHeader() of that file.
  std::span<const std::byte> bytes;  ///< Row-major.
};

/// Writes a copy of a PyTorch file with other values in some tensors. All else is the same byte for
/// byte, checksums apart: numbers, optimizers, tensors that are no parameters. Where tensors share
/// elements, the one that begins last decides.
/// @param output  Opened by the caller, who commits it.
/// @throws Error  kBadFile as ReadPthHeader(), kWriteFailed; kShapeMismatch if bytes do not fit.
/// @cost   Memory: the largest storage that changes.
void RewritePth(const InputFile& input, AtomicFile& output, const std::vector<PthChange>& changes);

}  // namespace espalier
