// The texts that a user gives with data. First byte: 0 a labels CSV, 1 to 7 a field of the
// preprocessing. An Error, or a value that can be printed and used.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/image_labels.h"
#include "data/labels_csv.h"
#include "espalier/base/error.h"
#include "espalier/data/preprocess.h"
#include "fuzz/memory_file.h"

namespace espalier {
namespace {

void FuzzCsv(std::string_view text) {
  try {
    std::vector<std::string> paths;
    for (const internal::LabelRow& row : internal::ParseLabelsCsv(text)) {
      Require(!row.file.empty() && !row.label.empty() && row.line >= 2);
      paths.push_back(row.file);
    }
    const internal::LabelledFiles found = internal::LabelsFromCsv(paths, text, {});
    Require(found.files.size() == paths.size() && found.labels.size() == paths.size());
    for (const std::int64_t label : found.labels) Require(label >= 0);
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile);
  }
}

void FuzzField(std::string_view field, std::string_view text) {
  Preprocess preprocess = FindPreprocess("imagenet");
  try {
    OverridePreprocess(preprocess, field, text);
    Require(!PreprocessText(preprocess).empty());
    Sample sample{"a", 0, Image{3, 2, 1, {1, 2, 3, 4, 5, 6}}, {}};
    const int side = preprocess.resize.width;
    if (side > 64 || preprocess.resize.shorter > 64) return;  // allowed, but slow
    const Dims shape = SampleShape(preprocess, Dims{1, -1, -1, -1}, sample);
    std::vector<float> out(static_cast<std::size_t>(ElementCount(shape)));
    PreprocessSample(preprocess, sample, shape, out);
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kInvalidArgument ||
            error.code() == ErrorCode::kShapeMismatch);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<std::string_view, 7> kFields = {"resize", "filter", "channels", "scale",
                                                       "mean",   "std",    "layout"};
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 0) {
    espalier::FuzzCsv(text);
  } else {
    espalier::FuzzField(kFields[(data[0] - 1u) % kFields.size()], text);
  }
  return 0;
}
