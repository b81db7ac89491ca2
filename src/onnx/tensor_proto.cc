#include "onnx/tensor_proto.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "espalier/base/error.h"

namespace espalier::internal {
namespace {

using google::protobuf::RepeatedField;

constexpr int kMostDims = 64;  // as in NumPy; ONNX itself sets no limit

template <typename T>
std::span<const std::byte> BytesOf(const RepeatedField<T>& field) {
  return std::as_bytes(std::span(field.data(), static_cast<std::size_t>(field.size())));
}

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

Dims DimsOf(const RepeatedField<std::int64_t>& field) {
  if (field.size() > kMostDims) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("a shape of {} dimensions, the most is {}", field.size(), kMostDims));
  }
  return {field.begin(), field.end()};
}

// The field for values of a type without raw_data; kNone if the format has none.
// Source: the comments of TensorProto in onnx.proto.
Storage TypedStorage(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
    case DType::kComplex64:
      return Storage::kFloatData;
    case DType::kFloat64:
    case DType::kComplex128:
      return Storage::kDoubleData;
    case DType::kInt64:
      return Storage::kInt64Data;
    case DType::kUint32:
    case DType::kUint64:
      return Storage::kUint64Data;
    case DType::kString:
    case DType::kUnknown:
      return Storage::kNone;
    default:
      return Storage::kInt32Data;
  }
}

// Values of a typed field as bytes in place, or moved out of the proto.
template <typename T>
StoredTensor BorrowField(DType dtype, Dims dims, RepeatedField<T>* field,
                         const TensorSource& source) {
  const bool detach = source.detach && BytesOf(*field).size() >= kDetachBytes;
  if (!detach) return {Tensor(dtype, std::move(dims), BytesOf(*field), source.owner), {}, false};
  auto owner = std::make_shared<RepeatedField<T>>();
  owner->Swap(field);  // two pointers: neither is on an arena
  const std::span<const std::byte> bytes = BytesOf(*owner);
  return {Tensor(dtype, std::move(dims), bytes, std::move(owner)), {}, true};
}

StoredTensor BorrowRaw(DType dtype, Dims dims, onnx::TensorProto* proto,
                       const TensorSource& source) {
  if (!source.detach || proto->raw_data().size() < kDetachBytes) {
    return {Tensor(dtype, std::move(dims), BytesOf(proto->raw_data()), source.owner), {}, false};
  }
  const std::shared_ptr<const std::string> owner(proto->release_raw_data());
  return {Tensor(dtype, std::move(dims), BytesOf(*owner), owner), {}, true};
}

// Values of a type that is narrower than its field. A value may be stored with or without sign.
template <typename T>
Tensor NarrowField(DType dtype, Dims dims, const RepeatedField<T>& field) {
  const std::size_t width = std::max<std::size_t>(DTypeBits(dtype), 8) / 8;
  const std::int64_t end = std::int64_t{1} << (8 * width);
  std::vector<std::byte> bytes(static_cast<std::size_t>(field.size()) * width);
  std::byte* out = bytes.data();
  for (const T value : field) {
    const auto wide = static_cast<std::int64_t>(value);
    if (wide >= end || wide < -end / 2) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("value {} does not fit its type {}", value, DTypeName(dtype)));
    }
    std::memcpy(out, &wide, width);  // little-endian: the low bytes come first
    out += width;
  }
  return Tensor(dtype, std::move(dims), std::move(bytes));
}

int FieldSize(const onnx::TensorProto& proto, Storage storage) {
  switch (storage) {
    case Storage::kFloatData:
      return proto.float_data_size();
    case Storage::kInt32Data:
      return proto.int32_data_size();
    case Storage::kInt64Data:
      return proto.int64_data_size();
    case Storage::kDoubleData:
      return proto.double_data_size();
    case Storage::kUint64Data:
      return proto.uint64_data_size();
    default:
      return 0;
  }
}

// How many values the typed field of `dtype` holds for `elements`.
std::uint64_t FieldValues(DType dtype, std::uint64_t elements) {
  const std::size_t bits = DTypeBits(dtype);
  if (bits == 4) return (elements + 1) / 2;  // a byte with two elements is one value
  const bool complex = dtype == DType::kComplex64 || dtype == DType::kComplex128;
  return complex ? 2 * elements : elements;
}

std::string_view FieldName(Storage storage) {
  constexpr std::array<std::string_view, 7> kNames = {"no field",   "raw_data",   "float_data",
                                                      "int32_data", "int64_data", "double_data",
                                                      "uint64_data"};
  return kNames[static_cast<std::size_t>(storage)];
}

