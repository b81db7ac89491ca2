#include "espalier/io/safetensors.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "tests/io/io_testing.h"

namespace espalier {
namespace {

using Safetensors = FolderTest;

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape,
                     offsets);
}

std::string Header(const std::vector<std::string>& entries) {
  return fmt::format("{{{}}}", fmt::join(entries, ","));
}

class SafetensorsBad : public FolderTest {
 protected:
  /// Expects a header over `data_bytes` bytes of data to be refused with each of `parts`.
  void ExpectBad(const std::string& header, std::size_t data_bytes,
                 std::initializer_list<std::string_view> parts) {
    ExpectBadFile(WithLength(header) + std::string(data_bytes, 'd'), parts);
  }
  void ExpectBadFile(const std::string& text, std::initializer_list<std::string_view> parts) {
    SCOPED_TRACE(text.substr(0, 200));
    const InputFile file(Write("bad.safetensors", text));
    ExpectError(ErrorCode::kBadFile, parts, [&] { ReadSafetensorsHeader(file); });
    ExpectError(ErrorCode::kBadFile, {"while reading the header", "bad.safetensors"},
                [&] { ReadSafetensorsHeader(file); });
  }
};

TEST_F(Safetensors, ReadsEntriesInTheOrderOfTheirBytes) {
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\",\"a\":\"\"}," +
                             Entry("second", "BF16", "[2,3]", "[8,20]") + "," +
                             Entry("first", "F32", "[2]", "[0,8]") + "}  ";
  const InputFile file(Write("a", WithLength(header) + std::string(20, 'd')));
  const SafetensorsHeader read = ReadSafetensorsHeader(file);
  EXPECT_EQ(read.data_begin, 8 + header.size());
  EXPECT_EQ(read.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"a", ""}}));
  ASSERT_EQ(read.entries.size(), 2u);
  EXPECT_EQ(read.entries[0].name, "first");
  EXPECT_EQ(read.entries[0].dtype, DType::kFloat32);
  EXPECT_EQ(read.entries[0].begin, read.data_begin);
  EXPECT_EQ(read.entries[0].end, read.data_begin + 8);
  EXPECT_EQ(read.entries[1].name, "second");
  EXPECT_EQ(read.entries[1].dtype_name, "BF16");
  EXPECT_EQ(read.entries[1].shape, (Dims{2, 3}));
  EXPECT_EQ(read.entries[1].end, file.size());
}

TEST_F(Safetensors, TakesScalarsEmptyTensorsAndFilesWithoutTensors) {
  const std::string header =
      Header({Entry("scalar", "F64", "[]", "[0,8]"), Entry("late", "U8", "[0]", "[9,9]"),
              Entry("byte", "I8", "[1]", "[8,9]"), Entry("mid", "F32", "[3,0]", "[8,8]")});
  const InputFile file(Write("a", WithLength(header) + "123456789"));
  const SafetensorsHeader read = ReadSafetensorsHeader(file);
  ASSERT_EQ(read.entries.size(), 4u);
  EXPECT_EQ(read.entries[0].shape, Dims{});
  EXPECT_EQ(read.entries[1].name, "mid");
  EXPECT_EQ(read.entries[2].name, "byte");
  EXPECT_EQ(read.entries[3].name, "late");
  const InputFile empty(Write("empty", WithLength("{}")));
  EXPECT_TRUE(ReadSafetensorsHeader(empty).entries.empty());
}

