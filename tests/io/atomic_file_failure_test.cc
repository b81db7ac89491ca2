#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "espalier/io/atomic_file.h"
#include "io/temporary_file.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr auto kNo = Overwrite::kNo;
constexpr auto kYes = Overwrite::kYes;

using AtomicFileFailure = FolderTest;
using Set = std::set<std::string>;

constexpr int kPassed = 0;
constexpr int kSkipped = 77;

// Runs `body` in a child, so that limits and mounts do not outlive it; returns its exit status.
template <typename Body>
int InChild(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    int status = 1;
    try {
      status = body();
    } catch (const std::exception& error) {
      fprintf(stderr, "in the child: %s\n", error.what());
    }
    _exit(testing::Test::HasFailure() ? 1 : status);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_F(AtomicFileFailure, AProcessKilledHalfWayLeavesNothing) {
  const std::string half(1 << 20, 'x');
  EXPECT_EQ(InChild([&]() -> int {
              AtomicFile file(Path("new") / "out", kNo, 2 << 20);
              file.WriteAt(0, Bytes(half));
              raise(SIGKILL);
              return kPassed;
            }),
            -SIGKILL);
  EXPECT_EQ(Names(), Set{});
}

TEST_F(AtomicFileFailure, AProcessKilledHalfWayLeavesTheOldFile) {
  Write("out", "old");
  EXPECT_EQ(InChild([&]() -> int {
              AtomicFile file(Path("out"), kYes);
              file.WriteAt(0, Bytes("new"));
              raise(SIGKILL);
              return kPassed;
            }),
            -SIGKILL);
  EXPECT_EQ(Read(Path("out")), "old");
  EXPECT_EQ(Names(), Set{"out"});
}

TEST_F(AtomicFileFailure, AFolderAsOutputIsRefused) {
  for (const Overwrite overwrite : {kNo, kYes}) {
    ExpectError(ErrorCode::kInvalidArgument, {"is a folder"},
                [&] { AtomicFile file(Path("").parent_path(), overwrite); });
    ExpectError(ErrorCode::kInvalidArgument, {"/new/'", "names a folder"},
                [&] { AtomicFile file(Path("new/"), overwrite); });
    ExpectError(ErrorCode::kInvalidArgument, {"names a folder"},
                [&] { AtomicFile file("", overwrite); });
    ExpectError(ErrorCode::kInvalidArgument, {"folder"}, [&] { AtomicFile file("..", overwrite); });
    ExpectError(ErrorCode::kInvalidArgument, {"folder"}, [&] { AtomicFile file("/", overwrite); });
  }
}

TEST_F(AtomicFileFailure, ADeviceIsNotReplaced) {
  ExpectError(ErrorCode::kInvalidArgument, {"'/dev/null'", "not a regular file"},
              [] { AtomicFile file("/dev/null", kYes); });
}

TEST_F(AtomicFileFailure, ANameThatNoFileCanHaveIsRefused) {
  ExpectError(ErrorCode::kInvalidArgument, {"a\\x00b", "NUL"},
              [&] { AtomicFile file(Path(std::string("a\0b", 3)), kNo); });
  ExpectError(ErrorCode::kInvalidArgument, {"256 bytes", "255"},
              [&] { AtomicFile file(Path("missing") / std::string(256, 'n'), kNo); });
}

TEST_F(AtomicFileFailure, APathThatIsTooLongIsRefusedAtOnce) {
  ExpectError(ErrorCode::kWriteFailed, {"File name too long"}, [&] {
    std::filesystem::path deep = Path("a");
    while (deep.native().size() < 4096) deep /= std::string(100, 'd');
    AtomicFile file(deep, kNo);
  });
}

TEST_F(AtomicFileFailure, AFileAsParentIsNamed) {
  Write("file", "x");
  for (const char* name : {"file/out", "file/a/b/out"}) {
    ExpectError(ErrorCode::kWriteFailed, {"/file' is not a folder", "/out'"},
                [&] { AtomicFile file(Path(name), kNo); });
  }
  EXPECT_EQ(Read(Path("file")), "x");
}

TEST_F(AtomicFileFailure, AFileInTheWayOfANewFolderIsNamed) {
  AtomicFile file(Path("folder/out"), kNo);
  Write("folder", "x");
  ExpectError(ErrorCode::kWriteFailed, {"/folder"}, [&] { file.Commit(); });
  EXPECT_EQ(Names(), Set{"folder"});
}

TEST_F(AtomicFileFailure, AFolderInTheWayOfTheNameIsAnError) {
  {
    AtomicFile file(Path("out"), kYes);
    fs::create_directory(Path("out"));
    ExpectError(ErrorCode::kWriteFailed, {"/out'", "directory"}, [&] { file.Commit(); });
  }
  EXPECT_EQ(Names(), Set{"out"});
}

TEST_F(AtomicFileFailure, ALoopOfLinksIsAnError) {
  fs::create_symlink("b", Path("a"));
  fs::create_symlink("a", Path("b"));
  ExpectError(ErrorCode::kWriteFailed, {"/a'", "symbolic links"},
              [&] { AtomicFile file(Path("a"), kYes); });
}

TEST_F(AtomicFileFailure, AReadOnlyFolderIsNamedAtOnce) {
  if (!fs::exists("/sys/kernel")) GTEST_SKIP() << "no /sys here";
  ExpectError(ErrorCode::kWriteFailed, {"'/sys/kernel'", "cannot create a file"},
              [] { AtomicFile file("/sys/kernel/espalier_out", kNo); });
  ExpectError(ErrorCode::kWriteFailed, {"'/sys/kernel'"},
              [] { AtomicFile file("/sys/kernel/new/folder/out", kNo); });
}

TEST_F(AtomicFileFailure, TheFileSizeLimitIsReportedAndNothingIsLeft) {
  const std::string text(1 << 20, 'x');
  EXPECT_EQ(InChild([&]() -> int {
              signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{1 << 19, 1 << 19};
              if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return kSkipped;
              const auto write = [&] { WriteFileAtomically(Path("out"), kNo, Bytes(text)); };
              ExpectError(ErrorCode::kWriteFailed, {"/out'", "File too large"}, write);
              return kPassed;
            }),
            kPassed);
  EXPECT_EQ(Names(), Set{});
}

TEST_F(AtomicFileFailure, AnOffsetThatNoFileCanHaveIsReported) {
  AtomicFile file(Path("out"), kNo);
  ExpectError(ErrorCode::kWriteFailed, {"File too large"},
              [&] { file.WriteAt(~std::uint64_t{0}, Bytes("abc")); });
  ExpectError(ErrorCode::kWriteFailed, {"File too large"},
              [&] { file.WriteAt((std::uint64_t{1} << 63) - 2, Bytes("abc")); });
  ExpectError(ErrorCode::kWriteFailed, {"/big'", "File too large"},
              [&] { AtomicFile(Path("big"), kNo, ~std::uint64_t{0}); });
}

TEST_F(AtomicFileFailure, AnInputThatEndsEarlyIsReported) {
  const InputFile input(Write("in", "0123456789"));
  AtomicFile file(Path("out"), kNo);
  ExpectError(ErrorCode::kBadFile, {"/in'", "ends at byte 10"},
              [&] { file.CopyFrom(input, 5, 0, 6); });
  ExpectError(ErrorCode::kBadFile, {"/in'"},
              [&] { file.CopyFrom(input, ~std::uint64_t{0}, 0, 1); });
  ASSERT_EQ(truncate(Path("in").c_str(), 3), 0);
  ExpectError(ErrorCode::kBadFile, {"became shorter"}, [&] { file.CopyFrom(input, 0, 0, 10); });
}

// Mounts a disk of 1 MiB on `folder`, seen by this process only.
bool MountTinyDisk(const fs::path& folder) {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tiny", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
}

TEST_F(AtomicFileFailure, AFullDiskIsReportedBeforeAndDuringTheWork) {
  const fs::path disk = Path("disk");
  fs::create_directory(disk);
  const std::string text(2 << 20, 'x');
  const InputFile input(Write("in", text));
  const int status = InChild([&]() -> int {
    if (!MountTinyDisk(disk)) return kSkipped;
    for (const bool unnamed : {true, false}) {
      internal::AllowUnnamedFilesForTest(unnamed);
      ExpectError(ErrorCode::kWriteFailed, {"disk is full: needs 2097152 bytes, 1048576 free"},
                  [&] { AtomicFile file(disk / "out", kNo, text.size()); });
      ExpectError(ErrorCode::kWriteFailed, {"/out'", "No space left"}, [&] {
        AtomicFile file(disk / "out", kNo);
        file.WriteAt(0, Bytes(text));
      });
      ExpectError(ErrorCode::kWriteFailed, {"/out'", "No space left"}, [&] {
        AtomicFile file(disk / "out", kNo);
        file.CopyFrom(input, 0, 0, text.size());
      });
      EXPECT_TRUE(fs::is_empty(disk));
    }
    return kPassed;
  });
  if (status == kSkipped) GTEST_SKIP() << "this process may not mount a tmpfs";
  EXPECT_EQ(status, kPassed);
}

TEST_F(AtomicFileFailure, AReadOnlyDiskIsReported) {
  const fs::path disk = Path("disk");
  fs::create_directory(disk);
  const int status = InChild([&]() -> int {
    if (!MountTinyDisk(disk)) return kSkipped;
    if (mount(nullptr, disk.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      return kSkipped;
    }
    ExpectError(ErrorCode::kWriteFailed, {"/disk'", "Read-only file system"},
                [&] { AtomicFile file(disk / "out", kNo); });
    return kPassed;
  });
  if (status == kSkipped) GTEST_SKIP() << "this process may not mount a tmpfs";
  EXPECT_EQ(status, kPassed);
}

}  // namespace
}  // namespace espalier
