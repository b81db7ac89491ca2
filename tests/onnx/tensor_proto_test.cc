#include "onnx/tensor_proto.h"

#include <cstring>
#include <functional>
#include <set>

#include "tests/onnx/model_builder.h"

namespace espalier {
namespace {

using internal::DTypeFromProto;
using internal::ReadTensor;
using internal::Storage;
using internal::StoredTensor;
using internal::StoreTensor;

onnx::TensorProto Proto(int data_type, const std::vector<std::int64_t>& dims) {
  onnx::TensorProto proto;
  proto.set_data_type(data_type);
  for (const std::int64_t dim : dims) proto.add_dims(dim);
  return proto;
}

struct TypeCase {
  int number;
  DType dtype;
  Storage field;             // of values that are not in raw_data
  int values_of_3_elements;  // in that field
};

// Number, field and count as in the comments of onnx.proto (1.19).
constexpr TypeCase kTypes[] = {
    {1, DType::kFloat32, Storage::kFloatData, 3},
    {2, DType::kUint8, Storage::kInt32Data, 3},
    {3, DType::kInt8, Storage::kInt32Data, 3},
    {4, DType::kUint16, Storage::kInt32Data, 3},
    {5, DType::kInt16, Storage::kInt32Data, 3},
    {6, DType::kInt32, Storage::kInt32Data, 3},
    {7, DType::kInt64, Storage::kInt64Data, 3},
    {9, DType::kBool, Storage::kInt32Data, 3},
    {10, DType::kFloat16, Storage::kInt32Data, 3},
    {11, DType::kFloat64, Storage::kDoubleData, 3},
    {12, DType::kUint32, Storage::kUint64Data, 3},
    {13, DType::kUint64, Storage::kUint64Data, 3},
    {14, DType::kComplex64, Storage::kFloatData, 6},
    {15, DType::kComplex128, Storage::kDoubleData, 6},
    {16, DType::kBFloat16, Storage::kInt32Data, 3},
    {17, DType::kFloat8E4M3Fn, Storage::kInt32Data, 3},
    {18, DType::kFloat8E4M3Fnuz, Storage::kInt32Data, 3},
    {19, DType::kFloat8E5M2, Storage::kInt32Data, 3},
    {20, DType::kFloat8E5M2Fnuz, Storage::kInt32Data, 3},
    {21, DType::kUint4, Storage::kInt32Data, 2},
    {22, DType::kInt4, Storage::kInt32Data, 2},
    {23, DType::kFloat4, Storage::kInt32Data, 2},
    {24, DType::kFloat8E8M0, Storage::kInt32Data, 3},
};

// The types whose bytes are not held are 0, 8 (strings) and those that came later.
TEST(TensorProto, KnowsEveryTypeByNumber) {
  std::set<int> numbers;
  for (const TypeCase& type : kTypes) {
    EXPECT_EQ(DTypeFromProto(type.number), type.dtype) << type.number;
    numbers.insert(type.number);
  }
  EXPECT_EQ(DTypeFromProto(8), DType::kString);
  for (const int number : {-1, 0, 25, 26, 1000, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(DTypeFromProto(number), DType::kUnknown) << number;
  }
  EXPECT_EQ(numbers.size(), 23u);
}

TEST(TensorProto, ReadsRawDataOfEveryTypeInPlace) {
  for (const TypeCase& type : kTypes) {
    SCOPED_TRACE(type.number);
    onnx::TensorProto proto = Proto(type.number, {3});
    proto.set_raw_data(Pattern(internal::DTypeFromProto(type.number) == type.dtype
                                   ? TensorByteCount(type.dtype, {3})
                                   : 0));
    const StoredTensor read = ReadTensor(&proto, {});
    EXPECT_EQ(read.storage, Storage::kRaw);
    EXPECT_EQ(AsText(read.tensor.bytes()), proto.raw_data());
    EXPECT_EQ(AsText(read.tensor.bytes()).data(), proto.raw_data().data()) << "copied";
  }
}

TEST(TensorProto, RefusesRawDataOfAnotherLength) {
  for (const TypeCase& type : kTypes) {
    const std::size_t size = TensorByteCount(type.dtype, {3});
    for (const std::size_t wrong : {size - 1, size + 1}) {
      onnx::TensorProto proto = Proto(type.number, {3});
      proto.set_raw_data(Pattern(wrong));
      if (wrong == 0) continue;  // tested below, as no values at all
      ExpectError(
          ErrorCode::kBadFile,
          "3 needs " + std::to_string(size) + " bytes in raw_data, got " + std::to_string(wrong),
          [&] { ReadTensor(&proto, {}); });
    }
  }
}

// Any bytes survive: bytes -> typed field (stored) -> bytes (read), with the count that the format
// asks for.
TEST(TensorProto, ReadsTypedFieldsOfEveryTypeAsTheyWereStored) {
  for (const TypeCase& type : kTypes) {
    SCOPED_TRACE(type.number);
    std::string bytes = Pattern(TensorByteCount(type.dtype, {3}));
    for (char& byte : bytes) byte = static_cast<char>(byte * 37 + 200);  // signs of both kinds
    if (type.dtype == DType::kBool) bytes = std::string("\1\0\1", 3);
    onnx::TensorProto proto = Proto(type.number, {3});
    StoreTensor(Tensor(type.dtype, {3}, AsBytes(bytes), nullptr), type.field, &proto);
    const int count = proto.float_data_size() + proto.int32_data_size() + proto.int64_data_size() +
                      proto.double_data_size() + proto.uint64_data_size();
    EXPECT_EQ(count, type.values_of_3_elements);
    const StoredTensor read = ReadTensor(&proto, {});
    EXPECT_EQ(read.storage, type.field);
    EXPECT_EQ(AsText(read.tensor.bytes()), bytes);
  }
}

TEST(TensorProto, RefusesTypedFieldsOfAnotherLength) {
  for (const TypeCase& type : kTypes) {
    onnx::TensorProto proto = Proto(type.number, {3});
    ExpectError(ErrorCode::kBadFile,
                "needs " + std::to_string(type.values_of_3_elements) + " values in",
                [&] { ReadTensor(&proto, {}); });
    const std::vector<std::byte> four(TensorByteCount(type.dtype, {5}));
    StoreTensor(Tensor(type.dtype, {5}, four), type.field, &proto);
    ExpectError(ErrorCode::kBadFile,
                "needs " + std::to_string(type.values_of_3_elements) + " values in",
                [&] { ReadTensor(&proto, {}); });
  }
}

TEST(TensorProto, ReadsNumbersOfTypedFields) {
  onnx::TensorProto proto = Proto(onnx::TensorProto::INT8, {2});
  proto.add_int32_data(-128);
  proto.add_int32_data(127);
  EXPECT_EQ(ReadTensor(&proto, {}).tensor.AsInts(), (std::vector<std::int64_t>{-128, 127}));
  proto.set_int32_data(1, 255);  // as some writers store the bits
  EXPECT_EQ(ReadTensor(&proto, {}).tensor.AsInts(), (std::vector<std::int64_t>{-128, -1}));
  proto = Proto(onnx::TensorProto::FLOAT16, {1});
  proto.add_int32_data(0x3C00);
  EXPECT_EQ(ReadTensor(&proto, {}).tensor.AsDoubles(), std::vector<double>{1.0});
  proto = Proto(onnx::TensorProto::FLOAT, {2});
  proto.add_float_data(-2.5f);
  proto.add_float_data(4.0f);
  EXPECT_EQ(ReadTensor(&proto, {}).tensor.AsDoubles(), (std::vector<double>{-2.5, 4.0}));
}

TEST(TensorProto, RefusesValuesThatDoNotFitTheirType) {
  const auto refuse = [](int type, std::int32_t value) {
    onnx::TensorProto proto = Proto(type, {1});
    proto.add_int32_data(value);
    ExpectError(ErrorCode::kBadFile, "value " + std::to_string(value),
                [&] { ReadTensor(&proto, {}); });
  };
  refuse(onnx::TensorProto::INT8, 256);
  refuse(onnx::TensorProto::INT8, -129);
  refuse(onnx::TensorProto::FLOAT16, 65536);
  refuse(onnx::TensorProto::UINT16, -32769);
  onnx::TensorProto proto = Proto(onnx::TensorProto::UINT32, {1});
  proto.add_uint64_data(std::uint64_t{1} << 32);
  ExpectError(ErrorCode::kBadFile, "value 4294967296", [&] { ReadTensor(&proto, {}); });
  proto.set_uint64_data(0, UINT64_MAX - (std::uint64_t{1} << 40));
  ExpectError(ErrorCode::kBadFile, "uint32", [&] { ReadTensor(&proto, {}); });
}

TEST(TensorProto, RefusesValuesInTwoFields) {
  onnx::TensorProto proto = Proto(onnx::TensorProto::FLOAT, {1});
  proto.add_float_data(1);
  proto.set_raw_data(Pattern(4));
  ExpectError(ErrorCode::kBadFile, "raw_data (4 bytes) and in float_data (1)",
              [&] { ReadTensor(&proto, {}); });
  proto.set_raw_data("");  // set, but empty: the values are where they are
  EXPECT_EQ(ReadTensor(&proto, {}).storage, Storage::kFloatData);
}

TEST(TensorProto, RefusesBadDimensions) {
  onnx::TensorProto proto = Proto(onnx::TensorProto::FLOAT, {2, -7});
  ExpectError(ErrorCode::kBadFile, "-7", [&] { ReadTensor(&proto, {}); });
  proto = Proto(onnx::TensorProto::FLOAT, {std::int64_t{1} << 40, std::int64_t{1} << 40});
  ExpectError(ErrorCode::kBadFile, "2^62", [&] { ReadTensor(&proto, {}); });
  proto = Proto(onnx::TensorProto::COMPLEX128, {std::int64_t{1} << 61});
  proto.set_raw_data("1234");
  ExpectError(ErrorCode::kBadFile, "2^62 bytes", [&] { ReadTensor(&proto, {}); });
  proto = Proto(onnx::TensorProto::FLOAT, std::vector<std::int64_t>(65, 1));
  ExpectError(ErrorCode::kBadFile, "65 dimensions, the most is 64",
              [&] { ReadTensor(&proto, {}); });
}

TEST(TensorProto, ReadsEmptyTensorsAndScalars) {
  onnx::TensorProto empty = Proto(onnx::TensorProto::FLOAT, {0, 5});
  EXPECT_EQ(ReadTensor(&empty, {}).tensor.elements(), 0);
  onnx::TensorProto scalar = Proto(onnx::TensorProto::INT64, {});
  scalar.add_int64_data(42);
  EXPECT_EQ(ReadTensor(&scalar, {}).tensor.AsInts(), std::vector<std::int64_t>{42});
}

TEST(TensorProto, HoldsNoBytesOfStringsUnknownTypesAndSegments) {
  onnx::TensorProto strings = Proto(onnx::TensorProto::STRING, {2});
  strings.add_string_data("a");
  ExpectError(ErrorCode::kBadFile, "2 values in string_data, got 1",
              [&] { ReadTensor(&strings, {}); });
  strings.add_string_data("b");
  EXPECT_EQ(ReadTensor(&strings, {}).tensor.dtype(), DType::kString);
  onnx::TensorProto later = Proto(99, {2});
  later.set_raw_data("any");
  onnx::TensorProto segment = Proto(onnx::TensorProto::FLOAT, {2});
  segment.mutable_segment()->set_begin(0);
  for (onnx::TensorProto* proto : {&later, &segment}) {
    const StoredTensor read = ReadTensor(proto, {});
    EXPECT_EQ(read.tensor.dtype(), DType::kUnknown);
    EXPECT_EQ(read.tensor.dims(), Dims{2});
    EXPECT_EQ(read.storage, Storage::kNone);
  }
}

TEST(TensorProto, MovesLargeValuesOutOfTheProto) {
  internal::TensorSource source;
  source.detach = true;
  onnx::TensorProto raw = Proto(onnx::TensorProto::FLOAT, {256});
  raw.set_raw_data(Pattern(1024));
  const char* before = raw.raw_data().data();
  const StoredTensor read = ReadTensor(&raw, source);
  EXPECT_TRUE(read.detached);
  EXPECT_FALSE(raw.has_raw_data());
  EXPECT_EQ(AsText(read.tensor.bytes()).data(), before) << "copied";
  EXPECT_EQ(AsText(read.tensor.bytes()), Pattern(1024));

  onnx::TensorProto typed = Proto(onnx::TensorProto::FLOAT, {256});
  for (int i = 0; i < 256; ++i) typed.add_float_data(static_cast<float>(i));
  const StoredTensor floats = ReadTensor(&typed, source);
  EXPECT_TRUE(floats.detached);
  EXPECT_EQ(typed.float_data_size(), 0);
  EXPECT_EQ(floats.tensor.AsDoubles().at(255), 255.0);

  onnx::TensorProto small = Proto(onnx::TensorProto::FLOAT, {2});
  small.set_raw_data(Pattern(8));
  EXPECT_FALSE(ReadTensor(&small, source).detached);
  EXPECT_EQ(small.raw_data(), Pattern(8));
}

}  // namespace
}  // namespace espalier
