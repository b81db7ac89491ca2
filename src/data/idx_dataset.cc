// IDX, the format of MNIST: http://yann.lecun.com/exdb/mnist (four bytes of magic, big-endian
// sizes).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "data/formats.h"
#include "data/unpack.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kUnsignedByte = 0x08;
constexpr std::int64_t kMostSide = 65'500;

struct IdxArray {
  std::vector<std::uint64_t> shape;
  SharedBytes elements;
};

// Opens an array of bytes with this many dimensions.
IdxArray OpenIdx(const SharedBytes& bytes, unsigned dimensions, std::string_view what) {
  const std::size_t head_size = 4 + 4 * std::size_t{dimensions};
  const std::vector<std::byte> head = ReadHead(*bytes, head_size);
  const std::uint32_t magic = head.size() < 4 ? 0xFFFFFFFF : BigEndian32(head.data());
  const std::uint32_t wanted = kUnsignedByte << 8 | dimensions;
  if (magic != wanted) {
    throw Error(magic >> 16 == 0 ? ErrorCode::kUnsupported : ErrorCode::kBadFile,
                fmt::format("IDX {} begin with {:08x} (bytes in {} dimensions); these begin with "
                            "{:08x}",
                            what, wanted, dimensions, magic));
  }
  if (head.size() < head_size) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("IDX {} of {} bytes; they are truncated", what, bytes->size()));
  }
  IdxArray array;
  std::uint64_t rest = bytes->size() - head_size;
  const std::uint64_t found = rest;
  // Divided: the product may overflow.
  bool fits = true;
  for (unsigned i = 0; i < dimensions; ++i) {
    const std::uint64_t side = BigEndian32(head.data() + 4 + 4 * std::size_t{i});
    array.shape.push_back(side);
    fits = fits && side != 0 && rest % side == 0;
    if (side != 0) rest /= side;
  }
  if (!fits || rest != 1) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("IDX {} of {} need other than the {} bytes that follow; they are "
                            "truncated, empty or too long",
                            what, fmt::join(array.shape, "x"), found));
  }
  array.elements = SliceOf(bytes, head_size, found);
  return array;
}

class IdxDataset : public IndexedDataset {
 public:
  IdxDataset(DatasetParts parts, IdxArray images)
      : IndexedDataset(std::move(parts)), images_(std::move(images)) {}

 protected:
  void Fill(std::size_t index, Sample& sample) const override {
    Image& image = sample.image;
    image.height = static_cast<int>(images_.shape[1]);
    image.width = static_cast<int>(images_.shape[2]);
    image.channels = 1;
    image.pixels.resize(images_.shape[1] * images_.shape[2]);
    images_.elements->ReadAt(index * image.pixels.size(),
                             std::as_writable_bytes(std::span(image.pixels)));
  }

 private:
  IdxArray images_;
};

std::unique_ptr<Dataset> MakeDataset(const SharedBytes& images, const SharedBytes& labels,
                                     std::string title, const DatasetOptions& options) {
  IdxArray array = OpenIdx(images, 3, "images");
  if (array.shape[1] > kMostSide || array.shape[2] > kMostSide) {
    throw Error(ErrorCode::kBadFile, fmt::format("IDX images of {}x{} pixels, the limit is {}",
                                                 array.shape[2], array.shape[1], kMostSide));
  }
  DatasetParts parts{std::move(title), std::vector<std::int64_t>(array.shape[0], -1),
                     options.class_names};
  if (labels != nullptr) {
    const IdxArray numbers = OpenIdx(labels, 1, "labels");
    if (numbers.shape[0] != array.shape[0]) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{} images, but {} labels", array.shape[0], numbers.shape[0]));
    }
    const std::vector<std::byte> bytes = ReadAll(*numbers.elements, numbers.elements->size());
    std::ranges::transform(bytes, parts.labels.begin(), std::to_integer<std::int64_t>);
  } else if (options.need_labels) {
    throw Error(ErrorCode::kInvalidArgument, kNoLabels);
  }
  return std::make_unique<IdxDataset>(std::move(parts), std::move(array));
}

