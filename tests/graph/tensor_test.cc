#include "espalier/graph/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "espalier/base/error.h"

namespace espalier {
namespace {

std::vector<std::byte> Bytes(std::initializer_list<int> values) {
  std::vector<std::byte> bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

template <typename T>
Tensor TensorOf(DType dtype, const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return Tensor(dtype, {static_cast<std::int64_t>(values.size())},
                std::vector<std::byte>(bytes.begin(), bytes.end()));
}

// Runs `action`, which must throw an Error of `code` whose text has `text`.
template <typename Action>
void ExpectError(ErrorCode code, const std::string& text, Action action) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST(Tensor, RefusesBytesThatDoNotFitItsShape) {
  ExpectError(ErrorCode::kShapeMismatch, "float32 2x3 needs 24 bytes, got 23", [] {
    Tensor(DType::kFloat32, {2, 3}, std::vector<std::byte>(23));
  });
  ExpectError(ErrorCode::kShapeMismatch, "int8 scalar needs 1 bytes, got 2", [] {
    const std::vector<std::byte> two(2);
    Tensor(DType::kInt8, {}, two, nullptr);
  });
}

TEST(Tensor, RefusesNegativeAndOverflowingDimensions) {
  ExpectError(ErrorCode::kBadFile, "-3", [] { Tensor(DType::kInt8, {-3}, {}); });
  ExpectError(ErrorCode::kBadFile, "2^62 bytes", [] {
    Tensor(DType::kFloat64, {std::int64_t{1} << 31, std::int64_t{1} << 30}, {});
  });
  ExpectError(ErrorCode::kBadFile, "-1", [] { Tensor::WithoutBytes(DType::kString, {-1}); });
}

TEST(Tensor, PadsFourBitTypesToWholeBytes) {
  EXPECT_EQ(TensorByteCount(DType::kInt4, {3}), 2u);
  EXPECT_EQ(TensorByteCount(DType::kInt4, {0}), 0u);
  EXPECT_EQ(TensorByteCount(DType::kComplex128, {3}), 48u);
  EXPECT_EQ(TensorByteCount(DType::kString, {3}), 0u);
}

TEST(Tensor, KeepsTheOwnerOfBorrowedBytesAlive) {
  auto owner = std::make_shared<std::vector<std::byte>>(Bytes({1, 2}));
  const std::weak_ptr<std::vector<std::byte>> watch = owner;
  Tensor tensor(DType::kUint8, {2}, *owner, owner);
  EXPECT_EQ(tensor.bytes().data(), owner->data());
  owner.reset();
  EXPECT_FALSE(watch.expired());
  tensor = Tensor();
  EXPECT_TRUE(watch.expired());
}

TEST(Tensor, WritesToACopyOfBorrowedBytes) {
  auto owner = std::make_shared<std::vector<std::byte>>(Bytes({1, 2}));
  Tensor tensor(DType::kUint8, {2}, *owner, owner);
  tensor.MutableBytes()[0] = std::byte{9};
  EXPECT_EQ(owner->at(0), std::byte{1});
  EXPECT_EQ(tensor.AsInts(), (std::vector<std::int64_t>{9, 2}));
  EXPECT_EQ(owner.use_count(), 1) << "the borrowed bytes are no longer needed";
}

TEST(Tensor, CopiesShareBytesUntilOneWrites) {
  Tensor first(DType::kUint8, {2}, Bytes({1, 2}));
  Tensor second = first;
  EXPECT_EQ(first.bytes().data(), second.bytes().data());
  second.MutableBytes()[1] = std::byte{7};
  EXPECT_EQ(first.AsInts(), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(second.AsInts(), (std::vector<std::int64_t>{1, 7}));
}

TEST(Tensor, WritesInPlaceIfNobodySharesItsBytes) {
  Tensor tensor(DType::kUint8, {2}, Bytes({1, 2}));
  const std::byte* before = tensor.bytes().data();
  EXPECT_EQ(tensor.MutableBytes().data(), before);
}

TEST(Tensor, WithoutBytesHasShapeOnly) {
  const Tensor tensor = Tensor::WithoutBytes(DType::kString, {2, 3});
  EXPECT_EQ(tensor.elements(), 6);
  EXPECT_TRUE(tensor.bytes().empty());
  ExpectError(ErrorCode::kUnsupported, "int64 2",
              [] { Tensor::WithoutBytes(DType::kInt64, {2}).AsInts(); });
  ExpectError(ErrorCode::kUnsupported, "float32 2",
              [] { Tensor::WithoutBytes(DType::kFloat32, {2}).AsDoubles(); });
}

TEST(Tensor, ReadsEveryIntegerType) {
  using Ints = std::vector<std::int64_t>;
  const auto expect = [](const Tensor& tensor, const Ints& want) {
    EXPECT_EQ(tensor.AsInts(), want) << DTypeName(tensor.dtype());
    EXPECT_EQ(tensor.AsDoubles(), std::vector<double>(want.begin(), want.end()))
        << DTypeName(tensor.dtype());
  };
  expect(TensorOf<std::int8_t>(DType::kInt8, {-128, 127}), {-128, 127});
  expect(TensorOf<std::uint8_t>(DType::kUint8, {0, 255}), {0, 255});
  expect(TensorOf<std::uint8_t>(DType::kBool, {0, 1}), {0, 1});
  expect(TensorOf<std::int16_t>(DType::kInt16, {-32768, 5}), {-32768, 5});
  expect(TensorOf<std::uint16_t>(DType::kUint16, {65535, 5}), {65535, 5});
  expect(TensorOf<std::int32_t>(DType::kInt32, {INT32_MIN, 5}), {INT32_MIN, 5});
  expect(TensorOf<std::uint32_t>(DType::kUint32, {UINT32_MAX, 5}), {UINT32_MAX, 5});
  expect(TensorOf<std::int64_t>(DType::kInt64, {INT64_MIN, 5}), {INT64_MIN, 5});
  expect(TensorOf<std::uint64_t>(DType::kUint64, {INT64_MAX, 5}), {INT64_MAX, 5});
  expect(Tensor(DType::kInt4, {3}, Bytes({0x8F, 0x07})), {-1, -8, 7});
  expect(Tensor(DType::kUint4, {3}, Bytes({0x8F, 0x07})), {15, 8, 7});
}

TEST(Tensor, ReadsEveryFloatType) {
  const auto expect = [](const Tensor& tensor, const std::vector<double>& want) {
    EXPECT_EQ(tensor.AsDoubles(), want) << DTypeName(tensor.dtype());
  };
  expect(TensorOf<float>(DType::kFloat32, {-1.5f, 3e38f}), {-1.5, double{3e38f}});
  expect(TensorOf<double>(DType::kFloat64, {-1.5, 1e300}), {-1.5, 1e300});
  expect(TensorOf<std::uint16_t>(DType::kFloat16, {0xC000, 0x3C00}), {-2, 1});
  expect(TensorOf<std::uint16_t>(DType::kBFloat16, {0xC000, 0x3F80}), {-2, 1});
  // Extremes from the tables of ONNX's float8 page.
  expect(Tensor(DType::kFloat8E4M3Fn, {4}, Bytes({0x7E, 0x01, 0xB8, 0x38})), {448, 0x1p-9, -1, 1});
  expect(Tensor(DType::kFloat8E4M3Fnuz, {2}, Bytes({0x7F, 0x01})), {240, 0x1p-10});
  expect(Tensor(DType::kFloat8E5M2, {2}, Bytes({0x7B, 0x01})), {57344, 0x1p-16});
  expect(Tensor(DType::kFloat8E5M2Fnuz, {2}, Bytes({0x7F, 0x01})), {57344, 0x1p-17});
  expect(Tensor(DType::kFloat8E8M0, {2}, Bytes({0x00, 0x80})), {0x1p-127, 2});
  expect(Tensor(DType::kFloat4, {4}, Bytes({0x71, 0x9F})), {0.5, 6, -6, -0.5});
}

TEST(Tensor, KeepsNotANumberOfSmallFloats) {
  const std::pair<DType, int> cases[] = {
      {DType::kFloat8E4M3Fn, 0x7F}, {DType::kFloat8E4M3Fn, 0xFF},   {DType::kFloat8E4M3Fnuz, 0x80},
      {DType::kFloat8E5M2, 0x7E},   {DType::kFloat8E5M2Fnuz, 0x80}, {DType::kFloat8E8M0, 0xFF}};
  for (const auto& [dtype, bits] : cases) {
    EXPECT_TRUE(std::isnan(Tensor(dtype, {1}, Bytes({bits})).AsDoubles().at(0)))
        << DTypeName(dtype);
  }
  EXPECT_TRUE(std::isinf(Tensor(DType::kFloat8E5M2, {1}, Bytes({0x7C})).AsDoubles().at(0)));
}

TEST(Tensor, RefusesToReadOtherTypesAsNumbers) {
  ExpectError(ErrorCode::kUnsupported, "float32",
              [] { TensorOf<float>(DType::kFloat32, {1}).AsInts(); });
  ExpectError(ErrorCode::kUnsupported, "complex64",
              [] { Tensor(DType::kComplex64, {1}, std::vector<std::byte>(8)).AsDoubles(); });
  ExpectError(ErrorCode::kUnsupported, "9223372036854775808",
              [] { TensorOf<std::uint64_t>(DType::kUint64, {std::uint64_t{1} << 63}).AsInts(); });
}

}  // namespace
}  // namespace espalier