StoredTensor ReadTyped(DType dtype, Dims dims, onnx::TensorProto* proto,
                       const TensorSource& source) {
  const Storage storage = TypedStorage(dtype);
  const std::uint64_t needed = FieldValues(dtype, static_cast<std::uint64_t>(ElementCount(dims)));
  if (const int size = FieldSize(*proto, storage); static_cast<std::uint64_t>(size) != needed) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} {} needs {} values in {} or raw_data, got {}", DTypeName(dtype),
                            DimsText(dims), needed, FieldName(storage), size));
  }
  StoredTensor read;
  if (storage == Storage::kFloatData) {
    read = BorrowField(dtype, std::move(dims), proto->mutable_float_data(), source);
  } else if (storage == Storage::kDoubleData) {
    read = BorrowField(dtype, std::move(dims), proto->mutable_double_data(), source);
  } else if (storage == Storage::kInt64Data) {
    read = BorrowField(dtype, std::move(dims), proto->mutable_int64_data(), source);
  } else if (dtype == DType::kUint64) {
    read = BorrowField(dtype, std::move(dims), proto->mutable_uint64_data(), source);
  } else if (dtype == DType::kInt32) {
    read = BorrowField(dtype, std::move(dims), proto->mutable_int32_data(), source);
  } else if (dtype == DType::kUint32) {
    read.tensor = NarrowField(dtype, std::move(dims), proto->uint64_data());
  } else {
    read.tensor = NarrowField(dtype, std::move(dims), proto->int32_data());
  }
  read.storage = storage;
  return read;
}

StoredTensor ReadRaw(DType dtype, Dims dims, onnx::TensorProto* proto, const TensorSource& source) {
  const std::uint64_t needed = TensorByteCount(dtype, dims);
  if (proto->raw_data().size() != needed) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} {} needs {} bytes in raw_data, got {}", DTypeName(dtype),
                            DimsText(dims), needed, proto->raw_data().size()));
  }
  StoredTensor read = BorrowRaw(dtype, std::move(dims), proto, source);
  read.storage = Storage::kRaw;
  return read;
}

StoredTensor ReadExternal(DType dtype, Dims dims, const onnx::TensorProto& proto,
                          const TensorSource& source) {
  const std::uint64_t needed = TensorByteCount(dtype, dims);
  if (source.external == nullptr) {
    throw Error(ErrorCode::kBadFile,
                "the values are in another file, and a model in memory has no folder to look in");
  }
  SharedBytes bytes = source.external->Read(proto, needed);
  return {Tensor(dtype, std::move(dims), *bytes, bytes), Storage::kExternal, false};
}

StoredTensor ReadStrings(Dims dims, const onnx::TensorProto& proto) {
  if (proto.string_data_size() != ElementCount(dims)) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("string {} needs {} values in string_data, got {}", DimsText(dims),
                            ElementCount(dims), proto.string_data_size()));
  }
  return {Tensor::WithoutBytes(DType::kString, std::move(dims)), Storage::kNone, false};
}

template <typename T>
void AssignField(std::span<const std::byte> bytes, RepeatedField<T>* field) {
  field->Resize(static_cast<int>(bytes.size() / sizeof(T)), T{});
  if (!bytes.empty()) std::memcpy(field->mutable_data(), bytes.data(), bytes.size());
}

template <typename Stored, typename T>
void WidenField(std::span<const std::byte> bytes, RepeatedField<T>* field) {
  field->Clear();
  field->Reserve(static_cast<int>(bytes.size() / sizeof(Stored)));
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(Stored)) {
    Stored value;
    std::memcpy(&value, bytes.data() + i, sizeof(Stored));
    field->Add(static_cast<T>(value));
  }
}

// 16-bit and smaller floats, and pairs of 4-bit elements, are stored as their bits without sign.
void StoreInt32Data(const Tensor& tensor, RepeatedField<std::int32_t>* field) {
  switch (tensor.dtype()) {
    case DType::kInt32:
      return AssignField(tensor.bytes(), field);
    case DType::kInt16:
      return WidenField<std::int16_t>(tensor.bytes(), field);
    case DType::kInt8:
      return WidenField<std::int8_t>(tensor.bytes(), field);
    case DType::kUint16:
    case DType::kFloat16:
    case DType::kBFloat16:
      return WidenField<std::uint16_t>(tensor.bytes(), field);
    default:
      return WidenField<std::uint8_t>(tensor.bytes(), field);
  }
}

Tensor OwnedTensor(DType dtype, Dims dims, std::span<const std::byte> bytes) {
  return Tensor(dtype, std::move(dims), std::vector<std::byte>(bytes.begin(), bytes.end()));
}

}  // namespace

