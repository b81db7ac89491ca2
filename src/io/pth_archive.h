#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "espalier/io/file.h"
#include "io/zip_index.h"

namespace espalier::internal {

/// A file in an archive, with the place of its bytes.
struct StoredFile {
  ZipEntry entry;
  std::uint64_t begin = 0;
};

/// A zip archive's files by name, none inside another or the directory.
class StoredFiles {
 public:
  /// @throws Error  kBadFile, with the name and both places.
  explicit StoredFiles(const InputFile& file);

  bool Has(const std::string& name) const { return files_.contains(name); }

  /// A file whose bytes are as they stand; null if there is none of that name.
  /// @throws Error  kUnsupported if it is compressed or encrypted.
  const StoredFile* Find(const std::string& name) const;

  /// What stands before "data.pkl": "archive/".
  /// @throws Error  kBadFile if there is not exactly one.
  std::string Prefix() const;

  /// All files, in the order of their bytes.
  std::vector<const StoredFile*> InOrder() const;

 private:
  void CheckPlaces(std::uint64_t directory) const;

  std::map<std::string, StoredFile> files_;
};

}  // namespace espalier::internal
