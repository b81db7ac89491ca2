#include <fmt/format.h>

#include <algorithm>

#include "cli/json.h"
#include "cli/progress_bar.h"
#include "cli/runtime_model.h"
#include "cli/table.h"
#include "espalier/base/error.h"
#include "espalier/data/dataset.h"
#include "espalier/data/preprocess.h"
#include "espalier/data/score.h"

namespace espalier::cli {
namespace {

// The output that holds a number for each class.
std::string ClassOutput(const Session& session, const std::string& wanted) {
  std::vector<std::string> names = OutputNames(session);
  if (wanted.empty() && names.size() == 1) return names[0];
  if (std::ranges::find(names, wanted) != names.end()) return wanted;
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("{}; the model's outputs are {}: choose one with --output",
                          wanted.empty() ? "which output holds the classes?"
                                         : fmt::format("there is no output '{}'", wanted),
                          fmt::join(names, ", ")));
}

// What the output is, by the node that makes it.
ClassifierOutput KindOf(const Graph& graph, const std::string& output) {
  for (const Node& node : graph.scopes[0].nodes) {
    const bool makes = std::ranges::find(node.outputs, output) != node.outputs.end();
    if (makes && node.op_type == "Softmax") return ClassifierOutput::kProbabilities;
  }
  return ClassifierOutput::kLogits;
}

}  // namespace

int RunEval(const EvalCommandOptions& options, const CommonOptions& common,
            const Streams& streams) {
  const Preprocess preprocess = PreprocessFrom(options.data);
  const auto data = OpenData(options.data);
  RunnableModel model = ReadRunnable(options.model);
  FixShapes(model.graph, options.plan.shapes);
  SessionOptions session_options;
  session_options.threads = common.threads;
  session_options.tune = options.plan.tune == "on";
  session_options.choices = model.choices;
  Session session(model.graph, session_options);
  if (session.inputs().size() != 1) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the model has {} inputs; eval feeds models with one",
                            session.inputs().size()));
  }
  const ValueInfo& input = session.inputs()[0];
  const std::string output = ClassOutput(session, options.output);
  ClassificationScore score(KindOf(model.graph, output));

  const std::size_t count = options.limit == 0
                                ? data->size()
                                : std::min(data->size(), static_cast<std::size_t>(options.limit));
  const Dims shape =
      SampleShape(preprocess, input.dims.value_or(Dims{-1, -1, -1, -1}), data->Read(0));
  Dims batch = shape;
  batch.insert(batch.begin(), 1);
  std::vector<float> values(static_cast<std::size_t>(TensorByteCount(DType::kFloat32, shape) / 4));
  const Progress progress = MakeProgressBar(common, streams);
  for (std::size_t i = 0; i < count; ++i) {
    const Sample sample = data->Read(i);
    PreprocessSample(preprocess, sample, shape, values);
    const InputTensor fed{input.name, DType::kFloat32, batch, std::as_bytes(std::span(values))};
    for (const OutputTensor& result : session.Run({&fed, 1})) {
      if (result.name != output) continue;
      if (result.dtype != DType::kFloat32) {
        throw Error(ErrorCode::kUnsupported, fmt::format("output '{}' is {}, expected float32",
                                                         output, DTypeName(result.dtype)));
      }
      score.Add({reinterpret_cast<const float*>(result.bytes.data()), result.bytes.size() / 4},
                sample.label, sample.name);
    }
    if (progress) progress(i + 1, count);
  }
  ClearProgressBar(progress, streams);

  const auto share = [&](std::int64_t right) {
    return static_cast<double>(right) / static_cast<double>(score.samples());
  };
  if (common.json) {
    PrintJson({{"model", options.model},
               {"data", options.data.path},
               {"preprocess", PreprocessText(preprocess)},
               {"samples", score.samples()},
               {"top1", share(score.top1())},
               {"top5", share(score.top5())},
               {"loss", score.loss()}},
              streams);
  } else if (!common.quiet) {
    streams.out << Printable(data->Description()) << '\n'
                << "preprocessing: " << PreprocessText(preprocess) << '\n'
                << fmt::format("{} samples: top-1 {:.2f} %, top-5 {:.2f} %, loss {:.4f}\n",
                               score.samples(), 100 * share(score.top1()),
                               100 * share(score.top5()), score.loss());
  }
  return kDone;
}

}  // namespace espalier::cli
