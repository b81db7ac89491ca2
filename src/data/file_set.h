#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/byte_source.h"

namespace espalier::internal {

/// The files of a folder or tar archive, by relative path with '/'.
class FileSet {
 public:
  virtual ~FileSet() = default;

  /// In byte order, each once.
  const std::vector<std::string>& paths() const noexcept { return paths_; }

  /// The file's bytes; safe from several threads.
  /// @throws Error  kBadFile if it cannot be read.
  virtual SharedBytes Open(std::size_t index) const = 0;

  /// The file with this path; null if there is none.
  SharedBytes Find(std::string_view path) const;

 protected:
  std::vector<std::string> paths_;
};

/// All regular files below a folder. Symbolic links are followed, each folder is entered once,
/// names that begin with a dot are passed.
/// @throws Error  kBadFile with the system's reason if a folder cannot be listed.
std::unique_ptr<FileSet> OpenFolder(const std::filesystem::path& folder);

/// All regular files of a tar archive but those with a name or folder that begins with a dot. Of
/// two with one path, the later counts.
/// @throws Error  as ReadTarIndex().
std::unique_ptr<FileSet> OpenTar(SharedBytes archive);

/// "c.jpg" of "a/b/c.jpg".
std::string_view BaseName(std::string_view path);

}  // namespace espalier::internal