TEST_F(Safetensors, KnowsEachTypeAndItsSize) {
  struct Case {
    const char* name;
    DType dtype;
    int bytes_of_8;
  };
  for (const Case& c : {Case{"F32", DType::kFloat32, 32},
                        {"F16", DType::kFloat16, 16},
                        {"BF16", DType::kBFloat16, 16},
                        {"F64", DType::kFloat64, 64},
                        {"I8", DType::kInt8, 8},
                        {"U8", DType::kUint8, 8},
                        {"I16", DType::kInt16, 16},
                        {"U16", DType::kUint16, 16},
                        {"I32", DType::kInt32, 32},
                        {"U32", DType::kUint32, 32},
                        {"I64", DType::kInt64, 64},
                        {"U64", DType::kUint64, 64},
                        {"BOOL", DType::kBool, 8},
                        {"C64", DType::kComplex64, 64},
                        {"F8_E4M3", DType::kFloat8E4M3Fn, 8},
                        {"F8_E4M3FNUZ", DType::kFloat8E4M3Fnuz, 8},
                        {"F8_E5M2", DType::kFloat8E5M2, 8},
                        {"F8_E5M2FNUZ", DType::kFloat8E5M2Fnuz, 8},
                        {"F8_E8M0", DType::kFloat8E8M0, 8},
                        {"F6_E2M3", DType::kUnknown, 6},
                        {"F6_E3M2", DType::kUnknown, 6},
                        {"F4", DType::kFloat4, 4}}) {
    SCOPED_TRACE(c.name);
    const std::string bytes = std::to_string(c.bytes_of_8);
    const std::string header = Header({Entry("w", c.name, "[8]", "[0," + bytes + "]")});
    const std::string data(static_cast<std::size_t>(c.bytes_of_8) + 1, 'd');
    const InputFile file(Write("a", WithLength(header) + data.substr(1)));
    EXPECT_EQ(ReadSafetensorsHeader(file).entries[0].dtype, c.dtype);
    // One byte more must not pass: that shows that the size is checked.
    const std::string more =
        Header({Entry("w", c.name, "[8]", "[0," + std::to_string(c.bytes_of_8 + 1) + "]")});
    const InputFile wrong(Write("b", WithLength(more) + data));
    ExpectError(ErrorCode::kBadFile, {"'w'", c.name, "needs " + bytes},
                [&] { ReadSafetensorsHeader(wrong); });
  }
}

TEST_F(Safetensors, KeepsTypesThatItDoesNotKnow) {
  const std::string header = Header({Entry("w", "Q3_NEW", "[5]", "[0,7]")});
  const InputFile file(Write("a", WithLength(header) + "1234567"));
  const SafetensorsEntry entry = ReadSafetensorsHeader(file).entries.at(0);
  EXPECT_EQ(entry.dtype, DType::kUnknown);
  EXPECT_EQ(entry.dtype_name, "Q3_NEW");
}

TEST_F(Safetensors, IgnoresKeysOfAnEntryThatItDoesNotKnow) {
  const std::string header =
      "{\"w\":{\"new\":{\"a\":[1,{\"b\":null}]},\"dtype\":\"U8\",\"shape\":[1],\"x\":-1.5,"
      "\"data_offsets\":[0,1]}}";
  const InputFile file(Write("a", WithLength(header) + "1"));
  EXPECT_EQ(ReadSafetensorsHeader(file).entries.at(0).shape, Dims{1});
}

TEST_F(Safetensors, DecodesEscapedNames) {
  const std::string header = Header({Entry("a\\n\\u00e9\\u0000", "U8", "[1]", "[0,1]")});
  const InputFile file(Write("a", WithLength(header) + "1"));
  EXPECT_EQ(ReadSafetensorsHeader(file).entries.at(0).name, std::string("a\n\xC3\xA9\0", 5));
}

TEST_F(Safetensors, ReadsARealModel) {
  const char* shared = std::getenv("ESPALIER_SHARED");
  const std::filesystem::path folder =
      shared != nullptr ? shared : ESPALIER_SOURCE_DIR "/../shared";
  const std::filesystem::path path = folder / "models" / "silero_vad_16k.safetensors";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is not here";
  const InputFile file(path);
  const SafetensorsHeader header = ReadSafetensorsHeader(file);
  EXPECT_FALSE(header.entries.empty());
  for (const SafetensorsEntry& entry : header.entries) EXPECT_EQ(entry.dtype_name, "F32");
  EXPECT_EQ(header.entries.back().end, file.size());
}

TEST_F(SafetensorsBad, LengthFieldsThatLie) {
  ExpectBadFile("", {"0 bytes"});
  ExpectBadFile("1234567", {"7 bytes"});
  ExpectBadFile(std::string("\0\0\0\0\0\0\0\0", 8), {"begins with ''"});
  ExpectBadFile(std::string("\3\0\0\0\0\0\0\0{}", 10), {"header length 3", "10 bytes"});
  ExpectBadFile(std::string("\0\0\0\0\0\0\0\x80{}", 10), {"header length 9223372036854775808"});
  ExpectBadFile(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10), {"18446744073709551615"});
}

