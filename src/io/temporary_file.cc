#include "io/temporary_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kMode = 0666;          // the kernel takes the umask off
constexpr mode_t kFolderMode = 0777;    // the same
constexpr int kMostNameAttempts = 100;  // of 36^6 names: only a broken random source uses them up

std::atomic<bool> allow_unnamed{true};

std::string ProcName(int descriptor) { return fmt::format("/proc/self/fd/{}", descriptor); }

// An unnamed file can get its name only through /proc, so without /proc it is of no use.
int OpenUnnamed(const fs::path& folder) {
  if (!allow_unnamed || access("/proc/self/fd", X_OK) != 0) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, kMode);
}

}  // namespace

TemporaryFile OpenTemporaryFile(const fs::path& folder, const fs::path& final_name) {
  TemporaryFile file;
  file.descriptor = OpenUnnamed(folder);
  // Kernels and file systems without O_TMPFILE answer with one of these three.
  if (file.descriptor < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
    for (int attempt = 0; attempt < kMostNameAttempts; ++attempt) {
      file.name = HiddenName(folder, final_name);
      file.descriptor = open(file.name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, kMode);
      if (file.descriptor >= 0 || errno != EEXIST) break;
    }
  }
  if (file.descriptor < 0) {
    const int error = errno;
    throw Error(ErrorCode::kWriteFailed, fmt::format("cannot create a file in folder {}: {}",
                                                     Quote(folder.native()), SystemReason(error)));
  }
  return file;
}

fs::path HiddenName(const fs::path& folder, const fs::path& final_name) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr std::size_t kMostNameBytes = 200;
  unsigned char random[6] = {};
  if (getrandom(random, sizeof random, 0) != static_cast<ssize_t>(sizeof random)) {
    throw Error(ErrorCode::kWriteFailed,
                fmt::format("no random bytes for a temporary name: {}", SystemReason(errno)));
  }
  std::string name =
      fmt::format(".{}.espalier-", std::string_view(final_name.native()).substr(0, kMostNameBytes));
  for (const unsigned char byte : random) name += kAlphabet[byte % kAlphabet.size()];
  return folder / name;
}

int LinkUnnamed(int descriptor, const fs::path& name) {
  const std::string source = ProcName(descriptor);
  const int result = linkat(AT_FDCWD, source.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW);
  return result == 0 ? 0 : errno;
}

int RenameWithoutReplacing(const fs::path& from, const fs::path& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // NFS and old kernels cannot rename so, but they can link.
  if (link(from.c_str(), to.c_str()) != 0) return errno;
  unlink(from.c_str());
  return 0;
}

CreatedFolders::CreatedFolders(const fs::path& folder) : innermost_(folder) {
  std::vector<fs::path> missing;
  for (fs::path at = folder; access(at.c_str(), F_OK) != 0 && at != at.parent_path();
       at = at.parent_path()) {
    missing.push_back(at);
  }
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    if (mkdir(at->c_str(), kFolderMode) == 0) {
      ++count_;
      innermost_ = *at;
      continue;
    }
    const int error = errno;
    std::error_code ignored;
    if (error == EEXIST && fs::is_directory(*at, ignored)) continue;  // another process made it
    Remove();
    throw Error(ErrorCode::kWriteFailed, fmt::format("cannot create folder {}: {}",
                                                     Quote(at->native()), SystemReason(error)));
  }
}

CreatedFolders::~CreatedFolders() { Remove(); }

// rmdir refuses folders that are not empty, so nothing of another process is lost.
void CreatedFolders::Remove() noexcept {
  if (innermost_.empty()) return;
  for (; count_ > 0 && rmdir(innermost_.c_str()) == 0; --count_) {
    innermost_ = innermost_.parent_path();
  }
}

void AllowUnnamedFilesForTest(bool allow) { allow_unnamed = allow; }

}  // namespace espalier::internal
