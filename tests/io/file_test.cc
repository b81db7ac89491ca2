#include "espalier/io/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/io/io_testing.h"

namespace espalier {
namespace {

using InputFileTest = FolderTest;
using ReadFileTest = FolderTest;

std::string ReadPart(const InputFile& file, std::uint64_t offset, std::size_t size) {
  std::string text(size, '?');
  file.ReadAt(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

TEST_F(InputFileTest, ReadsAtAnyOffset) {
  const InputFile file(Write("a", "0123456789"));
  EXPECT_EQ(file.size(), 10u);
  EXPECT_EQ(file.path(), Path("a"));
  EXPECT_EQ(ReadPart(file, 0, 10), "0123456789");
  EXPECT_EQ(ReadPart(file, 7, 3), "789");
  EXPECT_EQ(ReadPart(file, 10, 0), "");
}

// All buffer positions that change how a read is done: see io/copy_distance.h.
TEST_F(InputFileTest, ReadsTheSameAtEachDistanceOfBufferAndOffset) {
  std::string text(200'000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  const InputFile file(Write("a", text));
  std::vector<char> memory(text.size() + 4096);
  for (const std::size_t offset : {0, 1, 4095, 50'000}) {
    for (const std::size_t shift : {0, 1, 8, 16, 31, 32, 33, 64, 2048, 4095}) {
      const std::size_t size = text.size() - offset;
      const std::span out(memory.data() + shift, size);
      file.ReadAt(offset, std::as_writable_bytes(out));
      ASSERT_TRUE(std::string_view(out.data(), size) == std::string_view(text).substr(offset))
          << offset << " " << shift;
    }
  }
}

TEST_F(InputFileTest, RefusesToReadBeyondTheEnd) {
  const InputFile file(Write("a", "0123456789"));
  ExpectError(ErrorCode::kBadFile, {"/a'", "ends at byte 10", "4 bytes from byte 7"},
              [&] { ReadPart(file, 7, 4); });
  ExpectError(ErrorCode::kBadFile, {"0 bytes from byte 11"}, [&] { ReadPart(file, 11, 0); });
  ExpectError(ErrorCode::kBadFile, {"18446744073709551615"}, [&] { ReadPart(file, ~0ull, 2); });
}

TEST_F(InputFileTest, ReportsAFileThatShrinksWhileItIsRead) {
  const InputFile file(Write("a", std::string(100'000, 'x')));
  ASSERT_EQ(truncate(Path("a").c_str(), 60'000), 0);
  EXPECT_EQ(ReadPart(file, 59'999, 1), "x");
  ExpectError(ErrorCode::kBadFile, {"became shorter", "100000", "60000"},
              [&] { ReadPart(file, 50'000, 50'000); });
}

TEST_F(InputFileTest, SaysWhyAFileCannotBeOpened) {
  ExpectError(ErrorCode::kBadFile, {"none'", "No such file"},
              [&] { InputFile file(Path("none")); });
  ExpectError(ErrorCode::kBadFile, {"is a folder"}, [&] { InputFile file(Path("")); });
  ExpectError(ErrorCode::kBadFile, {"not a regular file"}, [&] { InputFile file("/dev/null"); });
  ExpectError(ErrorCode::kBadFile, {"NUL"}, [&] { InputFile file(std::string("a\0b", 3)); });
  ExpectError(ErrorCode::kBadFile, {"No such file"}, [&] { InputFile file(""); });
}

TEST_F(InputFileTest, DoesNotWaitForTheWriterOfAPipe) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  ExpectError(ErrorCode::kBadFile, {"pipe'", "not a regular file"},
              [&] { InputFile file(Path("pipe")); });
}

TEST_F(InputFileTest, MovesItsDescriptor) {
  InputFile first(Write("a", "first"));
  InputFile second(Write("b", "second"));
  const int descriptor = first.descriptor();
  second = std::move(first);
  EXPECT_EQ(second.descriptor(), descriptor);
  EXPECT_EQ(second.size(), 5u);
  const InputFile third(std::move(second));
  EXPECT_EQ(ReadPart(third, 0, 5), "first");
}

TEST_F(InputFileTest, ReadsFromSeveralThreads) {
  std::string text(1 << 20, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i >> 12);
  const InputFile file(Write("a", text));
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t at = t << 12; at < text.size(); at += 4 << 12) {
        EXPECT_EQ(ReadPart(file, at, 4096), text.substr(at, 4096));
      }
    });
  }
}

TEST_F(ReadFileTest, GivesTheWholeFileUpToTheLimit) {
  EXPECT_EQ(ReadFile(Write("a", "0123456789"), 10), "0123456789");
  EXPECT_EQ(ReadFile(Write("empty", ""), 0), "");
  ExpectError(ErrorCode::kBadFile, {"/a'", "10 bytes", "limit of 9"},
              [&] { ReadFile(Path("a"), 9); });
}

}  // namespace
}  // namespace espalier
