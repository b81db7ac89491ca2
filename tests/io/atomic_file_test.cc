#include "espalier/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "io/temporary_file.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr auto kNo = Overwrite::kNo;
constexpr auto kYes = Overwrite::kYes;

/// Each test runs with unnamed files (true) and with hidden temporary ones (false).
class AtomicFileTest : public FolderTest, public testing::WithParamInterface<bool> {
 protected:
  AtomicFileTest() { internal::AllowUnnamedFilesForTest(GetParam()); }
  ~AtomicFileTest() override { internal::AllowUnnamedFilesForTest(true); }
};
INSTANTIATE_TEST_SUITE_P(, AtomicFileTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Unnamed" : "Hidden"; });

using Set = std::set<std::string>;

mode_t ModeOf(const fs::path& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

TEST_P(AtomicFileTest, AppearsWholeOnCommit) {
  AtomicFile file(Path("out"), kNo);
  file.WriteAt(3, Bytes("def"));
  file.WriteAt(0, Bytes("abc"));
  EXPECT_FALSE(fs::exists(Path("out")));
  file.Commit();
  EXPECT_EQ(Read(Path("out")), "abcdef");
  EXPECT_EQ(Names(), Set{"out"});
  EXPECT_EQ(file.path(), Path("out"));
}

TEST_P(AtomicFileTest, LeavesNothingWithoutCommit) {
  {
    AtomicFile file(Path("out"), kNo, 1000);
    file.WriteAt(0, Bytes("abc"));
    EXPECT_EQ(Names().size(), GetParam() ? 0u : 1u);
  }
  EXPECT_EQ(Names(), Set{});
}

TEST_P(AtomicFileTest, LeavesTheOldFileWithoutCommit) {
  Write("out", "old");
  { AtomicFile(Path("out"), kYes).WriteAt(0, Bytes("new")); }
  EXPECT_EQ(Read(Path("out")), "old");
  EXPECT_EQ(Names(), Set{"out"});
}

TEST_P(AtomicFileTest, ReplacesTheOldFileAndKeepsOpenReadersOnIt) {
  const InputFile reader(Write("out", "old!"));
  WriteFileAtomically(Path("out"), kYes, Bytes("new"));
  EXPECT_EQ(Read(Path("out")), "new");
  EXPECT_EQ(Names(), Set{"out"});
  std::string seen(4, '?');
  reader.ReadAt(0, std::as_writable_bytes(std::span(seen)));
  EXPECT_EQ(seen, "old!");
}

TEST_P(AtomicFileTest, RefusesAnExistingFileAtOnce) {
  Write("out", "old");
  ExpectError(ErrorCode::kInvalidArgument, {"/out'", "exists", "--force"},
              [&] { AtomicFile file(Path("out"), kNo); });
  EXPECT_EQ(Read(Path("out")), "old");
}

TEST_P(AtomicFileTest, RefusesANameThatHasAppearedSince) {
  {
    AtomicFile file(Path("out"), kNo);
    file.WriteAt(0, Bytes("mine"));
    Write("out", "theirs");
    ExpectError(ErrorCode::kInvalidArgument, {"/out'", "exists"}, [&] { file.Commit(); });
  }
  EXPECT_EQ(Read(Path("out")), "theirs");
  EXPECT_EQ(Names(), Set{"out"});
}

TEST_P(AtomicFileTest, MakesMissingFoldersOnCommitOnly) {
  const fs::path path = Path("a") / "b" / "c" / "out";
  { AtomicFile file(path, kNo); }
  EXPECT_EQ(Names(), Set{});
  WriteFileAtomically(path, kNo, Bytes("abc"));
  EXPECT_EQ(Read(path), "abc");
  EXPECT_EQ(Names(), Set{"a"});
}

// While "new" is missing nobody can see that new/../taken exists.
TEST_P(AtomicFileTest, RemovesTheFoldersThatItMadeIfCommitFails) {
  Write("taken", "theirs");
  {
    AtomicFile file(Path("new") / ".." / "taken", kNo);
    ExpectError(ErrorCode::kInvalidArgument, {"taken'", "exists"}, [&] { file.Commit(); });
    EXPECT_FALSE(fs::exists(Path("new")));
  }
  EXPECT_EQ(Names(), Set{"taken"});
  EXPECT_EQ(Read(Path("taken")), "theirs");
}

TEST_P(AtomicFileTest, TakesItsModeFromTheUmask) {
  const mode_t before = umask(027);
  WriteFileAtomically(Path("out"), kNo, Bytes("abc"));
  umask(before);
  EXPECT_EQ(ModeOf(Path("out")), 0640u);
}

TEST_P(AtomicFileTest, TakesTheModeOfTheFileThatItReplaces) {
  Write("out", "old");
  ASSERT_EQ(chmod(Path("out").c_str(), 0604), 0);
  WriteFileAtomically(Path("out"), kYes, Bytes("new"));
  EXPECT_EQ(ModeOf(Path("out")), 0604u);
}

TEST_P(AtomicFileTest, WritesThroughALinkAndKeepsIt) {
  fs::create_directory(Path("d"));
  fs::create_symlink("d/target", Path("second"));
  fs::create_symlink("second", Path("first"));
  std::ofstream(Path("d/target")) << "old";
  ExpectError(ErrorCode::kInvalidArgument, {"first'", "exists"},
              [&] { AtomicFile file(Path("first"), kNo); });
  WriteFileAtomically(Path("first"), kYes, Bytes("new"));
  EXPECT_EQ(fs::read_symlink(Path("first")), "second");
  EXPECT_EQ(Read(Path("d/target")), "new");
  EXPECT_EQ(Names(), (Set{"d", "first", "second"}));
}

TEST_P(AtomicFileTest, WritesTheMissingTargetOfALink) {
  fs::create_symlink("target", Path("link"));
  ExpectError(ErrorCode::kInvalidArgument, {"link'", "exists"},
              [&] { AtomicFile file(Path("link"), kNo); });
  WriteFileAtomically(Path("link"), kYes, Bytes("new"));
  EXPECT_EQ(Read(Path("target")), "new");
}

TEST_P(AtomicFileTest, WritesRelativePathsInTheFolderWhereItWasMade) {
  const fs::path before = fs::current_path();
  fs::current_path(Path(""));
  AtomicFile file("out", kNo);
  fs::current_path(before);
  file.WriteAt(0, Bytes("abc"));
  file.Commit();
  EXPECT_EQ(Read(Path("out")), "abc");
}

TEST_P(AtomicFileTest, TakesANameOf255Bytes) {
  const std::string name(255, 'n');
  WriteFileAtomically(Path(name), kNo, Bytes("1"));
  WriteFileAtomically(Path(name), kYes, Bytes("2"));
  EXPECT_EQ(Read(Path(name)), "2");
  EXPECT_EQ(Names(), Set{name});
}

TEST_P(AtomicFileTest, ReservedSpaceThatIsNotUsedIsGivenBack) {
  AtomicFile file(Path("out"), kNo, 10'000'000);
  file.WriteAt(0, Bytes("abc"));
  file.Commit();
  struct stat info {};
  ASSERT_EQ(stat(Path("out").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 3);
  EXPECT_LT(info.st_blocks * 512, 100'000);
}

TEST_P(AtomicFileTest, MovesToAnotherObject) {
  AtomicFile first(Path("first"), kNo);
  first.WriteAt(0, Bytes("1"));
  AtomicFile second(Path("second"), kNo);
  second = std::move(first);
  AtomicFile third(std::move(second));
  third.Commit();
  EXPECT_EQ(Names(), Set{"first"});
  EXPECT_EQ(Read(Path("first")), "1");
}

TEST_P(AtomicFileTest, CannotBeUsedAfterCommit) {
  AtomicFile file(Path("out"), kNo);
  file.Commit();
  ExpectError(ErrorCode::kInternal, {"descriptor_ >= 0"}, [&] { file.WriteAt(0, Bytes("a")); });
  ExpectError(ErrorCode::kInternal, {"descriptor_ >= 0"}, [&] { file.Commit(); });
}

TEST_P(AtomicFileTest, WritesTheSameAtEachDistanceOfBufferAndOffset) {
  std::string text(100'000 + 4096, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  for (const std::size_t offset : {0, 5, 4095}) {
    for (const std::size_t shift : {0, 1, 16, 2048, 4065, 4080, 4095}) {
      const std::string_view part = std::string_view(text).substr(shift, 100'000);
      AtomicFile file(Path("out"), kYes);
      file.WriteAt(offset, Bytes(part));
      file.Commit();
      ASSERT_TRUE(Read(Path("out")) == std::string(offset, '\0').append(part))
          << offset << " " << shift;
    }
  }
}

TEST_P(AtomicFileTest, CopiesPartsOfAnotherFile) {
  std::string text(3'000'000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  const InputFile input(Write("in", text));
  AtomicFile file(Path("out"), kNo, 2'000'003);
  file.CopyFrom(input, 777, 3, 2'000'000);
  file.CopyFrom(input, 5, 0, 3);
  file.CopyFrom(input, text.size(), 100, 0);
  file.Commit();
  EXPECT_TRUE(Read(Path("out")) == text.substr(5, 3) + text.substr(777, 2'000'000));
}

TEST_P(AtomicFileTest, CopiesBetweenFileSystems) {
  const fs::path other = "/dev/shm";
  struct stat here {};
  struct stat there {};
  if (stat(Path("").c_str(), &here) != 0 || stat(other.c_str(), &there) != 0 ||
      here.st_dev == there.st_dev) {
    GTEST_SKIP() << "/dev/shm is no file system of its own here";
  }
  const std::string text(2'500'000, 'x');
  const InputFile input(Write("in", text));
  const fs::path path = other / ("espalier_copy_" + std::to_string(getpid()));
  AtomicFile file(path, kYes);
  file.CopyFrom(input, 0, 0, text.size());
  file.Commit();
  const bool same = Read(path) == text;
  fs::remove(path);
  EXPECT_TRUE(same);
}

TEST_P(AtomicFileTest, WritesFromSeveralThreads) {
  AtomicFile file(Path("out"), kNo, 1 << 20);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&file, t] {
        const std::string part(4096, static_cast<char>('a' + t));
        for (std::uint64_t i = static_cast<std::uint64_t>(t); i < 256; i += 4) {
          file.WriteAt(i * 4096, Bytes(part));
        }
      });
    }
  }
  file.Commit();
  const std::string text = Read(Path("out"));
  ASSERT_EQ(text.size(), 1u << 20);
  for (std::size_t i = 0; i < text.size(); ++i) ASSERT_EQ(text[i], "abcd"[i / 4096 % 4]) << i;
}

TEST_P(AtomicFileTest, WritesAnEmptyFile) {
  WriteFileAtomically(Path("out"), kNo, {});
  EXPECT_EQ(Names(), Set{"out"});
  EXPECT_EQ(fs::file_size(Path("out")), 0u);
}

}  // namespace
}  // namespace espalier
