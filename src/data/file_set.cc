#include "data/file_set.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "data/tar.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

namespace fs = std::filesystem;

bool IsHidden(std::string_view path) {
  return path.starts_with('.') || path.find("/.") != std::string_view::npos;
}

class Folder : public FileSet {
 public:
  explicit Folder(const fs::path& root) : root_(root) {
    List(root_, "");
    std::ranges::sort(paths_);
  }

  SharedBytes Open(std::size_t index) const override { return OpenBytes(root_ / paths_[index]); }

 private:
  [[noreturn]] static void Throw(const fs::path& folder, std::string_view reason) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("cannot list folder {}: {}", Quote(folder.native()), reason));
  }

  void List(const fs::path& folder, const std::string& prefix) {
    struct stat info {};
    if (stat(folder.c_str(), &info) != 0) Throw(folder, SystemReason(errno));
    // A link to a folder above would never end.
    if (!entered_.emplace(info.st_dev, info.st_ino).second) return;
    std::error_code error;
    std::vector<std::string> folders;
    for (fs::directory_iterator at(folder, error), end; at != end; at.increment(error)) {
      if (error) break;
      const std::string name = at->path().filename().native();
      if (IsHidden(name)) continue;
      std::error_code dangling;  // a link to nothing is no file
      if (at->is_directory(dangling)) {
        folders.push_back(name);
      } else if (at->is_regular_file(dangling)) {
        paths_.push_back(prefix + name);
      }
    }
    if (error) Throw(folder, error.message());
    // Sorted: of two links to one folder, the same is entered each time.
    std::ranges::sort(folders);
    for (const std::string& name : folders) List(folder / name, prefix + name + "/");
  }

  fs::path root_;
  std::set<std::pair<dev_t, ino_t>> entered_;
};

class Archive : public FileSet {
 public:
  explicit Archive(SharedBytes bytes) : bytes_(std::move(bytes)) {
    std::vector<TarEntry> entries = ReadTarIndex(*bytes_);
    std::erase_if(entries, [](const TarEntry& entry) { return IsHidden(entry.path); });
    std::ranges::stable_sort(entries, {}, &TarEntry::path);
    for (TarEntry& entry : entries) {
      if (paths_.empty() || paths_.back() != entry.path) {
        paths_.push_back(std::move(entry.path));
        entries_.emplace_back();
      }
      entries_.back() = std::move(entry);
    }
  }

  SharedBytes Open(std::size_t index) const override {
    return SliceOf(bytes_, entries_[index].offset, entries_[index].size);
  }

 private:
  SharedBytes bytes_;
  std::vector<TarEntry> entries_;  // one for each path; their own paths are moved away
};

}  // namespace

SharedBytes FileSet::Find(std::string_view path) const {
  const auto found = std::ranges::lower_bound(
      paths_, path, {}, [](const std::string& known) { return std::string_view(known); });
  if (found == paths_.end() || *found != path) return nullptr;
  return Open(static_cast<std::size_t>(found - paths_.begin()));
}

std::unique_ptr<FileSet> OpenFolder(const fs::path& folder) {
  return std::make_unique<Folder>(folder);
}

std::unique_ptr<FileSet> OpenTar(SharedBytes archive) {
  return std::make_unique<Archive>(std::move(archive));
}

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace espalier::internal
