#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "data/arrays.h"
#include "data/formats.h"
#include "data/unpack.h"
#include "data/zip.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kInputNames = {"inputs", "x", "images"};
constexpr std::array<std::string_view, 2> kLabelNames = {"labels", "y"};
constexpr std::uint64_t kMostLabels = std::uint64_t{1} << 30;
constexpr std::int64_t kMostSide = 65'500;

class NumpyDataset : public IndexedDataset {
 public:
  NumpyDataset(DatasetParts parts, ArraySource inputs)
      : IndexedDataset(std::move(parts)), inputs_(std::move(inputs)) {
    shape_.assign(inputs_.shape.begin() + 1, inputs_.shape.end());
    sample_bytes_ = inputs_.elements->size() / static_cast<std::uint64_t>(inputs_.shape[0]);
    FindImage();
  }

 protected:
  void Fill(std::size_t index, Sample& sample) const override {
    std::vector<std::byte> bytes(sample_bytes_);
    inputs_.elements->ReadAt(index * sample_bytes_, bytes);
    if (!image_) {
      sample.tensor = {inputs_.dtype, shape_, false, std::move(bytes)};
      return;
    }
    sample.image = *image_;
    const auto channels = static_cast<std::size_t>(image_->channels);
    const std::size_t pixels = bytes.size() / channels;
    sample.image.pixels.resize(bytes.size());
    const std::size_t pixel_stride = planes_ ? 1 : channels;
    const std::size_t channel_stride = planes_ ? pixels : 1;
    for (std::size_t i = 0; i < pixels; ++i) {
      for (std::size_t c = 0; c < channels; ++c) {
        sample.image.pixels[i * channels + c] =
            std::to_integer<std::uint8_t>(bytes[i * pixel_stride + c * channel_stride]);
      }
    }
  }

 private:
  void FindImage() {
    const auto is_channels = [](std::int64_t size) { return size == 1 || size == 3; };
    if (inputs_.dtype != DType::kUint8) return;
    if (std::ranges::any_of(shape_, [](std::int64_t side) { return side > kMostSide; })) return;
    const auto side = [this](std::size_t i) { return static_cast<int>(shape_[i]); };
    if (shape_.size() == 2) {
      image_ = Image{side(1), side(0), 1, {}};
    } else if (shape_.size() == 3 && is_channels(shape_[2])) {
      image_ = Image{side(1), side(0), side(2), {}};
    } else if (shape_.size() == 3 && is_channels(shape_[0])) {
      image_ = Image{side(2), side(1), side(0), {}};
      planes_ = true;
    }
  }

  ArraySource inputs_;
  Dims shape_;  // of a sample
  std::uint64_t sample_bytes_ = 0;
  std::optional<Image> image_;  // size and channels, without pixels; nothing for tensors
  bool planes_ = false;         // channels outermost
};

std::vector<std::int64_t> ReadLabels(const SharedBytes& npy, std::int64_t count) {
  const ArraySource array = OpenArray(npy);
  const bool fits =
      !array.shape.empty() && array.shape[0] == count && ElementCount(array.shape) == count;
  if (!fits) {
    throw Error(ErrorCode::kBadFile, fmt::format("labels of shape {} for {} inputs; one number "
                                                 "each is needed",
                                                 DimsText(array.shape), count));
  }
  std::vector<std::int64_t> labels = ToWhole(array.dtype, ReadAll(*array.elements, kMostLabels));
  const auto negative = std::ranges::find_if(labels, [](std::int64_t label) { return label < 0; });
  if (negative != labels.end()) {
    throw Error(ErrorCode::kBadFile, fmt::format("label {} of sample {} is below 0", *negative,
                                                 negative - labels.begin()));
  }
  return labels;
}

// `labels` is null if there are none.
std::unique_ptr<Dataset> MakeDataset(const SharedBytes& inputs, const SharedBytes& labels,
                                     std::string title, const DatasetOptions& options) {
  ArraySource array = OpenArray(inputs);
  if (array.shape.empty() || array.elements->size() == 0) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("inputs of shape {} have no samples", DimsText(array.shape)));
  }
  if (labels == nullptr && options.need_labels) {
    throw Error(ErrorCode::kInvalidArgument, kNoLabels);
  }
  const std::int64_t count = array.shape[0];
  DatasetParts parts{std::move(title), {}, options.class_names};
  if (labels != nullptr) {
    parts.labels = ReadLabels(labels, count);
  } else {
    parts.labels.assign(static_cast<std::size_t>(count), -1);
  }
  return std::make_unique<NumpyDataset>(std::move(parts), std::move(array));
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string_view WithoutNpy(std::string_view name) {
  if (name.ends_with(".npy")) name.remove_suffix(4);
  return name;
}

