#include "io/npy_header.h"

#include <fmt/format.h>

#include <string>

#include "tests/io/io_testing.h"

namespace espalier::internal {
namespace {

std::string Header(const std::string& descr, const std::string& order, const std::string& shape) {
  return fmt::format("{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}", descr, order, shape);
}

void ExpectBad(const std::string& text, std::string_view part) {
  SCOPED_TRACE(text);
  ExpectError(ErrorCode::kBadFile, {part}, [&] { ParseNpyHeader(text); });
}

TEST(NpyHeader, TakesKeysInAnyOrderWithAnySpaceAndQuotes) {
  for (const char* text : {"{'descr': '<f4', 'fortran_order': True, 'shape': (3, 4), }   \n",
                           "{'shape': (3, 4), 'fortran_order': True, 'descr': '<f4'}",
                           "{\"descr\":\"<f4\",\"shape\":(3,4,),\"fortran_order\":True}",
                           " {\t'shape' :( 3 ,4 ) ,'descr': '<f4','fortran_order': True}",
                           "{'descr': '<f4', 'fortran_order': True, 'shape': (3L, 4L), }\n"}) {
    SCOPED_TRACE(text);
    const NpyLayout layout = ParseNpyHeader(text);
    EXPECT_EQ(layout.dtype, DType::kFloat32);
    EXPECT_TRUE(layout.fortran_order);
    EXPECT_EQ(layout.shape, (Dims{3, 4}));
  }
}

TEST(NpyHeader, TakesScalarsVectorsAndEmptyArrays) {
  EXPECT_EQ(ParseNpyHeader(Header("'<f4'", "False", "()")).shape, Dims{});
  EXPECT_EQ(ParseNpyHeader(Header("'<f4'", "False", "(7,)")).shape, Dims{7});
  EXPECT_EQ(ParseNpyHeader(Header("'<f4'", "False", "(0, 9223372036854775807)")).shape,
            (Dims{0, 9223372036854775807}));
}

TEST(NpyHeader, KnowsTheLittleEndianAndByteTypes) {
  const std::pair<const char*, DType> cases[] = {
      {"<f4", DType::kFloat32},   {"<f2", DType::kFloat16},    {"<f8", DType::kFloat64},
      {"|i1", DType::kInt8},      {"|u1", DType::kUint8},      {"|b1", DType::kBool},
      {"<i2", DType::kInt16},     {"<u2", DType::kUint16},     {"<i4", DType::kInt32},
      {"<u4", DType::kUint32},    {"<i8", DType::kInt64},      {"<u8", DType::kUint64},
      {"<c8", DType::kComplex64}, {"<c16", DType::kComplex128}};
  for (const auto& [name, dtype] : cases) {
    const std::string descr = fmt::format("'{}'", name);
    EXPECT_EQ(ParseNpyHeader(Header(descr, "False", "(1,)")).dtype, dtype) << name;
    EXPECT_NE(NpyHeaderText({dtype, false, {1}}).find(descr), std::string::npos) << name;
  }
  EXPECT_EQ(ParseNpyHeader(Header("'>u1'", "False", "(1,)")).dtype, DType::kUint8);
}

TEST(NpyHeader, RefusesOtherTypesByNameWithAdvice) {
  const auto expect = [](const std::string& descr, std::initializer_list<std::string_view> parts) {
    SCOPED_TRACE(descr);
    ExpectError(ErrorCode::kUnsupported, parts,
                [&] { ParseNpyHeader(Header(descr, "False", "(1,)")); });
  };
  expect("'>f4'", {"'>f4'", "big-endian", "a.astype('<f4')"});
  expect("'>i8'", {"'>i8'", "a.astype('<i8')"});
  expect("'|O'", {"'|O'", "Python objects", "astype"});
  expect("'|S5'", {"'|S5'"});
  expect("'<U5'", {"'<U5'"});
  expect("'<f16'", {"'<f16'"});
  expect("'|V2'", {"'|V2'"});
  expect("'|f4'", {"'|f4'"});
  expect("'f4'", {"'f4'"});
  expect("''", {"''"});
  expect("[('a', '<f4'), ('b', '<i4')]", {"structured", "('a'"});
  expect("('<f4', (2,))", {"structured"});
}

TEST(NpyHeader, RefusesMissingDoubleAndUnknownKeys) {
  ExpectBad("{'descr': '<f4', 'shape': (1,)}", "no 'fortran_order'");
  ExpectBad("{'descr': '<f4', 'fortran_order': False}", "no 'shape'");
  ExpectBad("{}", "no 'descr'");
  ExpectBad("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
            "'descr' twice");
  ExpectBad("{'shape': (), 'shape': ()}", "'shape' twice");
  ExpectBad("{'fortran_order': True, 'fortran_order': True}", "'fortran_order' twice");
  ExpectBad("{'extra\x1b': 1}", "'extra\\x1b'");
}

TEST(NpyHeader, RefusesTextThatIsNoSuchDict) {
  ExpectBad("", "byte 0");
  ExpectBad("[]", "'{' is needed");
  ExpectBad("{'descr'", "':' is needed");
  ExpectBad("{'descr': '<f4", "closing quote");
  ExpectBad("{'de\\x73cr': '<f4'}", "closing quote");
  ExpectBad("{'descr': 4}", "text in quotes");
  ExpectBad("{descr: '<f4'}", "text in quotes");
  ExpectBad("{'descr': '<f4' 'shape': ()}", "'}' is needed");
  ExpectBad(Header("'<f4'", "false", "()"), "True or False");
  ExpectBad(Header("'<f4'", "0", "()"), "True or False");
  ExpectBad(Header("'<f4'", "False", "()") + "x", "end of the header");
  ExpectBad(Header("'<f4'", "False", "()") + std::string("\0", 1), "end of the header");
}

TEST(NpyHeader, RefusesShapesThatAreNoTuplesOfCounts) {
  ExpectBad(Header("'<f4'", "False", "(3)"), "tuple");
  ExpectBad(Header("'<f4'", "False", "3"), "'(' is needed");
  ExpectBad(Header("'<f4'", "False", "[3]"), "'(' is needed");
  ExpectBad(Header("'<f4'", "False", "(-1,)"), "whole number");
  ExpectBad(Header("'<f4'", "False", "(1.5,)"), "',' or ')'");
  ExpectBad(Header("'<f4'", "False", "(2 3)"), "',' or ')'");
  ExpectBad(Header("'<f4'", "False", "(,)"), "whole number");
  ExpectBad(Header("'<f4'", "False", "(3,,4)"), "whole number");
  ExpectBad(Header("'<f4'", "False", "(9223372036854775808,)"), "922337203685477580");
  std::string many;
  for (int i = 0; i < 65; ++i) many += "1,";
  ExpectBad(Header("'<f4'", "False", "(" + many + ")"), "64 dimensions");
}

TEST(NpyHeaderText, RefusesTypesWithoutANameAndTooManyDimensions) {
  ExpectError(ErrorCode::kUnsupported, {"bfloat16"}, [] {
    NpyHeaderText({DType::kBFloat16, false, {1}});
  });
  ExpectError(ErrorCode::kUnsupported, {"float8_e5m2"}, [] {
    NpyHeaderText({DType::kFloat8E5M2, false, {1}});
  });
  ExpectError(ErrorCode::kUnsupported, {"64 dimensions", "65"}, [] {
    NpyHeaderText({DType::kFloat32, false, Dims(65, 1)});
  });
}

}  // namespace
}  // namespace espalier::internal
