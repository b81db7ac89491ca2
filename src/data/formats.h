#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/byte_source.h"
#include "data/file_set.h"
#include "espalier/data/dataset.h"

namespace espalier::internal {

/// What all data sets keep in memory.
struct DatasetParts {
  std::string title;                     ///< What was opened, for Description().
  std::vector<std::int64_t> labels;      ///< One a sample; -1 without labels.
  std::vector<std::string> class_names;  ///< By label, or empty.
};

/// A data set whose samples are read by index: bounds and error texts are done here.
class IndexedDataset : public Dataset {
 public:
  /// @throws Error  kBadFile if there are no samples.
  explicit IndexedDataset(DatasetParts parts);

  std::size_t size() const noexcept override { return parts_.labels.size(); }
  const std::vector<std::string>& class_names() const noexcept override {
    return parts_.class_names;
  }
  std::string Description() const override;
  Sample Read(std::size_t index) const override;

 protected:
  virtual std::string Name(std::size_t index) const;

  /// Reads image or tensor of an index below size(); the sample has its name and label.
  virtual void Fill(std::size_t index, Sample& sample) const = 0;

 private:
  DatasetParts parts_;
};

/// Images of a folder or archive; labels from the folders' names or from options.labels.
std::unique_ptr<Dataset> OpenImages(std::unique_ptr<FileSet> files, std::string title,
                                    const DatasetOptions& options);

/// Whether files have the names of MNIST's; the data set that options.split chooses among them.
bool HasIdx(const FileSet& files);
std::unique_ptr<Dataset> OpenIdxFiles(const FileSet& files, std::string title,
                                      const DatasetOptions& options);

/// Whether bytes begin as IDX images; the data set of such a file, which was found at `path`.
bool IsIdx(const ByteSource& bytes);
std::unique_ptr<Dataset> OpenIdxFile(const SharedBytes& images, const std::filesystem::path& path,
                                     const DatasetOptions& options);

/// Whether files have the names of CIFAR's binary version; the data set that options.split chooses.
bool HasCifar(const FileSet& files);
std::unique_ptr<Dataset> OpenCifarFiles(const FileSet& files, std::string title,
                                        const DatasetOptions& options);

/// Whether a file has a name of CIFAR's binary version and its size; the data set of one such file.
bool IsCifar(const ByteSource& bytes, const std::filesystem::path& path);
std::unique_ptr<Dataset> OpenCifarFile(const SharedBytes& bytes, const std::filesystem::path& path);

/// Whether files have the names of NumPy inputs; the data set of them.
bool HasNumpy(const FileSet& files);
std::unique_ptr<Dataset> OpenNumpyFiles(const FileSet& files, std::string title,
                                        const DatasetOptions& options);

/// Whether bytes begin as .npy or .npz; the data set of such a file, which was found at `path`.
bool IsNumpy(const ByteSource& bytes);
std::unique_ptr<Dataset> OpenNumpyFile(const SharedBytes& bytes, const std::filesystem::path& path,
                                       const DatasetOptions& options);

/// How to give labels, for error texts.
inline constexpr const char* kNoLabels = "no labels found; name them with the option labels";

}  // namespace espalier::internal
