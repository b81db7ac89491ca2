#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/file_set.h"
#include "espalier/data/dataset.h"

namespace espalier::internal {

/// Which files of a set are samples, and their labels.
struct LabelledFiles {
  std::vector<std::size_t> files;  ///< Indices into FileSet::paths().
  std::vector<std::int64_t> labels;
  std::vector<std::string> class_names;
  std::string folder;  ///< That the classes' folders lie in, with a '/' at its end; or empty.
};

/// Labels from the names of class folders, as OpenDataset() documents.
/// @throws Error  kInvalidArgument if there are no images, no class folders, no or several splits
/// of
///                the name, or folders that are not in options.class_names.
LabelledFiles LabelsFromFolders(const std::vector<std::string>& paths,
                                const DatasetOptions& options);

/// Labels from the text of a CSV.
/// @throws Error  kBadFile, with the line, for a row whose file is missing, found twice, or named
///                twice, and for labels below 0; kInvalidArgument for names that are not in
///                options.class_names.
LabelledFiles LabelsFromCsv(const std::vector<std::string>& paths, std::string_view csv,
                            const DatasetOptions& options);

/// Whether a name ends as JPEG and PNG files' do.
bool HasImageName(std::string_view path);

}  // namespace espalier::internal