// The index of the array with one of these names: as they are, as x_test or as test_x.
std::optional<std::size_t> FindArray(const std::vector<std::string>& arrays,
                                     std::span<const std::string_view> names,
                                     const std::string& split) {
  const auto find = [&](const std::string& name) -> std::optional<std::size_t> {
    const auto found = std::ranges::find(arrays, name);
    if (found == arrays.end()) return std::nullopt;
    return static_cast<std::size_t>(found - arrays.begin());
  };
  for (const std::string_view name : names) {
    if (split.empty()) {
      if (const auto found = find(std::string(name))) return found;
    }
    const std::string part = split.empty() ? "test" : Lower(split);
    for (const std::string& full :
         {fmt::format("{}_{}", name, part), fmt::format("{}_{}", part, name)}) {
      if (const auto found = find(full)) return found;
    }
  }
  return std::nullopt;
}

// Arrays by name, wherever they are.
class Arrays {
 public:
  virtual ~Arrays() = default;
  virtual SharedBytes Open(std::size_t index) const = 0;
  const std::vector<std::string>& names() const { return names_; }  // lower case, without ".npy"

 protected:
  std::vector<std::string> names_;
};

class ZipArrays : public Arrays {
 public:
  ZipArrays(SharedBytes bytes, std::uint64_t most)
      : bytes_(std::move(bytes)), most_(most), entries_(ReadZipIndex(*bytes_)) {
    for (const ZipEntry& entry : entries_) names_.push_back(Lower(WithoutNpy(entry.name)));
  }
  SharedBytes Open(std::size_t index) const override {
    return OpenZipEntry(bytes_, entries_[index], most_);
  }

 private:
  SharedBytes bytes_;
  std::uint64_t most_;
  std::vector<ZipEntry> entries_;
};

class FileArrays : public Arrays {
 public:
  explicit FileArrays(const FileSet& files) : files_(files) {
    for (std::size_t i = 0; i < files.paths().size(); ++i) {
      if (!files.paths()[i].ends_with(".npy")) continue;
      names_.push_back(Lower(WithoutNpy(BaseName(files.paths()[i]))));
      indices_.push_back(i);
    }
  }
  SharedBytes Open(std::size_t index) const override { return files_.Open(indices_[index]); }

 private:
  const FileSet& files_;
  std::vector<std::size_t> indices_;
};

std::unique_ptr<Dataset> OpenArrays(const Arrays& arrays, const std::string& title,
                                    const DatasetOptions& options) {
  const auto inputs = FindArray(arrays.names(), kInputNames, options.split);
  if (!inputs) {
    std::vector<std::string> names;
    for (const std::string& name : arrays.names()) names.push_back(Quote(name));
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("no array {}{}; there are: {}", fmt::join(kInputNames, ", "),
                            options.split.empty() ? "" : " of the split " + Quote(options.split),
                            fmt::join(names, ", ")));
  }
  const auto labels = FindArray(arrays.names(), kLabelNames, options.split);
  SharedBytes label_bytes;
  if (!options.labels.empty()) {
    label_bytes = OpenBytes(options.labels);
  } else if (labels) {
    label_bytes = arrays.Open(*labels);
  }
  return MakeDataset(arrays.Open(*inputs), label_bytes,
                     fmt::format("{}, {}", title, arrays.names()[*inputs]), options);
}

bool StartsWith(const ByteSource& bytes, std::string_view magic) {
  const std::vector<std::byte> head = ReadHead(bytes, magic.size());
  return std::string_view(reinterpret_cast<const char*>(head.data()), head.size()) == magic;
}

bool IsZip(const ByteSource& bytes) { return StartsWith(bytes, "PK\3\4"); }

}  // namespace

bool HasNumpy(const FileSet& files) {
  const FileArrays arrays(files);
  return FindArray(arrays.names(), kInputNames, "").has_value() ||
         FindArray(arrays.names(), kInputNames, "train").has_value();
}

std::unique_ptr<Dataset> OpenNumpyFiles(const FileSet& files, std::string title,
                                        const DatasetOptions& options) {
  return OpenArrays(FileArrays(files), title, options);
}

bool IsNumpy(const ByteSource& bytes) { return IsZip(bytes) || StartsWith(bytes, "\x93NUMPY"); }

std::unique_ptr<Dataset> OpenNumpyFile(const SharedBytes& bytes, const fs::path& path,
                                       const DatasetOptions& options) {
  const std::string title = path.filename().native();
  if (IsZip(*bytes)) return OpenArrays(ZipArrays(bytes, options.max_unpacked), title, options);
  fs::path labels = options.labels;
  for (const std::string_view name : kLabelNames) {
    std::error_code ignored;
    const fs::path beside = path.parent_path() / fmt::format("{}.npy", name);
    if (labels.empty() && fs::is_regular_file(beside, ignored)) labels = beside;
  }
  return MakeDataset(bytes, labels.empty() ? nullptr : OpenBytes(labels), title, options);
}

}  // namespace espalier::internal
