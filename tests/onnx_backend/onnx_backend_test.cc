// Runs ONNX's own backend tests and judges the outputs as ONNX's runner does.
//
//     onnx_backend_test [FOLDER] [--list] [--only TEXT]
//
// FOLDER holds node/, simple/, pytorch-converted/, pytorch-operator/ with a folder a test.
// Status: 0 none failed, 1 some failed, 77 no data.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#include "espalier/onnx/tensor_file.h"
#include "espalier/runtime/session.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDataFolder = "/usr/share/libonnx-testdata/data";
constexpr const char* kSets[] = {"node", "simple", "pytorch-converted", "pytorch-operator"};
constexpr int kSkipped = 77;

// As in onnx/backend/test/case/test_case.py.
constexpr double kRelative = 1e-3;
constexpr double kAbsolute = 1e-7;
// One unit in the last place: the files have values cut off, not rounded.
constexpr double kRelativeBFloat16 = 1.0 / 128;

enum class Verdict { kPassed, kRefused, kFailed };

struct TestResult {
  std::string name;
  std::string ops;  // operators of the model's nodes
  Verdict verdict = Verdict::kFailed;
  bool late = false;  // refused, but only in the first run
  std::string reason;
};

std::string OpsOf(const Graph& graph) {
  std::vector<std::string> ops;
  for (const Node& node : graph.scopes.at(0).nodes) {
    if (std::find(ops.begin(), ops.end(), node.op_type) == ops.end()) ops.push_back(node.op_type);
  }
  return fmt::format("{}", fmt::join(ops, "+"));
}

// Files `<prefix>_<i>.pb` for i = 0, 1, ...
std::vector<Tensor> ReadTensors(const fs::path& folder, const std::string& prefix) {
  std::vector<Tensor> tensors;
  for (int i = 0;; ++i) {
    const fs::path path = folder / fmt::format("{}_{}.pb", prefix, i);
    if (!fs::exists(path)) return tensors;
    // A file without a byte stands for an optional input that is not given.
    tensors.push_back(fs::file_size(path) == 0 ? Tensor() : ReadTensorProto(path));
  }
}

bool Close(double got, double want, double relative) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got);
  if (std::isinf(want) || std::isinf(got)) return want == got;
  return std::abs(got - want) <= kAbsolute + relative * std::abs(want);
}

// Empty if they agree.
std::string Difference(const Tensor& got, const Tensor& want) {
  if (got.dtype() != want.dtype()) {
    return fmt::format("type {}, expected {}", DTypeName(got.dtype()), DTypeName(want.dtype()));
  }
  if (got.dims() != want.dims()) {
    return fmt::format("shape {}, expected {}", DimsText(got.dims()), DimsText(want.dims()));
  }
  if (!IsFloatDType(want.dtype())) {
    const bool same = std::equal(got.bytes().begin(), got.bytes().end(), want.bytes().begin());
    return same ? "" : "integers differ";
  }
  const std::vector<double> a = got.AsDoubles();
  const std::vector<double> b = want.AsDoubles();
  const double relative = want.dtype() == DType::kBFloat16 ? kRelativeBFloat16 : kRelative;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!Close(a[i], b[i], relative))
      return fmt::format("element {} is {}, expected {}", i, a[i], b[i]);
  }
  return "";
}

std::string CompareOutputs(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  if (got.size() < want.size()) {
    return fmt::format("{} outputs, expected {}", got.size(), want.size());
  }
  for (std::size_t i = 0; i < want.size(); ++i) {
    const std::string difference = Difference(got[i], want[i]);
    if (!difference.empty()) return fmt::format("output {}: {}", i, difference);
  }
  return "";
}

// The files have bfloat16 as uint16, since numpy has no such type; the model knows better.
Tensor AsDeclared(const Tensor& tensor, DType declared) {
  if (declared != DType::kBFloat16 || tensor.dtype() != DType::kUint16) return tensor;
  return {declared, tensor.dims(), {tensor.bytes().begin(), tensor.bytes().end()}};
}

struct DataSet {
  std::map<std::string, Tensor> inputs;
  std::vector<Tensor> outputs;
};

bool IsConstant(const Graph& graph, const std::string& name) {
  return std::any_of(graph.constants.begin(), graph.constants.end(),
                     [&](const Constant& c) { return c.scope == 0 && c.name == name; });
}

DataSet ReadDataSet(const fs::path& folder, const Graph& graph) {
  DataSet set;
  const std::vector<Tensor> inputs = ReadTensors(folder, "input");
  std::size_t next = 0;
  for (const ValueInfo& info : graph.scopes.at(0).inputs) {
    if (IsConstant(graph, info.name) || next >= inputs.size()) continue;
    set.inputs.emplace(info.name, AsDeclared(inputs[next++], info.dtype));
  }
  const std::vector<ValueInfo>& infos = graph.scopes[0].outputs;
  const std::vector<Tensor> outputs = ReadTensors(folder, "output");
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    set.outputs.push_back(
        AsDeclared(outputs[i], i < infos.size() ? infos[i].dtype : DType::kUnknown));
  }
  return set;
}

std::vector<DataSet> ReadDataSets(const fs::path& folder, const Graph& graph) {
  std::vector<DataSet> sets;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with("test_data_set")) continue;
    sets.push_back(ReadDataSet(entry.path(), graph));
  }
  return sets;
}

