#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <utility>

#include "cli/json.h"
#include "cli/model.h"
#include "cli/options.h"
#include "cli/permuting.h"
#include "cli/selection.h"
#include "cli/table.h"
#include "espalier/base/error.h"
#include "espalier/io/npy.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/pattern/registry.h"
#include "espalier/permute/permute_graph.h"
#include "espalier/permute/search.h"
#include "espalier/permute/tensor_order.h"

namespace espalier::cli {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

PermuteOptions SearchOptions(const PermuteCommandOptions& options, const CommonOptions& common) {
  PermuteOptions search;
  search.effort = ParseEffort(options.effort);
  search.seed = options.seed;
  search.threads = common.threads;
  return search;
}

std::vector<float> MagnitudesOf(const NpyArray& array) {
  std::vector<float> values(static_cast<std::size_t>(ElementCount(array.shape)));
  if (array.dtype == DType::kFloat32) {  // the usual type, without a wider copy
    std::memcpy(values.data(), array.bytes.data(), array.bytes.size());
  } else {
    const Tensor tensor(array.dtype, {ElementCount(array.shape)}, array.bytes, nullptr);
    std::ranges::copy(tensor.AsDoubles(), values.begin());
  }
  for (float& value : values) value = std::abs(value);
  return values;
}

// The matrix's input channels as columns; its output channels and kernel positions as rows.
std::vector<float> ScoresOf(const NpyArray& array, const Layer& layer, ScoreMatrix* matrix) {
  const WeightView& view = layer.view;
  matrix->cols = view.in.size;
  matrix->rows = view.Rows() * view.PositionCount();
  std::vector<float> values = MagnitudesOf(array);
  if (view.IsPacked()) return values;
  const std::vector<std::int64_t> positions = OffsetsAlong(view.positions);
  std::vector<float> scores;
  scores.reserve(values.size());
  for (std::int64_t out = 0; out < view.out.size; ++out) {
    for (const std::int64_t position : positions) {
      for (std::int64_t in = 0; in < view.in.size; ++in) {
        const std::int64_t at = out * view.out.stride + position + in * view.in.stride;
        scores.push_back(values[static_cast<std::size_t>(at)]);
      }
    }
  }
  return scores;
}

// Columns of the stored array in a new order.
NpyArray ReorderedArray(const NpyArray& array, const std::vector<std::uint32_t>& order) {
  // Fortran order is the reverse shape in C order.
  Dims shape = array.shape;
  int axis = 1;
  if (array.fortran_order) {
    shape.assign(array.shape.rbegin(), array.shape.rend());
    axis = static_cast<int>(shape.size()) - 2;
  }
  std::vector<std::byte> bytes = array.bytes;
  const Tensor moved = Reordered(Tensor(array.dtype, shape, std::move(bytes)),
                                 std::span<const int>(&axis, 1), order);
  NpyArray result = array;
  result.bytes.assign(moved.bytes().begin(), moved.bytes().end());
  return result;
}

int PermuteMatrix(const PermuteCommandOptions& options, const CommonOptions& common,
                  const Streams& streams) {
  const auto pattern = PatternRegistry::BuiltIn().Make(options.pattern);
  const NmGroup nm = NmOf(*pattern);
  NpyArray array = ReadNpy(options.model);
  const std::string name = std::filesystem::path(options.model).stem().string();
  const MatrixWeights weights(name, array.dtype, array.shape, array.fortran_order, &array.bytes);
  ScoreMatrix matrix;
  const std::vector<float> scores = ScoresOf(array, weights.layers()[0], &matrix);
  matrix.scores = scores;
  const Clock::time_point begin = Clock::now();
  const PermuteResult found = SearchPermutation(matrix, nm, SearchOptions(options, common));
  const double seconds = SecondsSince(begin);
  if (!options.output.empty()) {
    WriteNpy(options.output, options.force ? Overwrite::kYes : Overwrite::kNo,
             ReorderedArray(array, found.order));
  }
  if (common.json) {
    PrintJson({{"order", found.order},
               {"kept_before", found.kept_before},
               {"kept_after", found.kept_after},
               {"efficacy", found.Efficacy()},
               {"seconds", seconds}},
              streams);
  } else if (!common.quiet) {
    streams.out << fmt::format(
        "{}: {} rows, {} columns, {}\n"
        "kept {} as it is, {} reordered, at most {}: {} of the way, {:.2f} s\n",
        Printable(options.model), matrix.rows, matrix.cols, pattern->Name(),
        PercentText(found.kept_before), PercentText(found.kept_after),
        PercentText(found.kept_bound), PercentText(found.Efficacy()), seconds);
  }
  return kDone;
}

int UndoModel(const PermuteCommandOptions& options, const CommonOptions& common,
              const Streams& streams) {
  const auto model = OpenModel(options.model);
  if (model->graph() == nullptr) {
    throw Error(ErrorCode::kInvalidArgument, "--undo needs an ONNX model, which holds the note");
  }
  model->OpenOutput(options.output, options.force ? Overwrite::kYes : Overwrite::kNo);
  const std::size_t tensors = UndoPermutations(*model->graph());
  model->Commit();
  if (common.json) {
    PrintJson({{"undone", tensors}}, streams);
  } else if (!common.quiet) {
    streams.out << fmt::format("{}: {} tensors back in their old order\n",
                               Printable(options.output), tensors);
  }
  return kDone;
}

int PermuteNetwork(const PermuteCommandOptions& options, const CommonOptions& common,
                   const Streams& streams) {
  const auto pattern = PatternRegistry::BuiltIn().Make(options.pattern);
  PermuteGraphOptions permute;
  permute.search = SearchOptions(options, common);
  permute.selection = ParseSelection(options.selection);
  if (options.weight == "macs") permute.weighting = LayerWeighting::kMacs;
  const auto model = OpenModel(options.model);
  const Alignment alignment = ParseAlignment(options.selection, *pattern, *model);
  model->OpenOutput(options.output, options.force ? Overwrite::kYes : Overwrite::kNo);
  const PermutedModel permuted = PermuteModel(*model, *pattern, alignment, std::move(permute),
                                              options.no_check, options.shapes, common, streams);
  const PermuteReport& report = permuted.report;
  model->Commit();
  PrintWarnings(report.warnings, common, streams);
  if (common.json) {
    PrintJson({{"model", options.model},
               {"output", options.output},
               {"pattern", options.pattern},
               {"groups", ToJson(report)},
               {"tensors", report.tensors},
               {"difference", permuted.difference ? Json(*permuted.difference) : Json(nullptr)},
               {"seconds", permuted.seconds},
               {"warnings", report.warnings}},
              streams);
  } else if (!common.quiet) {
    streams.out << PermuteText(report, pattern->Name());
    if (permuted.difference) {
      streams.out << fmt::format(
          "on random inputs outputs differ by {:.1g} of their largest value\n",
          *permuted.difference);
    }
  }
  return kDone;
}

void CheckWords(const PermuteCommandOptions& options, bool matrix) {
  const auto fail = [](const char* text) { throw Error(ErrorCode::kInvalidArgument, text); };
  if (options.undo && !options.pattern.empty()) fail("--undo takes no --pattern");
  if (!options.undo && options.pattern.empty()) fail("--pattern is required, as --pattern 2:4");
  if (options.output.empty() && !matrix) fail("-o is required: where does the model go?");
  if (!options.output.empty()) CheckOutputName(options.model, options.output);
}

}  // namespace

int RunPermute(const PermuteCommandOptions& options, const CommonOptions& common,
               const Streams& streams) {
  const bool matrix = std::filesystem::path(options.model).extension() == ".npy";
  CheckWords(options, matrix && !options.undo);
  if (options.undo) return UndoModel(options, common, streams);
  return matrix ? PermuteMatrix(options, common, streams)
                : PermuteNetwork(options, common, streams);
}

}  // namespace espalier::cli