TEST_F(SafetensorsBad, HeadersOverTheLimitAreRefusedUnread) {
  const std::filesystem::path path = Write("big", WithLength("{}"));
  std::filesystem::resize_file(path, 200'000'000);  // sparse: takes no disk
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .write("\1\xe1\xf5\5\0\0\0\0", 8);
  const InputFile file(path);
  ExpectError(ErrorCode::kBadFile, {"length 100000001", "limit of 100000000"},
              [&] { ReadSafetensorsHeader(file); });
}

TEST_F(SafetensorsBad, GitLfsPointers) {
  ExpectBadFile("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
                {"Git LFS", "git lfs pull"});
}

TEST_F(SafetensorsBad, TextThatIsNoJsonObject) {
  ExpectBad("[]", 0, {"begins with '['"});
  ExpectBad(" {}", 0, {"begins with ' '"});
  ExpectBad("{", 0, {"malformed JSON at byte 2"});
  ExpectBad("{}x", 0, {"malformed JSON at byte 3"});
  ExpectBad(std::string("{}\0", 3), 0, {"malformed JSON at byte 3: NUL"});
  ExpectBad("{\"a\":\"\xff\"}", 0, {"malformed JSON", "UTF-8"});
  ExpectBad("{\"\x1b\":1}", 0, {"malformed JSON", "control character"});
  ExpectBad("{\"a\":\"\\ud800\"}", 0, {"malformed JSON", "surrogate"});
  ExpectBad("{\"a\":NaN}", 0, {"malformed JSON"});
}

TEST_F(SafetensorsBad, DeepNestingIsRefusedWithoutRecursion) {
  const std::size_t levels = 1'000'000;
  ExpectBad("{\"w\":{\"x\":" + std::string(levels, '['), 0, {"deeper than 32"});
  std::string objects = "{\"w\":";
  for (std::size_t i = 0; i < levels; ++i) objects += "{\"x\":";
  ExpectBad(objects, 0, {"deeper than 32"});
}

TEST_F(SafetensorsBad, DoubleKeys) {
  const std::string entry = Entry("w", "U8", "[1]", "[0,1]");
  ExpectBad(Header({entry, entry}), 1, {"'w' appears twice", "top-level"});
  ExpectBad("{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
            {"'shape' appears twice in 'w'"});
  ExpectBad("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0,
            {"'a' appears twice in '__metadata__'"});
  ExpectBad("{\"__metadata__\":{},\"__metadata__\":{}}", 0, {"'__metadata__' appears twice"});
  ExpectBad("{\"w\":{\"x\":{\"y\":1,\"y\":1}}}", 0, {"'y' appears twice in 'x'"});
}

TEST_F(SafetensorsBad, EntriesOfAnotherKind) {
  ExpectBad("{\"w\":1}", 0, {"'w' is 1, not an object"});
  ExpectBad("{\"w\":null}", 0, {"'w' is null"});
  ExpectBad("{\"w\":[]}", 0, {"'w' is an array"});
  ExpectBad("{\"w\":\"x\"}", 0, {"'w' is 'x'"});
  ExpectBad("{\"__metadata__\":[]}", 0, {"'__metadata__' is an array"});
  ExpectBad("{\"__metadata__\":{\"a\":1}}", 0, {"__metadata__ has 1 for 'a'"});
  ExpectBad("{\"__metadata__\":{\"a\":{}}}", 0, {"__metadata__ has an object for 'a'"});
}

TEST_F(SafetensorsBad, MissingFields) {
  ExpectBad("{\"w\":{}}", 0, {"'w'", "dtype is missing"});
  ExpectBad("{\"w\":{\"dtype\":\"U8\"}}", 0, {"'w'", "shape is missing"});
  ExpectBad("{\"w\":{\"dtype\":\"U8\",\"shape\":[]}}", 0, {"'w'", "data_offsets has 0"});
}

TEST_F(SafetensorsBad, FieldsOfAnotherKind) {
  ExpectBad("{\"w\":{\"dtype\":3}}", 0, {"'w'", "dtype is 3"});
  ExpectBad("{\"w\":{\"dtype\":[\"U8\"]}}", 0, {"'w'", "dtype is an array"});
  ExpectBad("{\"w\":{\"dtype\":{}}}", 0, {"'w'", "dtype is an object"});
  ExpectBad("{\"w\":{\"shape\":3}}", 0, {"'w'", "shape has 3"});
  ExpectBad("{\"w\":{\"shape\":{\"\":3}}}", 0, {"'w'", "shape has an object"});
  ExpectBad("{\"w\":{\"shape\":[[3]]}}", 0, {"'w'", "shape has an array"});
  ExpectBad("{\"w\":{\"shape\":[\"3\"]}}", 0, {"'w'", "shape has '3'"});
  ExpectBad("{\"w\":{\"data_offsets\":[true]}}", 0, {"'w'", "data_offsets has true"});
}

