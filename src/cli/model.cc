#include "cli/model.h"

#include <fmt/format.h>

#include "espalier/base/error.h"
#include "espalier/io/npy.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/prune/checkpoint.h"
#include "espalier/prune/pth_weights.h"

namespace espalier::cli {
namespace {

// Formats that are written at the end remember where to; opening the output once shows early
// whether it can be written at all.
class OutputPlace {
 public:
  void Open(const std::filesystem::path& path, Overwrite overwrite) {
    const AtomicFile probe(path, overwrite);
    path_ = path;
    overwrite_ = overwrite;
  }
  const std::filesystem::path& path() const { return path_; }
  Overwrite overwrite() const { return overwrite_; }

 private:
  std::filesystem::path path_;
  Overwrite overwrite_ = Overwrite::kNo;
};

class OnnxFileModel final : public Model {
 public:
  explicit OnnxFileModel(const std::filesystem::path& path)
      : model_(ReadOnnx(path)), weights_(model_.graph) {}

  WeightStore& weights() override { return weights_; }
  Graph* graph() override { return &model_.graph; }
  void OpenOutput(const std::filesystem::path& path, Overwrite overwrite) override {
    output_.Open(path, overwrite);
  }
  void Commit() override { WriteOnnx(model_, output_.path(), output_.overwrite()); }

 private:
  OnnxModel model_;
  GraphWeights weights_;
  OutputPlace output_;
};

class NpyModel final : public Model {
 public:
  explicit NpyModel(const std::filesystem::path& path)
      : array_(ReadNpy(path)),
        weights_(path.stem().string(), array_.dtype, array_.shape, array_.fortran_order,
                 &array_.bytes) {}

  WeightStore& weights() override { return weights_; }
  bool AlignsByDefault() const override { return false; }
  void OpenOutput(const std::filesystem::path& path, Overwrite overwrite) override {
    output_.Open(path, overwrite);
  }
  void Commit() override { WriteNpy(output_.path(), output_.overwrite(), array_); }

 private:
  NpyArray array_;
  MatrixWeights weights_;
  OutputPlace output_;
};

// Files of weights alone, which are copied with their changes.
template <typename Weights>
class CheckpointModel final : public Model {
 public:
  explicit CheckpointModel(const std::filesystem::path& path) : weights_(path) {}

  WeightStore& weights() override { return weights_; }
  void OpenOutput(const std::filesystem::path& path, Overwrite overwrite) override {
    weights_.OpenOutput(path, overwrite);
  }
  void Commit() override { weights_.Commit(); }

 private:
  Weights weights_;
};

bool IsPthName(const std::filesystem::path& path) {
  return path.extension() == ".pth" || path.extension() == ".pt";
}

}  // namespace

void CheckOutputName(const std::filesystem::path& input, const std::filesystem::path& output) {
  const bool to_folder = input.extension() == ".json";
  for (const char* known : {".onnx", ".npy", ".safetensors", ".json", ".pth", ".pt"}) {
    if (output.extension() != known || (!to_folder && output.extension() == input.extension())) {
      continue;
    }
    if (IsPthName(output) && IsPthName(input)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("output '{}' looks like another format than the input '{}'; {}",
                            output.string(), input.string(),
                            to_folder ? "an index needs a folder" : "the format stays the same"));
  }
}

std::unique_ptr<Model> OpenModel(const std::filesystem::path& path) {
  const std::filesystem::path extension = path.extension();
  if (extension == ".npy") return std::make_unique<NpyModel>(path);
  if (extension == ".safetensors" || extension == ".json") {
    return std::make_unique<CheckpointModel<CheckpointWeights>>(path);
  }
  if (IsPthName(path)) return std::make_unique<CheckpointModel<PthWeights>>(path);
  return std::make_unique<OnnxFileModel>(path);
}

}  // namespace espalier::cli
