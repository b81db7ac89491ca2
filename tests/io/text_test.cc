#include "io/text.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <string_view>

namespace espalier::internal {
namespace {

using namespace std::string_view_literals;

TEST(Quote, KeepsPrintableTextAndUtf8) {
  EXPECT_EQ(Quote("fc1.weight"), "'fc1.weight'");
  EXPECT_EQ(Quote(""), "''");
  EXPECT_EQ(Quote("größe 层 🌳"), "'größe 层 🌳'");
}

TEST(Quote, EscapesControlCharactersOfAllKinds) {
  EXPECT_EQ(Quote("a\nb\x1b[31m\x7f"), "'a\\x0ab\\x1b[31m\\x7f'");
  EXPECT_EQ(Quote("a\0b"sv), "'a\\x00b'");
  EXPECT_EQ(Quote("\xC2\x9B"), "'\\xc2\\x9b'");  // U+009B starts a command on some terminals
}

TEST(Quote, EscapesBytesThatAreNotUtf8) {
  EXPECT_EQ(Quote("\xFF"), "'\\xff'");
  EXPECT_EQ(Quote("\xC3"), "'\\xc3'");
  EXPECT_EQ(Quote("\xE5\xB1z"), "'\\xe5\\xb1z'");
  EXPECT_EQ(Quote("\xC0\x80"), "'\\xc0\\x80'");
  EXPECT_EQ(Quote("\xF0\x9F\x8C"), "'\\xf0\\x9f\\x8c'");
}

TEST(Quote, CutsLongTexts) {
  EXPECT_EQ(Quote(std::string(200, 'x')), "'" + std::string(200, 'x') + "'");
  EXPECT_EQ(Quote(std::string(201, 'x')), "'" + std::string(200, 'x') + "...'");
}

TEST(SystemReason, IsTheSystemsSentence) {
  EXPECT_EQ(SystemReason(ENOSPC), "No space left on device");
}

}  // namespace
}  // namespace espalier::internal
