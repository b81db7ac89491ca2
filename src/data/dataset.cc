#include "espalier/data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "data/formats.h"
#include "data/tar.h"
#include "data/unpack.h"
#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier {
namespace internal {

IndexedDataset::IndexedDataset(DatasetParts parts) : parts_(std::move(parts)) {
  if (parts_.labels.empty()) throw Error(ErrorCode::kBadFile, "there are no samples");
}

std::string IndexedDataset::Description() const {
  const std::int64_t most = *std::ranges::max_element(parts_.labels);
  std::string labels = "no labels";
  if (most >= 0) labels = fmt::format("labels 0 to {}", most);
  if (!parts_.class_names.empty()) labels = fmt::format("{} classes", parts_.class_names.size());
  return fmt::format("{}: {} samples, {}", parts_.title, size(), labels);
}

std::string IndexedDataset::Name(std::size_t index) const {
  return fmt::format("sample {}", index);
}

Sample IndexedDataset::Read(std::size_t index) const {
  if (index >= size()) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("sample {} of a data set of {}", index, size()));
  }
  Sample sample;
  sample.name = Name(index);
  sample.label = parts_.labels[index];
  try {
    Fill(index, sample);
    return sample;
  } catch (Error& error) {
    error.AddContext(fmt::format("reading {} of {}", Quote(sample.name), Quote(parts_.title)));
    throw;
  }
}

}  // namespace internal

namespace {

namespace fs = std::filesystem;
using internal::FileSet;
using internal::Quote;
using internal::SharedBytes;

constexpr std::array<std::string_view, 5> kFormats = {"detect", "images", "idx", "cifar", "numpy"};

DataFormat DetectFiles(const FileSet& files) {
  // Names of known data sets first: a picture may lie beside them.
  if (internal::HasIdx(files)) return DataFormat::kIdx;
  if (internal::HasCifar(files)) return DataFormat::kCifar;
  if (internal::HasNumpy(files)) return DataFormat::kNumpy;
  return DataFormat::kImages;
}

std::unique_ptr<Dataset> OpenFiles(std::unique_ptr<FileSet> files, const std::string& title,
                                   const DatasetOptions& options) {
  const DataFormat format =
      options.format == DataFormat::kDetect ? DetectFiles(*files) : options.format;
  switch (format) {
    case DataFormat::kIdx:
      return internal::OpenIdxFiles(*files, title, options);
    case DataFormat::kCifar:
      return internal::OpenCifarFiles(*files, title, options);
    case DataFormat::kNumpy:
      return internal::OpenNumpyFiles(*files, title, options);
    default:
      return internal::OpenImages(std::move(files), title, options);
  }
}

DataFormat DetectFile(const SharedBytes& bytes, const fs::path& path) {
  if (internal::IsNumpy(*bytes)) return DataFormat::kNumpy;
  if (internal::IsIdx(*bytes)) return DataFormat::kIdx;
  if (internal::IsCifar(*bytes, path)) return DataFormat::kCifar;
  throw Error(ErrorCode::kBadFile,
              "not a data set that is known: a folder or tar archive of JPEG and PNG files, IDX, "
              "CIFAR's binary version, .npy or .npz");
}

std::unique_ptr<Dataset> OpenFile(const fs::path& path, const DatasetOptions& options) {
  const SharedBytes bytes = internal::Unpacked(internal::OpenBytes(path), options.max_unpacked);
  if (internal::IsTar(*bytes)) {
    return OpenFiles(internal::OpenTar(bytes), path.filename().native(), options);
  }
  const DataFormat format =
      options.format == DataFormat::kDetect ? DetectFile(bytes, path) : options.format;
  switch (format) {
    case DataFormat::kIdx:
      return internal::OpenIdxFile(bytes, path, options);
    case DataFormat::kCifar:
      return internal::OpenCifarFile(bytes, path);
    case DataFormat::kNumpy:
      return internal::OpenNumpyFile(bytes, path, options);
    default:
      throw Error(ErrorCode::kBadFile, "neither a folder nor a tar archive of images");
  }
}

}  // namespace

DataFormat ParseDataFormat(std::string_view name) {
  const auto found = std::ranges::find(kFormats, name);
  if (found == kFormats.end()) {
    throw Error(ErrorCode::kInvalidArgument, fmt::format("no data format {}; there are {}",
                                                         Quote(name), fmt::join(kFormats, ", ")));
  }
  return static_cast<DataFormat>(found - kFormats.begin());
}

std::unique_ptr<Dataset> OpenDataset(const fs::path& path, const DatasetOptions& options) {
  try {
    std::error_code ignored;  // OpenFile() tells why a path cannot be read
    if (!fs::is_directory(path, ignored)) return OpenFile(path, options);
    // "data/" has no file name.
    const fs::path name = path.has_filename() ? path.filename() : path.parent_path().filename();
    return OpenFiles(internal::OpenFolder(path), name.native(), options);
  } catch (Error& error) {
    error.AddContext(fmt::format("opening the data set {}", Quote(path.native())));
    throw;
  }
}

}  // namespace espalier
