#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>

#include "data/image_labels.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

// Names of splits, the one to take if none is asked for first.
constexpr std::array<std::string_view, 7> kSplits = {"test",       "testing", "val",     "valid",
                                                     "validation", "train",   "training"};
// Names that an error text lists.
constexpr std::size_t kMostListed = 10;

std::string List(const std::set<std::string>& names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) {
    if (quoted.size() == kMostListed) {
      quoted.emplace_back("...");
      break;
    }
    quoted.push_back(Quote(name));
  }
  return fmt::format("{}", fmt::join(quoted, ", "));
}

[[noreturn]] void Throw(const std::string& text) { throw Error(ErrorCode::kInvalidArgument, text); }

// The images below one folder, which is "" or ends with '/'.
class Tree {
 public:
  Tree(const std::vector<std::string>& paths, const std::vector<std::size_t>& images)
      : paths_(paths), images_(images) {}

  // Names of the folders in `folder`.
  std::set<std::string> Folders(std::string_view folder) const {
    std::set<std::string> names;
    for (const std::size_t image : images_) {
      const std::string_view rest = Below(image, folder);
      const std::size_t slash = rest.find('/');
      if (slash != std::string_view::npos) names.emplace(rest.substr(0, slash));
    }
    return names;
  }

  bool HasImages(std::string_view folder) const {
    return std::ranges::any_of(images_, [&](std::size_t image) {
      const std::string_view rest = Below(image, folder);
      return !rest.empty() && rest.find('/') == std::string_view::npos;
    });
  }

  // All folders at any depth whose path ends with `end`.
  std::set<std::string> FoldersNamed(std::string_view end) const {
    std::set<std::string> found;
    for (const std::size_t image : images_) {
      const std::string_view path = paths_[image];
      for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
           slash = path.find('/', slash + 1)) {
        const std::string_view folder = path.substr(0, slash);
        if (!folder.ends_with(end)) continue;
        const std::size_t begin = folder.size() - end.size();
        if (begin == 0 || folder[begin - 1] == '/') found.emplace(fmt::format("{}/", folder));
      }
    }
    return found;
  }

 private:
  // The path of an image below a folder; empty if it lies elsewhere.
  std::string_view Below(std::size_t image, std::string_view folder) const {
    const std::string_view path = paths_[image];
    return path.starts_with(folder) ? path.substr(folder.size()) : std::string_view();
  }

  const std::vector<std::string>& paths_;
  const std::vector<std::size_t>& images_;
};

std::string FindSplit(const Tree& tree, std::string_view split) {
  while (split.ends_with('/')) split.remove_suffix(1);
  while (split.starts_with("./")) split.remove_prefix(2);
  const std::set<std::string> found = tree.FoldersNamed(split);
  if (found.size() == 1) return *found.begin();
  const std::string exact = fmt::format("{}/", split);
  if (found.contains(exact)) return exact;
  if (found.empty()) {
    Throw(fmt::format("no folder {} with images; at the top there are {}", Quote(split),
                      List(tree.Folders(""))));
  }
  Throw(fmt::format("the split {} may be each of {}; name more of its path", Quote(split),
                    List(found)));
}

// Goes down from `folder` while there is one way or the choice of a split.
std::string FindClasses(const Tree& tree, std::string folder) {
  for (;;) {
    const std::set<std::string> folders = tree.Folders(folder);
    if (folders.empty() || tree.HasImages(folder)) return folder;
    const bool are_splits = std::ranges::all_of(folders, [](const std::string& name) {
      return std::ranges::find(kSplits, name) != kSplits.end();
    });
    if (are_splits) {
      const auto chosen = std::ranges::find_if(
          kSplits, [&](std::string_view name) { return folders.contains(std::string(name)); });
      folder += fmt::format("{}/", *chosen);
      continue;
    }
    const std::string below = fmt::format("{}{}/", folder, *folders.begin());
    if (folders.size() != 1 || tree.HasImages(below)) return folder;
    folder = below;
  }
}

// Label of each folder.
using ClassIndex = std::unordered_map<std::string_view, std::int64_t>;

ClassIndex IndexClasses(const std::set<std::string>& folders,
                        const std::vector<std::string>& names) {
  ClassIndex index;
  for (std::size_t i = 0; i < names.size(); ++i) {
    index.emplace(names[i], static_cast<std::int64_t>(i));
  }
  for (const std::string& folder : folders) {
    if (index.contains(folder)) continue;
    Throw(
        fmt::format("folder {} is none of the {} class names given", Quote(folder), names.size()));
  }
  return index;
}

}  // namespace

bool HasImageName(std::string_view path) {
  const std::string_view name = BaseName(path);
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string end(name.substr(dot + 1));
  for (char& c : end) c = static_cast<char>(c | 0x20);  // to lower case; no digit occurs below
  return end == "jpg" || end == "jpeg" || end == "png";
}

LabelledFiles LabelsFromFolders(const std::vector<std::string>& paths,
                                const DatasetOptions& options) {
  std::vector<std::size_t> images;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (HasImageName(paths[i])) images.push_back(i);
  }
  if (images.empty()) {
    Throw(fmt::format("no JPEG or PNG files (.jpg, .jpeg, .png) among {} files", paths.size()));
  }
  const Tree tree(paths, images);
  LabelledFiles result;
  if (!options.split.empty()) result.folder = FindSplit(tree, options.split);
  result.folder = FindClasses(tree, result.folder);
  const std::set<std::string> folders = tree.Folders(result.folder);
  const bool labelled = folders.size() > 1;
  if (!labelled && options.need_labels) {
    Throw(
        fmt::format("the images do not lie in folders named by their classes, but in {}; name a "
                    "CSV with the option labels",
                    folders.empty() ? "one folder" : List(folders) + " alone"));
  }
  ClassIndex index;
  if (labelled) {
    result.class_names = options.class_names;
    if (options.class_names.empty()) result.class_names.assign(folders.begin(), folders.end());
    index = IndexClasses(folders, result.class_names);
  }
  for (const std::size_t image : images) {
    if (!paths[image].starts_with(result.folder)) continue;
    const std::string_view below = std::string_view(paths[image]).substr(result.folder.size());
    const std::size_t slash = below.find('/');
    // A picture beside the classes' folders has no class.
    if (labelled && slash == std::string_view::npos) continue;
    result.files.push_back(image);
    result.labels.push_back(labelled ? index.at(below.substr(0, slash)) : -1);
  }
  return result;
}

}  // namespace espalier::internal
