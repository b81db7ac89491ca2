#pragma once

#include <filesystem>

namespace espalier::internal {

/// A new file, open for reading and writing, that has no name (`name` empty) or a hidden one.
struct TemporaryFile {
  int descriptor = -1;
  std::filesystem::path name;
};

/// Opens an unnamed file (O_TMPFILE) in `folder`, or where the file system has none, one named by
/// HiddenName(). Its mode is 0666 less the umask.
/// @throws Error  kWriteFailed with the folder and the system's reason.
TemporaryFile OpenTemporaryFile(const std::filesystem::path& folder,
                                const std::filesystem::path& final_name);

/// A fresh ".NAME.espalier-XXXXXX" in `folder`; short enough for a file system's 255 bytes.
std::filesystem::path HiddenName(const std::filesystem::path& folder,
                                 const std::filesystem::path& final_name);

/// Gives an unnamed file a name; 0, or errno (EEXIST if the name is taken).
int LinkUnnamed(int descriptor, const std::filesystem::path& name);

/// Renames, but never over an existing file; 0, or errno (EEXIST if the name is taken).
int RenameWithoutReplacing(const std::filesystem::path& from, const std::filesystem::path& to);

/// Creates the missing folders of `folder`, and removes those again unless Keep() is called.
class CreatedFolders {
 public:
  /// @throws Error  kWriteFailed with the folder that cannot be made and the system's reason.
  explicit CreatedFolders(const std::filesystem::path& folder);
  ~CreatedFolders();
  CreatedFolders(const CreatedFolders&) = delete;
  CreatedFolders& operator=(const CreatedFolders&) = delete;
  void Keep() noexcept { innermost_.clear(); }

 private:
  void Remove() noexcept;
  std::filesystem::path innermost_;
  int count_ = 0;
};

/// For tests: false makes OpenTemporaryFile() act as on a file system without O_TMPFILE.
void AllowUnnamedFilesForTest(bool allow);

}  // namespace espalier::internal
