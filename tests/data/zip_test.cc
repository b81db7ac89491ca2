#include "data/zip.h"

#include <string>
#include <vector>

#include "tests/data/make_files.h"
#include "tests/io/io_testing.h"

namespace espalier::internal {
namespace {

constexpr std::uint64_t kMost = 1 << 20;

std::vector<ZipSpec> TwoFiles(bool zip64) {
  return {{"a.npy", "stored data", false, zip64}, {"b.npy", std::string(5000, 'x'), true, zip64}};
}

std::vector<std::string> Contents(const std::string& archive) {
  const SharedBytes source = Source(archive);
  std::vector<std::string> found;
  for (const ZipEntry& entry : ReadZipIndex(*source)) {
    found.push_back(entry.name + "=" + TextOf(*OpenZipEntry(source, entry, kMost)));
  }
  return found;
}

TEST(Zip, ReadsStoredAndDeflatedFiles) {
  for (const bool zip64 : {false, true}) {
    for (const bool zip64_end : {false, true}) {
      EXPECT_EQ(Contents(MakeZip(TwoFiles(zip64), zip64_end)),
                (std::vector<std::string>{"a.npy=stored data", "b.npy=" + std::string(5000, 'x')}));
    }
  }
  EXPECT_TRUE(Contents(MakeZip({})).empty());
}

TEST(Zip, RefusesEachTruncation) {
  for (const bool zip64_end : {false, true}) {
    const std::string whole = MakeZip(TwoFiles(false), zip64_end);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      SCOPED_TRACE(size);
      ExpectError(ErrorCode::kBadFile, {"zip"}, [&] { Contents(whole.substr(0, size)); });
    }
  }
}

TEST(Zip, RefusesAWrongByteInEachFile) {
  for (const bool deflated : {false, true}) {
    std::string whole = MakeZip({{"a.npy", "some stored data", deflated, false}});
    whole[30 + 5 + 6] = static_cast<char>(whole[30 + 5 + 6] ^ 4);
    ExpectError(ErrorCode::kBadFile, {"a.npy"}, [&] { Contents(whole); });
  }
}

// Offsets in the directory's record, from its magic.
constexpr std::size_t kFlags = 8, kMethod = 10, kSize = 24, kHeaderAt = 42;

std::string Patched(std::size_t at, const std::string& bytes, bool deflated = false) {
  std::string whole = MakeZip({{"a.npy", "0123456789", deflated, false}});
  return whole.replace(whole.find("PK\1\2") + at, bytes.size(), bytes);
}

TEST(Zip, RefusesRecordsThatLie) {
  ExpectError(ErrorCode::kBadFile, {"stored", "10", "11"},
              [] { Contents(Patched(kSize, Little(11, 4))); });
  ExpectError(ErrorCode::kBadFile, {"unpacks to"},
              [] { Contents(Patched(kSize, Little(11, 4), true)); });
  ExpectError(ErrorCode::kBadFile, {"more than 9 bytes"},
              [] { Contents(Patched(kSize, Little(9, 4), true)); });
  ExpectError(ErrorCode::kBadFile, {"limit of 1048576"},
              [] { Contents(Patched(kSize, Little(0xFFFFFFFE, 4), true)); });
  ExpectError(ErrorCode::kBadFile, {"local header at byte 3"},
              [] { Contents(Patched(kHeaderAt, Little(3, 4))); });
  ExpectError(ErrorCode::kBadFile, {"truncated"},
              [] { Contents(Patched(kHeaderAt, Little(0xFFFFFF00, 4))); });
  ExpectError(ErrorCode::kBadFile, {"within the record"},
              [] { Contents(Patched(28, Little(0xFFFF, 2))); });
}

TEST(Zip, NamesWhatItCannotRead) {
  ExpectError(ErrorCode::kUnsupported, {"encrypted", "a.npy"},
              [] { Contents(Patched(kFlags, Little(1, 2))); });
  ExpectError(ErrorCode::kUnsupported, {"method 12", "a.npy"},
              [] { Contents(Patched(kMethod, Little(12, 2))); });
  std::string whole = MakeZip(TwoFiles(false));
  whole[whole.find("PK\5\6") + 4] = 1;
  ExpectError(ErrorCode::kUnsupported, {"volumes"}, [&] { Contents(whole); });
}

TEST(Zip, RefusesADirectoryBeyondTheFile) {
  std::string whole = MakeZip(TwoFiles(false));
  const std::size_t end = whole.find("PK\5\6");
  ExpectError(ErrorCode::kBadFile, {"directory", "16777215"}, [&] {
    std::string bad = whole;
    Contents(bad.replace(end + 16, 4, Little(0xFFFFFF, 4)));
  });
  ExpectError(ErrorCode::kBadFile, {"directory", "limit"}, [&] {
    std::string bad = whole;
    Contents(bad.replace(end + 12, 4, Little(0xFFFFFFF0, 4)));
  });
  ExpectError(ErrorCode::kBadFile, {"zip64 locator"}, [&] {
    std::string bad = whole;
    Contents(bad.replace(end + 16, 4, Little(0xFFFFFFFF, 4)));
  });
}

}  // namespace
}  // namespace espalier::internal
