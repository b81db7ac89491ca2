#include "data/tar.h"

#include <string>
#include <vector>

#include "tests/data/make_files.h"
#include "tests/io/io_testing.h"

namespace espalier::internal {
namespace {

std::string Of(const TarSpec& spec, std::string_view data = "") { return TarEntryText(spec, data); }

TarSpec Typed(char type, const std::string& name, const std::string& link = "") {
  TarSpec spec;
  spec.name = name;
  spec.type = type;
  spec.link = link;
  return spec;
}

// Paths and contents, "path=content".
std::vector<std::string> Contents(const std::string& archive) {
  const SharedBytes source = Source(archive);
  std::vector<std::string> found;
  for (const TarEntry& entry : ReadTarIndex(*source)) {
    found.push_back(entry.path + "=" + TextOf(*SliceOf(source, entry.offset, entry.size)));
  }
  return found;
}

using Strings = std::vector<std::string>;

TEST(Tar, FindsFilesOfAllSizes) {
  const std::string big(1025, 'q');
  EXPECT_EQ(Contents(TarFile("a", "") + TarFile("d/b", "x") + TarFile("c", std::string(512, 'z')) +
                     TarFile("e", big) + TarEnd()),
            (Strings{"a=", "d/b=x", "c=" + std::string(512, 'z'), "e=" + big}));
  EXPECT_TRUE(IsTar(*Source(TarFile("a", ""))));
  EXPECT_EQ(Contents(TarEnd()), Strings{});
}

TEST(Tar, PassesFoldersLinksAndDevices) {
  EXPECT_EQ(
      Contents(Of(Typed('5', "d/")) + Of(Typed('2', "s", "a")) + Of(Typed('6', "fifo")) +
               Of(Typed('\0', "old/")) + Of(Typed('\0', "v7"), "7") +
               Of(Typed('7', "./contiguous"), "c") + Of(Typed('V', "label"), "xx") + TarEnd()),
      (Strings{"v7=7", "contiguous=c"}));
}

// Some programs write a size for folders and links, but never data.
TEST(Tar, TakesNoDataOfFoldersAndLinks) {
  for (const char type : {'1', '2', '3', '4', '5', '6'}) {
    TarSpec spec = Typed(type, "d", "a");
    spec.size = "00000001000";
    EXPECT_EQ(Contents(TarFile("a", "") + Of(spec) + TarFile("z", "1") + TarEnd()).back(), "z=1");
  }
}

TEST(Tar, FollowsHardLinks) {
  EXPECT_EQ(Contents(TarFile("./a", "data") + Of(Typed('1', "b", "./a")) + TarEnd()),
            (Strings{"a=data", "b=data"}));
  ExpectError(ErrorCode::kBadFile, {"hard link 'b' to 'c'", "byte 0"},
              [] { Contents(Of(Typed('1', "b", "c")) + TarEnd()); });
}

TEST(Tar, JoinsPrefixes) {
  TarSpec spec = Typed('0', "name");
  spec.prefix = "long/prefix";
  EXPECT_EQ(Contents(Of(spec, "1") + TarEnd()), Strings{"long/prefix/name=1"});
  spec.magic = "ustar  ";  // GNU's has times there
  EXPECT_EQ(Contents(Of(spec, "1") + TarEnd()), Strings{"name=1"});
}

TEST(Tar, ReadsLongNames) {
  const std::string path = std::string(150, 'p') + "/" + std::string(150, 'n');
  EXPECT_EQ(Contents(Of(Typed('L', "././@LongLink"), path + '\0') + TarFile("cut", "1") +
                     TarFile("next", "2") + TarEnd()),
            (Strings{path + "=1", "next=2"}));
  EXPECT_EQ(Contents(Of(Typed('x', "pax"), PaxRecord("mtime", "1") + PaxRecord("path", path)) +
                     TarFile("cut", "1") + TarFile("next", "2") + TarEnd()),
            (Strings{path + "=1", "next=2"}));
  EXPECT_EQ(Contents(TarFile("a", "1") + Of(Typed('K', "././@LongLink"), "a") +
                     Of(Typed('1', "b", "cut")) + TarEnd()),
            (Strings{"a=1", "b=1"}));
  EXPECT_EQ(
      Contents(Of(Typed('g', "global"), PaxRecord("path", "all")) + TarFile("a", "1") + TarEnd()),
      Strings{"a=1"});
}

TEST(Tar, ReadsLargeSizes) {
  TarSpec spec = Typed('0', "a");
  spec.size = "\x80" + std::string(10, '\0') + "\x03";  // GNU's binary number
  EXPECT_EQ(Contents(Of(spec, "abc") + TarEnd()), Strings{"a=abc"});
  spec.size = "00000000000";
  EXPECT_EQ(Contents(Of(Typed('x', "pax"), PaxRecord("size", "3")) + Of(spec, "abc") + TarEnd()),
            Strings{"a=abc"});
}

TEST(Tar, RefusesNumbersThatLie) {
  TarSpec spec = Typed('0', "a");
  for (const std::string& size :
       {std::string("77777777777"), "\x80" + std::string(3, '\0') + std::string(8, '\x7F'),
        std::string("00000003001")}) {
    spec.size = size;
    ExpectError(ErrorCode::kBadFile, {"byte 512", "archive is truncated"},
                [&] { Contents(TarFile("x", "") + Of(spec, "abc") + TarEnd()); });
  }
  for (const std::string& size : {std::string("9"), std::string("-1"), std::string(12, '\xFF')}) {
    spec.size = size;
    ExpectError(ErrorCode::kBadFile, {"byte 0", "no number"},
                [&] { Contents(Of(spec, "abc") + TarEnd()); });
  }
}

TEST(Tar, RefusesMalformedPax) {
  for (const std::string& record :
       {std::string("x"), std::string("5 a=b"), std::string("99 a=b\n"), std::string("3 \n"),
        std::string("6 abc\n"), PaxRecord("size", "x"), PaxRecord("size", "-1"),
        PaxRecord("path", std::string("a\0b", 3))}) {
    SCOPED_TRACE(record);
    ExpectError(ErrorCode::kBadFile, {"byte 0", "pax"},
                [&] { Contents(Of(Typed('x', "pax"), record) + TarFile("a", "") + TarEnd()); });
  }
  ExpectError(ErrorCode::kBadFile, {"limit"},
              [&] { Contents(Of(Typed('L', "l"), std::string((1 << 20) + 1, 'a')) + TarEnd()); });
}

TEST(Tar, RefusesSparseFiles) {
  ExpectError(ErrorCode::kUnsupported, {"sparse"},
              [] { Contents(Of(Typed('S', "a"), "1") + TarEnd()); });
  ExpectError(ErrorCode::kUnsupported, {"sparse"}, [] {
    Contents(Of(Typed('x', "pax"), PaxRecord("GNU.sparse.major", "1")) + TarFile("a", "") +
             TarEnd());
  });
}

TEST(Tar, RefusesAWrongChecksum) {
  std::string archive = TarFile("a", "1") + TarFile("b", "2") + TarEnd();
  archive[1024] = 'c';
  ExpectError(ErrorCode::kBadFile, {"byte 1024", "checksum"}, [&] { Contents(archive); });
  EXPECT_FALSE(IsTar(*Source(archive.substr(1024))));
}

// Each prefix but those that have the whole first block of zeros.
TEST(Tar, RefusesEachTruncation) {
  const std::string archive = TarFile("a", "1") + TarFile("b", std::string(600, '2')) + TarEnd();
  for (std::size_t size = 0; size < archive.size() - 512; size += 64) {
    SCOPED_TRACE(size);
    ExpectError(ErrorCode::kBadFile, {"truncated"}, [&] { Contents(archive.substr(0, size)); });
  }
}

}  // namespace
}  // namespace espalier::internal