DType DTypeFromProto(int data_type) {
  // Source: TensorProto.DataType of ONNX 1.19; position is the number.
  constexpr std::array kTypes = {
      DType::kUnknown,        DType::kFloat32,      DType::kUint8,          DType::kInt8,
      DType::kUint16,         DType::kInt16,        DType::kInt32,          DType::kInt64,
      DType::kString,         DType::kBool,         DType::kFloat16,        DType::kFloat64,
      DType::kUint32,         DType::kUint64,       DType::kComplex64,      DType::kComplex128,
      DType::kBFloat16,       DType::kFloat8E4M3Fn, DType::kFloat8E4M3Fnuz, DType::kFloat8E5M2,
      DType::kFloat8E5M2Fnuz, DType::kUint4,        DType::kInt4,           DType::kFloat4,
      DType::kFloat8E8M0};
  if (data_type < 0 || static_cast<std::size_t>(data_type) >= kTypes.size()) return DType::kUnknown;
  return kTypes[static_cast<std::size_t>(data_type)];
}

StoredTensor ReadTensor(onnx::TensorProto* proto, const TensorSource& source) {
  Dims dims = DimsOf(proto->dims());
  const DType dtype = DTypeFromProto(proto->data_type());
  if (dtype == DType::kUnknown || proto->has_segment()) {
    return {Tensor::WithoutBytes(DType::kUnknown, std::move(dims)), Storage::kNone, false};
  }
  if (dtype == DType::kString) return ReadStrings(std::move(dims), *proto);
  if (proto->data_location() == onnx::TensorProto::EXTERNAL) {
    return ReadExternal(dtype, std::move(dims), *proto, source);
  }
  const int typed = FieldSize(*proto, TypedStorage(dtype));
  if (proto->raw_data().empty() && (typed > 0 || !proto->has_raw_data())) {
    return ReadTyped(dtype, std::move(dims), proto, source);
  }
  if (typed > 0) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("values both in raw_data ({} bytes) and in {} ({})",
                            proto->raw_data().size(), FieldName(TypedStorage(dtype)), typed));
  }
  return ReadRaw(dtype, std::move(dims), proto, source);
}

Tensor ReadSparseTensor(const onnx::SparseTensorProto& proto) {
  return Tensor::WithoutBytes(DType::kUnknown, DimsOf(proto.dims()));
}

StoredTensor ReadScalarAttribute(const onnx::AttributeProto& attribute) {
  const std::string& name = attribute.name();
  Tensor tensor;
  if (name == "value_float") {
    const float value = attribute.f();
    tensor = OwnedTensor(DType::kFloat32, {}, std::as_bytes(std::span(&value, 1)));
  } else if (name == "value_int") {
    const std::int64_t value = attribute.i();
    tensor = OwnedTensor(DType::kInt64, {}, std::as_bytes(std::span(&value, 1)));
  } else if (name == "value_floats") {
    tensor = OwnedTensor(DType::kFloat32, {attribute.floats_size()}, BytesOf(attribute.floats()));
  } else if (name == "value_ints") {
    tensor = OwnedTensor(DType::kInt64, {attribute.ints_size()}, BytesOf(attribute.ints()));
  } else {
    Dims dims = name == "value_strings" ? Dims{attribute.strings_size()} : Dims{};
    return {Tensor::WithoutBytes(DType::kString, std::move(dims)), Storage::kNone, false};
  }
  return {std::move(tensor), Storage::kAttribute, false};
}

void StoreTensor(const Tensor& tensor, Storage storage, onnx::TensorProto* proto) {
  ESPALIER_CHECK(storage >= Storage::kRaw && storage <= Storage::kUint64Data);
  const std::span<const std::byte> bytes = tensor.bytes();
  switch (storage) {
    case Storage::kRaw:
      proto->set_raw_data(bytes.data(), bytes.size());
      return;
    case Storage::kFloatData:
      return AssignField(bytes, proto->mutable_float_data());
    case Storage::kInt64Data:
      return AssignField(bytes, proto->mutable_int64_data());
    case Storage::kDoubleData:
      return AssignField(bytes, proto->mutable_double_data());
    case Storage::kUint64Data:
      if (tensor.dtype() == DType::kUint64) return AssignField(bytes, proto->mutable_uint64_data());
      return WidenField<std::uint32_t>(bytes, proto->mutable_uint64_data());
    case Storage::kInt32Data:
      return StoreInt32Data(tensor, proto->mutable_int32_data());
    default:
      return;
  }
}

void StoreScalarAttribute(const Tensor& tensor, onnx::AttributeProto* attribute) {
  const std::string& name = attribute->name();
  const std::span<const std::byte> bytes = tensor.bytes();
  if (name == "value_floats") return AssignField(bytes, attribute->mutable_floats());
  if (name == "value_ints") return AssignField(bytes, attribute->mutable_ints());
  if (name == "value_float") {
    float value = 0;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return attribute->set_f(value);
  }
  ESPALIER_CHECK(name == "value_int");
  std::int64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  attribute->set_i(value);
}

void ClearValues(onnx::TensorProto* proto) {
  proto->clear_raw_data();
  proto->clear_float_data();
  proto->clear_int32_data();
  proto->clear_int64_data();
  proto->clear_double_data();
  proto->clear_uint64_data();
  proto->clear_external_data();
  proto->clear_data_location();
}

}  // namespace espalier::internal
