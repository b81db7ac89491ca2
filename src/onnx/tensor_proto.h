#pragma once

#include <onnx/onnx_pb.h>

#include <memory>

#include "espalier/graph/tensor.h"
#include "onnx/external_data.h"

namespace espalier::internal {

/// The field of the file that a constant's values are in.
enum class Storage {
  kNone,  ///< Strings, sparse tensors and types that Espalier does not know: never rewritten.
  kRaw,
  kFloatData,
  kInt32Data,
  kInt64Data,
  kDoubleData,
  kUint64Data,
  kExternal,
  kAttribute,  ///< value_float, value_floats, value_int or value_ints.
};

struct StoredTensor {
  Tensor tensor;
  Storage storage = Storage::kNone;
  bool detached = false;  ///< The values were moved from the proto to `tensor`.
};

/// What to do with a tensor's values.
struct TensorSource {
  ExternalReader* external = nullptr;  ///< Null if other files may not be read.
  std::shared_ptr<const void> owner;   ///< Keeps the proto alive.
  bool detach = false;  ///< Move values of kDetachBytes and more out, so that they exist once only.
};

/// Below this the values stay in the proto: short strings hold their bytes inside themselves.
inline constexpr std::size_t kDetachBytes = 1024;

/// Espalier's name for a TensorProto::DataType, by number: the enum of the installed schema ends
/// before float8. kUnknown for numbers that came later.
DType DTypeFromProto(int data_type);

/// Reads a tensor and checks its size against its dimensions.
/// @throws Error  kBadFile with both values.
StoredTensor ReadTensor(onnx::TensorProto* proto, const TensorSource& source);

/// The dimensions of a sparse tensor. Its type is kUnknown: only tensors with bytes have a type
/// that others may read or prune.
/// @throws Error  kBadFile for bad dimensions.
Tensor ReadSparseTensor(const onnx::SparseTensorProto& proto);

/// The value of a Constant node's value_float, value_floats, value_int, ... attribute.
StoredTensor ReadScalarAttribute(const onnx::AttributeProto& attribute);

/// Puts the tensor's bytes into the field that `storage` names; not for kNone and kExternal.
void StoreTensor(const Tensor& tensor, Storage storage, onnx::TensorProto* proto);

/// Puts the tensor's bytes into the field that the attribute's name tells.
void StoreScalarAttribute(const Tensor& tensor, onnx::AttributeProto* attribute);

/// Empties the fields that can hold a tensor's values, in the file and outside.
void ClearValues(onnx::TensorProto* proto);

}  // namespace espalier::internal
