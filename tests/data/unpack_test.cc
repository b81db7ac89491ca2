#include "data/unpack.h"

#include <string>

#include "espalier/base/random.h"
#include "tests/data/make_files.h"
#include "tests/io/io_testing.h"

namespace espalier::internal {
namespace {

constexpr std::uint64_t kMost = std::uint64_t{1} << 32;

std::string NoiseText(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(RandomAt(3, i) >> 40);
  return text;
}

// Sizes around the chunks of 256 KiB that are unpacked at once, of noise and of zeros.
TEST(Unpack, GivesBackWhatWasPacked) {
  for (const std::size_t size : {0u, 1u, 262143u, 262144u, 262145u, 1000000u}) {
    for (const std::string& text : {NoiseText(size), std::string(size, '\0')}) {
      SCOPED_TRACE(size);
      EXPECT_EQ(TextOf(*Unpacked(Source(Gzip(text)), kMost)), text);
      EXPECT_EQ(TextOf(*Unpacked(Source(Xz(text)), kMost)), text);
      EXPECT_EQ(TextOf(*Inflate(*Source(RawDeflate(text)), Wrapping::kRaw, kMost)), text);
    }
  }
}

TEST(Unpack, LeavesOtherBytesAlone) {
  for (const std::string& text : {std::string(), std::string("\x1f"), std::string("abc")}) {
    EXPECT_EQ(TextOf(*Unpacked(Source(text), kMost)), text);
  }
}

TEST(Unpack, ReadsSeveralMembers) {
  EXPECT_EQ(TextOf(*Unpacked(Source(Gzip("ab") + Gzip("") + Gzip("cd")), kMost)), "abcd");
  EXPECT_EQ(TextOf(*Unpacked(Source(Xz("ab") + Xz("cd")), kMost)), "abcd");
}

// Over 64 MiB the bytes go to a file.
TEST(Unpack, KeepsManyBytesInAFile) {
  std::string text(std::size_t{65} << 20, 'x');
  text[std::size_t{64} << 20] = 'y';
  text.back() = 'z';
  const SharedBytes bytes = Unpacked(Source(Gzip(text)), kMost);
  ASSERT_EQ(bytes->size(), text.size());
  std::byte found[2];
  bytes->ReadAt((std::size_t{64} << 20) - 1, found);
  EXPECT_EQ(found[0], std::byte{'x'});
  EXPECT_EQ(found[1], std::byte{'y'});
  bytes->ReadAt(text.size() - 2, found);
  EXPECT_EQ(found[1], std::byte{'z'});
  ExpectError(ErrorCode::kBadFile, {"68157440", "2 bytes from byte 68157439"},
              [&] { bytes->ReadAt(text.size() - 1, found); });
}

TEST(Unpack, RefusesMoreThanTheLimit) {
  const std::string text(1000000, '\0');
  EXPECT_EQ(Unpacked(Source(Gzip(text)), 1000000)->size(), 1000000u);
  for (const std::string& packed : {Gzip(text), Xz(text)}) {
    ExpectError(ErrorCode::kBadFile, {"more than 999999 bytes"},
                [&] { Unpacked(Source(packed), 999999); });
  }
}

TEST(Unpack, RefusesEachTruncation) {
  for (const std::string& packed : {Gzip(NoiseText(100)), Xz(NoiseText(100))}) {
    for (std::size_t size = 6; size < packed.size(); ++size) {
      SCOPED_TRACE(size);
      ExpectError(ErrorCode::kBadFile, {"truncated"},
                  [&] { Unpacked(Source(packed.substr(0, size)), kMost); });
    }
  }
}

TEST(Unpack, RefusesAWrongByte) {
  for (std::string packed : {Gzip(NoiseText(100)), Xz(NoiseText(100))}) {
    packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 1);
    ExpectError(ErrorCode::kBadFile, {"corrupt"}, [&] { Unpacked(Source(packed), kMost); });
  }
  ExpectError(ErrorCode::kBadFile, {"corrupt", "byte"},
              [&] { Unpacked(Source(Gzip("ab") + "junk"), kMost); });
  ExpectError(ErrorCode::kBadFile, {"bytes follow"},
              [&] { Inflate(*Source(RawDeflate("ab") + "junk"), Wrapping::kRaw, kMost); });
}

}  // namespace
}  // namespace espalier::internal