// Sequences and optionals, which are no tensors.
bool HasOtherValues(const Graph& graph) {
  const auto is_other = [](const ValueInfo& info) { return info.dtype == DType::kUnknown; };
  const Scope& scope = graph.scopes.at(0);
  return std::any_of(scope.inputs.begin(), scope.inputs.end(), is_other) ||
         std::any_of(scope.outputs.begin(), scope.outputs.end(), is_other);
}

// A few models declare other shapes than their own data has.
void FitDeclaredShapes(const std::vector<DataSet>& sets, Graph* graph) {
  for (ValueInfo& info : graph->scopes.at(0).inputs) {
    for (const DataSet& set : sets) {
      const auto it = set.inputs.find(info.name);
      if (it != set.inputs.end() && info.dims != it->second.dims()) info.dims.reset();
    }
  }
}

std::vector<Tensor> RunOnce(Session* session, const DataSet& set) {
  std::vector<InputTensor> inputs;
  for (const auto& [name, tensor] : set.inputs) {
    inputs.push_back({name, tensor.dtype(), tensor.dims(), tensor.bytes()});
  }
  std::vector<Tensor> outputs;
  for (const OutputTensor& output : session->Run(inputs)) outputs.push_back(output.ToTensor());
  return outputs;
}

// Every data set twice: the second run is in planned memory. Empty if all agree.
std::string RunDataSets(const std::vector<DataSet>& sets, Session* session, bool* began) {
  for (const DataSet& set : sets) {
    for (const char* run : {"first", "second"}) {
      const std::vector<Tensor> outputs = RunOnce(session, set);
      *began = true;
      const std::string difference = CompareOutputs(outputs, set.outputs);
      if (!difference.empty()) return fmt::format("{} run, {}", run, difference);
    }
  }
  return sets.empty() ? "no data set" : "";
}

// Refused is what ends with kUnsupported before the first result; any other trouble is a failure.
void Judge(const fs::path& folder, Graph graph, TestResult* result) {
  bool made = false, began = false;
  try {
    if (HasOtherValues(graph)) throw Error(ErrorCode::kUnsupported, "a sequence or an optional");
    const std::vector<DataSet> sets = ReadDataSets(folder, graph);
    FitDeclaredShapes(sets, &graph);
    SessionOptions options;
    options.threads = 2;
    Session session(std::move(graph), options);
    made = true;
    result->reason = RunDataSets(sets, &session, &began);
    if (result->reason.empty()) result->verdict = Verdict::kPassed;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported || began) throw;
    result->verdict = Verdict::kRefused;
    result->late = made;
    result->reason = error.what();
  }
}

TestResult RunTest(const fs::path& folder) {
  TestResult result{folder.filename().string(), "?", Verdict::kFailed, false, ""};
  try {
    OnnxModel model = ReadOnnx(folder / "model.onnx");
    result.ops = OpsOf(model.graph);
    Judge(folder, std::move(model.graph), &result);
  } catch (const std::exception& error) {
    result.reason = error.what();
  }
  return result;
}

struct Settings {
  fs::path folder = kDataFolder;
  std::string only;
  bool list = false;
};

std::vector<TestResult> RunSet(const fs::path& set, const std::string& only) {
  std::vector<fs::path> folders;
  for (const fs::directory_entry& entry : fs::directory_iterator(set)) {
    if (fs::exists(entry.path() / "model.onnx") &&
        entry.path().filename().string().find(only) != std::string::npos) {
      folders.push_back(entry.path());
    }
  }
  std::sort(folders.begin(), folders.end());
  std::vector<TestResult> results;
  for (const fs::path& folder : folders) results.push_back(RunTest(folder));
  return results;
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

int CountOf(const std::vector<TestResult>& results, Verdict verdict) {
  return static_cast<int>(std::count_if(results.begin(), results.end(),
                                        [&](const TestResult& r) { return r.verdict == verdict; }));
}

void PrintRefused(const std::vector<TestResult>& results) {
  std::map<std::string, std::vector<const TestResult*>> by_op;
  for (const TestResult& result : results) {
    if (result.verdict == Verdict::kRefused) by_op[result.ops].push_back(&result);
  }
  for (const auto& [op, tests] : by_op) {
    fmt::print("  refused {:3}  {}: {}\n", tests.size(), op, FirstLine(tests.front()->reason));
  }
}

int Main(const Settings& settings) {
  int failed = 0;
  bool any = false;
  for (const char* name : kSets) {
    if (!fs::is_directory(settings.folder / name)) continue;
    any = true;
    const std::vector<TestResult> results = RunSet(settings.folder / name, settings.only);
    const int set_failed = CountOf(results, Verdict::kFailed);
    const auto late = std::count_if(results.begin(), results.end(),
                                    [](const TestResult& result) { return result.late; });
    fmt::print("{}: {} passed, {} refused ({} of them as they ran), {} failed\n", name,
               CountOf(results, Verdict::kPassed), CountOf(results, Verdict::kRefused), late,
               set_failed);
    for (const TestResult& result : results) {
      if (result.verdict != Verdict::kFailed) continue;
      fmt::print("  FAILED {} ({}): {}\n", result.name, result.ops, FirstLine(result.reason));
    }
    if (settings.list) PrintRefused(results);
    failed += set_failed;
  }
  if (!any) {
    fmt::print("SKIPPED: no ONNX backend tests in {}; install libonnx-testdata\n",
               settings.folder.native());
    return kSkipped;
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
  espalier::Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--list") {
      settings.list = true;
    } else if (argument == "--only" && i + 1 < argc) {
      settings.only = argv[++i];
    } else {
      settings.folder = argument;
    }
  }
  return espalier::Main(settings);
}
