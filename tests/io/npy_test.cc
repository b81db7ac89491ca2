#include "espalier/io/npy.h"

#include <cstring>
#include <string>
#include <vector>

#include "tests/io/io_testing.h"

namespace espalier {
namespace {

using Npy = FolderTest;
using namespace std::string_literals;

std::string Spaces(std::size_t count) { return std::string(count, ' '); }

// numpy.save("x.npy", numpy.array([[1, -2.5, 3], [0, 0.1, 1e-40]], "<f4")), NumPy 2.4.6.
std::string NumpyFloatMatrix() {
  return "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"s
             .append(Spaces(58)) +
         "\n\x00\x00\x80?\x00\x00 \xc0\x00\x00@@\x00\x00\x00\x00\xcd\xcc\xcc=\xc2\x16\x01\x00"s;
}

NpyArray FloatMatrix() {
  const float values[] = {1, -2.5f, 3, 0, 0.1f, 1e-40f};
  NpyArray array{DType::kFloat32, {2, 3}, false, std::vector<std::byte>(sizeof values)};
  std::memcpy(array.bytes.data(), values, sizeof values);
  return array;
}

// Prelude of a version with a header length of its own, for files that lie.
std::string File(int version, std::uint32_t length, const std::string& rest) {
  std::string text = "\x93NUMPY"s + static_cast<char>(version) + '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) text += static_cast<char>(length >> (8 * i));
  return text + rest;
}

std::string File(int version, const std::string& header, const std::string& data) {
  return File(version, static_cast<std::uint32_t>(header.size()), header + data);
}

std::string HeaderOf(const std::string& shape) {
  return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n";
}

TEST_F(Npy, ReadsWhatNumpyWrites) {
  const NpyArray array = ReadNpy(Write("a.npy", NumpyFloatMatrix()));
  const NpyArray want = FloatMatrix();
  EXPECT_EQ(array.dtype, want.dtype);
  EXPECT_EQ(array.shape, want.shape);
  EXPECT_EQ(array.fortran_order, want.fortran_order);
  EXPECT_EQ(array.bytes, want.bytes);
}

TEST_F(Npy, WritesTheBytesThatNumpyWrites) {
  WriteNpy(Path("a.npy"), Overwrite::kNo, FloatMatrix());
  EXPECT_EQ(Read(Path("a.npy")), NumpyFloatMatrix());
}

TEST_F(Npy, RoundTripsEachShapeAndOrder) {
  for (const Dims& shape :
       {Dims{}, Dims{0}, Dims{7}, Dims{3, 0, 2}, Dims{2, 3, 4, 5}, Dims(64, 1)}) {
    for (const bool fortran_order : {false, true}) {
      SCOPED_TRACE(DimsText(shape));
      NpyArray array{DType::kInt16, shape, fortran_order, {}};
      array.bytes.resize(static_cast<std::size_t>(ElementCount(shape)) * 2);
      for (std::size_t i = 0; i < array.bytes.size(); ++i) array.bytes[i] = std::byte(i * 7);
      WriteNpy(Path("a.npy"), Overwrite::kYes, array);
      EXPECT_EQ((Read(Path("a.npy")).size() - array.bytes.size()) % 64, 0u);
      const NpyArray again = ReadNpy(Path("a.npy"));
      EXPECT_EQ(again.dtype, array.dtype);
      EXPECT_EQ(again.shape, shape);
      EXPECT_EQ(again.fortran_order, fortran_order);
      EXPECT_EQ(again.bytes, array.bytes);
    }
  }
}

TEST_F(Npy, ReadsVersions1To3) {
  for (const int version : {1, 2, 3}) {
    const NpyArray array = ReadNpy(Write("a.npy", File(version, HeaderOf("(1,)"), "abcd")));
    EXPECT_EQ(array.shape, Dims{1});
    EXPECT_EQ(std::memcmp(array.bytes.data(), "abcd", 4), 0);
  }
}

TEST_F(Npy, RefusesOtherVersions) {
  for (const char major : {'\0', '\4', '\xff'}) {
    std::string text = NumpyFloatMatrix();
    text[6] = major;
    ExpectError(ErrorCode::kUnsupported,
                {"version " + std::to_string(static_cast<unsigned char>(major)) + ".0", "a.npy"},
                [&] { ReadNpy(Write("a.npy", text)); });
  }
  std::string text = NumpyFloatMatrix();
  text[7] = 1;
  ExpectError(ErrorCode::kUnsupported, {"1.1"}, [&] { ReadNpy(Write("a.npy", text)); });
}

TEST_F(Npy, RefusesFilesOfAnotherKind) {
  for (const std::string& text :
       {""s, "\x93NUMPY"s, "PK\3\4 an npz archive"s, std::string(100, '\0')}) {
    ExpectError(ErrorCode::kBadFile,
                {std::to_string(text.size()) + " bytes", "numpy.save", "a.npy"},
                [&] { ReadNpy(Write("a.npy", text)); });
  }
}

TEST_F(Npy, RefusesEachTruncationOfAFile) {
  const std::string whole = NumpyFloatMatrix();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    ExpectError(ErrorCode::kBadFile, {"a.npy"},
                [&] { ReadNpy(Write("a.npy", whole.substr(0, size))); });
  }
  ExpectError(ErrorCode::kBadFile, {"2x3", "24 bytes", "23 follow", "truncated"},
              [&] { ReadNpy(Write("a.npy", whole.substr(0, whole.size() - 1))); });
}

TEST_F(Npy, RefusesBytesAfterTheArray) {
  ExpectError(ErrorCode::kBadFile, {"24 bytes", "25 follow", "no array"},
              [&] { ReadNpy(Write("a.npy", NumpyFloatMatrix() + "x")); });
}

TEST_F(Npy, RefusesHeaderLengthsThatLie) {
  ExpectError(ErrorCode::kBadFile, {"length 65535", "beyond the file's"},
              [&] { ReadNpy(Write("a.npy", File(1, 65535, HeaderOf("()")))); });
  ExpectError(ErrorCode::kBadFile, {"length 67108864", "limit of 1048576"},
              [&] { ReadNpy(Write("a.npy", File(2, 64u << 20, HeaderOf("()")))); });
  ExpectError(ErrorCode::kBadFile, {"length 4294967295", "limit"},
              [&] { ReadNpy(Write("a.npy", File(3, ~0u, HeaderOf("()")))); });
  ExpectError(ErrorCode::kBadFile, {"'{' is needed"},
              [&] { ReadNpy(Write("a.npy", File(1, 0, "abcd"))); });
}

TEST_F(Npy, RefusesShapesThatOverflow) {
  ExpectError(ErrorCode::kBadFile, {"2^62"},
              [&] { ReadNpy(Write("a.npy", File(1, HeaderOf("(4294967296, 4294967296)"), ""))); });
  // 2^62 elements are a count, their 2^64 bytes are not.
  ExpectError(ErrorCode::kBadFile, {"4611686018427387904", "overflows"},
              [&] { ReadNpy(Write("a.npy", File(1, HeaderOf("(4611686018427387904,)"), ""))); });
  // A big claim over a small file must fail without taking the memory.
  ExpectError(ErrorCode::kBadFile, {"4000000000000 bytes", "4 follow"},
              [&] { ReadNpy(Write("a.npy", File(1, HeaderOf("(1000000000000,)"), "abcd"))); });
}

TEST_F(Npy, NamesTheFileOfAMalformedHeader) {
  ExpectError(ErrorCode::kBadFile, {"True or False", "while reading", "a.npy"},
              [&] { ReadNpy(Write("a.npy", File(1, "{'fortran_order': 1}", ""))); });
}

TEST_F(Npy, WriteRefusesBytesThatDoNotFitTheShape) {
  NpyArray array = FloatMatrix();
  array.shape = {2, 4};
  ExpectError(ErrorCode::kShapeMismatch, {"2x4", "32 bytes", "has 24"},
              [&] { WriteNpy(Path("a.npy"), Overwrite::kNo, array); });
  EXPECT_TRUE(Names().empty());
}

TEST_F(Npy, WriteRefusesBFloat16AndExistingFiles) {
  ExpectError(ErrorCode::kUnsupported, {"bfloat16"}, [&] {
    WriteNpy(Path("a.npy"), Overwrite::kNo, {DType::kBFloat16, {0}, false, {}});
  });
  Write("a.npy", "old");
  ExpectError(ErrorCode::kInvalidArgument, {"a.npy", "--force"},
              [&] { WriteNpy(Path("a.npy"), Overwrite::kNo, FloatMatrix()); });
  EXPECT_EQ(Read(Path("a.npy")), "old");
}

}  // namespace
}  // namespace espalier
