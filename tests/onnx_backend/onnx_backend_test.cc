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
#include "tests/onnx_backend/interpreter.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDataFolder = "/usr/share/libonnx-testdata/data";
constexpr const char* kSets[] = {"node", "simple", "pytorch-converted", "pytorch-operator"};
constexpr int kSkipped = 77;

// As in onnx/backend/test/case/test_case.py.
constexpr double kRelative = 1e-3;
constexpr double kAbsolute = 1e-7;

enum class Verdict { kPassed, kRefused, kFailed };

struct TestResult {
  std::string name;
  std::string ops;  // operators of the model's nodes
  Verdict verdict = Verdict::kFailed;
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

bool Close(double got, double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got);
  if (std::isinf(want) || std::isinf(got)) return want == got;
  return std::abs(got - want) <= kAbsolute + kRelative * std::abs(want);
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
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!Close(a[i], b[i])) return fmt::format("element {} is {}, expected {}", i, a[i], b[i]);
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

// Every data set of a test that the runtime took. Empty if all agree.
std::string RunDataSets(const fs::path& folder, Interpreter* model) {
  bool any = false;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with("test_data_set")) continue;
    any = true;
    const std::vector<Tensor> want = ReadTensors(entry.path(), "output");
    const std::vector<Tensor> got = model->Run(ReadTensors(entry.path(), "input"));
    const std::string difference = CompareOutputs(got, want);
    if (!difference.empty()) return difference;
  }
  return any ? "" : "no data set";
}

// Null if the runtime says that it cannot run the model; any other trouble is a failure.
std::unique_ptr<Interpreter> Accept(const Graph& graph, TestResult* result) {
  try {
    return std::make_unique<Interpreter>(graph);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) throw;
    result->verdict = Verdict::kRefused;
    result->reason = error.what();
    return nullptr;
  }
}

TestResult RunTest(const fs::path& folder) {
  TestResult result{folder.filename().string(), "?", Verdict::kFailed, ""};
  try {
    const OnnxModel model = ReadOnnx(folder / "model.onnx");
    result.ops = OpsOf(model.graph);
    const std::unique_ptr<Interpreter> runner = Accept(model.graph, &result);
    if (runner == nullptr) return result;
    result.reason = RunDataSets(folder, runner.get());
    if (result.reason.empty()) result.verdict = Verdict::kPassed;
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
    fmt::print("{}: {} passed, {} refused, {} failed\n", name, CountOf(results, Verdict::kPassed),
               CountOf(results, Verdict::kRefused), set_failed);
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