TEST_F(SafetensorsBad, NumbersThatAreNoCounts) {
  ExpectBad("{\"w\":{\"shape\":[-3]}}", 0, {"'w'", "shape has -3"});
  ExpectBad("{\"w\":{\"shape\":[1.5]}}", 0, {"'w'", "shape has 1.5"});
  ExpectBad("{\"w\":{\"shape\":[1e3]}}", 0, {"'w'", "shape has 1e3"});
  ExpectBad("{\"w\":{\"shape\":[9223372036854775808]}}", 0, {"'w'", "9223372036854775808"});
  ExpectBad("{\"w\":{\"shape\":[99999999999999999999999]}}", 0, {"99999999999999999999999"});
  ExpectBad("{\"w\":{\"data_offsets\":[0,-1]}}", 0, {"data_offsets has -1"});
  ExpectBad("{\"w\":{\"data_offsets\":[0,1,2]}}", 0, {"third number, 2"});
  ExpectBad(Header({Entry("w", "U8", "[1]", "[0]")}), 1, {"'w'", "data_offsets has 1 numbers"});
}

TEST_F(SafetensorsBad, ShapesThatOverflow) {
  ExpectBad(Header({Entry("w", "U8", "[4294967296,4294967296]", "[0,1]")}), 1, {"'w'", "2^62"});
  ExpectBad(Header({Entry("w", "F32", "[4611686018427387904]", "[0,0]")}), 0,
            {"'w'", "4611686018427387904", "overflows"});
  std::string many = "1";
  for (int i = 0; i < 64; ++i) many += ",1";
  ExpectBad(Header({Entry("w", "U8", "[" + many + "]", "[0,1]")}), 1, {"'w'", "64 dimensions"});
}

TEST_F(SafetensorsBad, SizesThatDoNotFitTheShape) {
  ExpectBad(Header({Entry("w", "F32", "[2,3]", "[0,20]")}), 20,
            {"'w'", "span 20 bytes", "2x3 of F32", "24"});
  ExpectBad(Header({Entry("w", "F4", "[3]", "[0,2]")}), 2, {"'w'", "12 bits", "whole number"});
}

TEST_F(SafetensorsBad, OffsetsOutsideTheFileOrBackwards) {
  ExpectBad(Header({Entry("w", "U8", "[5]", "[0,5]")}), 4, {"'w'", "end at 5", "4 bytes"});
  ExpectBad(Header({Entry("w", "U8", "[1]", "[18446744073709551614,18446744073709551615]")}), 1,
            {"'w'", "18446744073709551615"});
  ExpectBad(Header({Entry("w", "U8", "[1]", "[2,1]")}), 4, {"'w'", "begin at 2", "end 1"});
}

TEST_F(SafetensorsBad, OverlapsHolesAndBytesOfNoTensor) {
  const std::string first = Entry("a", "U8", "[4]", "[0,4]");
  ExpectBad(Header({first, Entry("b", "U8", "[4]", "[3,7]")}), 7,
            {"'b'", "begins at 3", "inside", "4"});
  ExpectBad(Header({first, Entry("b", "U8", "[4]", "[0,4]")}), 4, {"'b'", "inside"});
  ExpectBad(Header({first, Entry("b", "U8", "[4]", "[5,9]")}), 9,
            {"'b'", "begins at 5", "hole", "4"});
  ExpectBad(Header({Entry("b", "U8", "[3]", "[1,4]")}), 4, {"'b'", "begins at 1", "hole"});
  ExpectBad(Header({first}), 6, {"end at 4", "6 bytes", "2 bytes belong to no tensor"});
  ExpectBad("{}", 1, {"1 bytes belong to no tensor"});
  // An empty tensor inside another one belongs to no place between tensors.
  ExpectBad(Header({first, Entry("b", "U8", "[0]", "[2,2]")}), 4, {"'b'", "begins at 2"});
}

TEST_F(SafetensorsBad, NamesAreEscapedInErrorTexts) {
  ExpectBad("{\"\\u001b[31m\\n\":1}", 0, {"'\\x1b[31m\\x0a' is 1"});
}

}  // namespace
}  // namespace espalier
