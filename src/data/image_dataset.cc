#include <fmt/format.h>

#include <utility>

#include "data/formats.h"
#include "data/image_labels.h"
#include "espalier/base/error.h"
#include "espalier/io/file.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

constexpr std::uint64_t kMostCsv = std::uint64_t{256} << 20;

class ImageDataset : public IndexedDataset {
 public:
  ImageDataset(DatasetParts parts, std::unique_ptr<FileSet> files, std::vector<std::size_t> chosen)
      : IndexedDataset(std::move(parts)), files_(std::move(files)), chosen_(std::move(chosen)) {}

 protected:
  std::string Name(std::size_t index) const override { return files_->paths()[chosen_[index]]; }

  void Fill(std::size_t index, Sample& sample) const override {
    const SharedBytes file = files_->Open(chosen_[index]);
    sample.image = DecodeImage(ReadAll(*file, static_cast<std::uint64_t>(ImageLimits().max_file)));
  }

 private:
  std::unique_ptr<FileSet> files_;
  std::vector<std::size_t> chosen_;  // the file of each sample
};

LabelledFiles FindLabels(const FileSet& files, const DatasetOptions& options) {
  if (options.labels.empty()) return LabelsFromFolders(files.paths(), options);
  const std::string csv = ReadFile(options.labels, kMostCsv);
  try {
    return LabelsFromCsv(files.paths(), csv, options);
  } catch (Error& error) {
    error.AddContext(fmt::format("reading labels from {}", Quote(options.labels.native())));
    throw;
  }
}

}  // namespace

std::unique_ptr<Dataset> OpenImages(std::unique_ptr<FileSet> files, std::string title,
                                    const DatasetOptions& options) {
  if (!options.labels.empty() && !options.split.empty()) {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("split {} and labels {}: the rows of the labels choose the images",
                            Quote(options.split), Quote(options.labels.native())));
  }
  LabelledFiles found = FindLabels(*files, options);
  if (!found.folder.empty()) {
    title +=
        fmt::format(", folder {}", std::string_view(found.folder.data(), found.folder.size() - 1));
  }
  return std::make_unique<ImageDataset>(
      DatasetParts{std::move(title), std::move(found.labels), std::move(found.class_names)},
      std::move(files), std::move(found.files));
}

}  // namespace espalier::internal
