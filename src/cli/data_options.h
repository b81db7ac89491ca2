#pragma once

#include <memory>
#include <string>

#include "espalier/data/dataset.h"
#include "espalier/data/preprocess.h"

namespace CLI {
class App;
}

namespace espalier::cli {

/// Data on the command line and what makes them a model's inputs.
struct DataOptions {
  std::string path;
  std::string format = "detect";
  std::string labels;
  std::string split;
  std::string preprocess;
  std::string resize, mean, std, layout, channels, scale, filter;  ///< Over the preset's.
};

/// Adds `--data`, `--preprocess` and what changes parts of them.
/// @param required  Whether both have to be given.
void AddData(CLI::App* sub, DataOptions* options, bool required = true);

/// The preset with the options' changes.
/// @throws Error  kInvalidArgument.
Preprocess PreprocessFrom(const DataOptions& options);

/// @param need_labels  False: data without labels are welcome, too.
/// @throws Error       as OpenDataset().
std::unique_ptr<Dataset> OpenData(const DataOptions& options, bool need_labels = true);

}  // namespace espalier::cli