bool IsImagesName(std::string_view name) {
  return name.find("images") != std::string_view::npos &&
         name.find("idx3") != std::string_view::npos;
}

std::string WithoutGz(std::string_view path) {
  if (path.ends_with(".gz")) path.remove_suffix(3);
  return std::string(path);
}

// The name of the labels that belong to images, both without ".gz".
std::string LabelsPath(const std::string& images) {
  std::string path = images;
  const std::size_t word = path.rfind("images");
  if (word == std::string::npos) return "";
  path.replace(word, 6, "labels");
  const std::size_t rank = path.find("idx3", word);
  if (rank == std::string::npos) return "";
  return path.replace(rank, 4, "idx1");
}

SharedBytes FindPacked(const FileSet& files, const std::string& path, std::uint64_t most) {
  for (const std::string& name : {path, path + ".gz"}) {
    if (SharedBytes bytes = files.Find(name)) return Unpacked(std::move(bytes), most);
  }
  return nullptr;
}

bool IsOfSplit(std::string_view path, std::string_view split) {
  const auto has = [name = BaseName(path)](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  };
  if (split == "test" || split == "t10k") return has("t10k") || has("test");
  return has(split);
}

// Of the image files, without ".gz", the one of the split.
std::string ChooseImages(const FileSet& files, const std::string& split) {
  std::vector<std::string> all;
  for (const std::string& path : files.paths()) {
    if (IsImagesName(BaseName(path))) all.push_back(WithoutGz(path));
  }
  // Packed and unpacked, a file may be there twice.
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::vector<std::string> chosen;
  std::ranges::copy_if(all, std::back_inserter(chosen), [&](const std::string& path) {
    return IsOfSplit(path, split.empty() ? "test" : split);
  });
  if (chosen.empty() && split.empty()) chosen = all;
  if (chosen.size() == 1) return chosen[0];
  std::vector<std::string> quoted;
  for (const std::string& path : all) quoted.push_back(Quote(path));
  throw Error(
      ErrorCode::kInvalidArgument,
      fmt::format("{} IDX files of images are of the split {}; there are: {}", chosen.size(),
                  Quote(split.empty() ? "test" : split), fmt::join(quoted, ", ")));
}

}  // namespace

bool HasIdx(const FileSet& files) {
  return std::ranges::any_of(files.paths(),
                             [](const std::string& path) { return IsImagesName(BaseName(path)); });
}

std::unique_ptr<Dataset> OpenIdxFiles(const FileSet& files, std::string title,
                                      const DatasetOptions& options) {
  const std::string path = ChooseImages(files, options.split);
  const SharedBytes labels = options.labels.empty()
                                 ? FindPacked(files, LabelsPath(path), options.max_unpacked)
                                 : Unpacked(OpenBytes(options.labels), options.max_unpacked);
  return MakeDataset(FindPacked(files, path, options.max_unpacked), labels,
                     fmt::format("{}, {}", title, path), options);
}

bool IsIdx(const ByteSource& bytes) {
  const std::vector<std::byte> head = ReadHead(bytes, 4);
  return head.size() == 4 && BigEndian32(head.data()) == (kUnsignedByte << 8 | 3);
}

std::unique_ptr<Dataset> OpenIdxFile(const SharedBytes& images, const fs::path& path,
                                     const DatasetOptions& options) {
  fs::path labels = options.labels;
  if (labels.empty()) {
    const std::string name = LabelsPath(WithoutGz(path.filename().native()));
    for (const std::string& candidate : {name, name + ".gz"}) {
      std::error_code ignored;
      const fs::path beside = path.parent_path() / candidate;
      if (!name.empty() && labels.empty() && fs::is_regular_file(beside, ignored)) labels = beside;
    }
  }
  const SharedBytes bytes =
      labels.empty() ? nullptr : Unpacked(OpenBytes(labels), options.max_unpacked);
  return MakeDataset(images, bytes, path.filename().native(), options);
}

}  // namespace espalier::internal
