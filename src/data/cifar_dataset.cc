// CIFAR's binary version: records of one or two label bytes and 32x32 pixels, red, green, blue
// planes.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "data/formats.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

constexpr std::size_t kSide = 32;
constexpr std::size_t kPlane = kSide * kSide;
constexpr std::size_t kPixels = 3 * kPlane;
constexpr std::uint64_t kMostNames = std::uint64_t{1} << 20;

// CIFAR-100's records have the coarse class in front of the fine one, which is the label.
struct Kind {
  std::size_t label_bytes = 1;
  std::int64_t classes = 10;
  std::size_t RecordSize() const { return label_bytes + kPixels; }
};
constexpr Kind kCifar10 = {1, 10};
constexpr Kind kCifar100 = {2, 100};

class CifarDataset : public IndexedDataset {
 public:
  CifarDataset(DatasetParts parts, Kind kind, std::vector<SharedBytes> files)
      : IndexedDataset(std::move(parts)), kind_(kind), files_(std::move(files)) {}

 protected:
  void Fill(std::size_t index, Sample& sample) const override {
    std::size_t file = 0;
    while (index >= files_[file]->size() / kind_.RecordSize()) {
      index -= files_[file++]->size() / kind_.RecordSize();
    }
    std::vector<std::uint8_t> planes(kPixels);
    files_[file]->ReadAt(index * kind_.RecordSize() + kind_.label_bytes,
                         std::as_writable_bytes(std::span(planes)));
    sample.image = {kSide, kSide, 3, std::vector<std::uint8_t>(kPixels)};
    for (std::size_t i = 0; i < kPlane; ++i) {
      for (std::size_t c = 0; c < 3; ++c) sample.image.pixels[3 * i + c] = planes[c * kPlane + i];
    }
  }

 private:
  Kind kind_;
  std::vector<SharedBytes> files_;
};

void AppendLabels(const ByteSource& bytes, const Kind& kind, std::string_view name,
                  std::vector<std::int64_t>& labels) {
  if (bytes.size() == 0 || bytes.size() % kind.RecordSize() != 0) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} has {} bytes, which are no records of {} (CIFAR-{}); it may be "
                            "truncated",
                            Quote(name), bytes.size(), kind.RecordSize(), kind.classes));
  }
  for (std::uint64_t at = 0; at < bytes.size(); at += kind.RecordSize()) {
    std::byte label{};
    bytes.ReadAt(at + kind.label_bytes - 1, std::span(&label, 1));
    labels.push_back(std::to_integer<std::int64_t>(label));
    if (labels.back() >= kind.classes) {
      throw Error(
          ErrorCode::kBadFile,
          fmt::format("{}: label {} at byte {}, but CIFAR-{} has the labels 0 to {}", Quote(name),
                      labels.back(), at + kind.label_bytes - 1, kind.classes, kind.classes - 1));
    }
  }
}

bool IsTrain10(std::string_view name) {
  return name.starts_with("data_batch_") && name.ends_with(".bin");
}
bool IsNamed10(std::string_view name) { return IsTrain10(name) || name == "test_batch.bin"; }
bool IsNamed100(std::string_view name) { return name == "train.bin" || name == "test.bin"; }

// Lines of a file that lies beside the data; none if it is not there or does not fit.
std::vector<std::string> ReadNames(const FileSet& files, const std::string& path,
                                   std::int64_t classes) {
  const SharedBytes bytes = files.Find(path);
  if (bytes == nullptr) return {};
  const std::vector<std::byte> text = ReadAll(*bytes, kMostNames);
  std::vector<std::string> names(1);
  for (const std::byte byte : text) {
    const char c = static_cast<char>(byte);
    if (c == '\n') {
      names.emplace_back();
    } else if (c != '\r') {
      names.back() += c;
    }
  }
  std::erase(names, "");
  if (names.size() != static_cast<std::size_t>(classes)) names.clear();
  return names;
}

}  // namespace

bool HasCifar(const FileSet& files) {
  return std::ranges::any_of(files.paths(), [](const std::string& path) {
    return IsNamed10(BaseName(path)) || IsNamed100(BaseName(path));
  });
}

std::unique_ptr<Dataset> OpenCifarFiles(const FileSet& files, std::string title,
                                        const DatasetOptions& options) {
  const std::string split = options.split.empty() ? "test" : options.split;
  if (split != "test" && split != "train") {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("split {}: CIFAR has train and test", Quote(split)));
  }
  const bool is10 = std::ranges::any_of(
      files.paths(), [](const std::string& path) { return IsNamed10(BaseName(path)); });
  const Kind kind = is10 ? kCifar10 : kCifar100;
  DatasetParts parts{fmt::format("{}, {}", title, split), {}, options.class_names};
  std::vector<SharedBytes> chosen;
  for (std::size_t i = 0; i < files.paths().size(); ++i) {
    const std::string& path = files.paths()[i];
    const std::string_view name = BaseName(path);
    if (is10 ? !IsNamed10(name) : !IsNamed100(name)) continue;
    const bool is_train = is10 ? IsTrain10(name) : name == "train.bin";
    if (is_train != (split == "train")) continue;
    chosen.push_back(files.Open(i));
    AppendLabels(*chosen.back(), kind, path, parts.labels);
    if (!parts.class_names.empty()) continue;
    const std::string folder = path.substr(0, path.size() - name.size());
    parts.class_names = ReadNames(
        files, folder + (is10 ? "batches.meta.txt" : "fine_label_names.txt"), kind.classes);
  }
  if (chosen.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("no file of the split {} of CIFAR's binary version", Quote(split)));
  }
  return std::make_unique<CifarDataset>(std::move(parts), kind, std::move(chosen));
}

bool IsCifar(const ByteSource& bytes, const std::filesystem::path& path) {
  const std::string name = path.filename().native();
  if (IsNamed10(name) || IsNamed100(name)) return true;
  return name.ends_with(".bin") && bytes.size() != 0 &&
         (bytes.size() % kCifar10.RecordSize() == 0 || bytes.size() % kCifar100.RecordSize() == 0);
}

std::unique_ptr<Dataset> OpenCifarFile(const SharedBytes& bytes,
                                       const std::filesystem::path& path) {
  const std::string name = path.filename().native();
  // Without a name that tells, the size does: both fit only from 3073 * 3074 bytes.
  const bool fits10 = bytes->size() % kCifar10.RecordSize() == 0;
  const Kind kind = IsNamed100(name) || (!IsNamed10(name) && !fits10) ? kCifar100 : kCifar10;
  DatasetParts parts{name, {}, {}};
  AppendLabels(*bytes, kind, name, parts.labels);
  return std::make_unique<CifarDataset>(std::move(parts), kind, std::vector<SharedBytes>{bytes});
}

}  // namespace espalier::internal
