#include "cli/runtime_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "espalier/base/error.h"
#include "espalier/esp/esp_file.h"
#include "espalier/io/npy.h"
#include "espalier/onnx/onnx_file.h"

namespace espalier::cli {
namespace {

Dims ParseShape(const std::string& option, std::string_view text) {
  Dims dims;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (true) {
    std::int64_t dim = 0;
    const auto [stop, status] = std::from_chars(at, end, dim);
    if (status != std::errc() || dim < 0 || (stop != end && *stop != 'x')) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("--shape '{}': expected name=1x3x224x224", option));
    }
    dims.push_back(dim);
    if (stop == end) return dims;
    at = stop + 1;
  }
}

bool Agrees(const std::optional<Dims>& declared, const Dims& dims) {
  if (!declared) return true;
  if (declared->size() != dims.size()) return false;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if ((*declared)[i] >= 0 && (*declared)[i] != dims[i]) return false;
  }
  return true;
}

// "float32 [?, 3, 227, 227]".
std::string DeclaredText(const ValueInfo& value) {
  std::string text(DTypeName(value.dtype));
  if (!value.dims) return text;
  std::vector<std::string> dims;
  for (const std::int64_t dim : *value.dims) dims.push_back(dim < 0 ? "?" : fmt::to_string(dim));
  return fmt::format("{} [{}]", text, fmt::join(dims, ", "));
}

// NumPy's order of bytes is the tensor's, except for arrays stored column by column.
Tensor TensorFromNpy(const std::filesystem::path& path) {
  NpyArray array = ReadNpy(path);
  if (array.fortran_order && array.shape.size() > 1) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("'{}' is stored column by column; save it with "
                            "numpy.ascontiguousarray()",
                            path.string()));
  }
  return Tensor(array.dtype, array.shape, std::move(array.bytes));
}

}  // namespace

RunnableModel ReadRunnable(const std::filesystem::path& path) {
  RunnableModel model;
  if (LooksLikeEsp(path)) {
    EspFile file = ReadEsp(path);
    model.graph = std::move(file.graph);
    for (KernelHint& hint : file.hints) {
      model.choices.push_back({std::move(hint.node), std::move(hint.isa), std::move(hint.kernel)});
    }
    return model;
  }
  const std::filesystem::path extension = path.extension();
  if (extension == ".safetensors" || extension == ".npy" || extension == ".json" ||
      extension == ".pth" || extension == ".pt") {
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("'{}' holds weights without a network; give an .onnx or .esp file",
                            path.string()));
  }
  model.graph = ReadOnnx(path).graph;
  return model;
}

void FixShapes(Graph& graph, const std::vector<std::string>& shapes) {
  for (const std::string& text : shapes) {
    const std::size_t equals = text.rfind('=');
    if (equals == std::string::npos) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("--shape '{}': expected name=1x3x224x224", text));
    }
    const std::string name = text.substr(0, equals);
    const Dims dims = ParseShape(text, std::string_view(text).substr(equals + 1));
    bool found = false;
    for (ValueInfo& input : graph.scopes.at(0).inputs) {
      if (input.name != name) continue;
      if (!Agrees(input.dims, dims)) {
        throw Error(ErrorCode::kInvalidArgument,
                    fmt::format("--shape '{}': the model declares {}", text, DeclaredText(input)));
      }
      input.dims = dims;
      found = true;
    }
    if (!found) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("--shape '{}': the model has no input '{}'", text, name));
    }
  }
}

Session OpenSession(const std::filesystem::path& path, const PlanOptions& plan,
                    const CommonOptions& common, bool dense_only) {
  RunnableModel model = ReadRunnable(path);
  SessionOptions options;
  options.threads = common.threads;
  options.tune = plan.tune == "on";
  options.dense_only = dense_only;
  options.choices = std::move(model.choices);
  try {
    FixShapes(model.graph, plan.shapes);
    return Session(std::move(model.graph), options);
  } catch (Error& error) {
    error.AddContext(fmt::format("preparing '{}'", path.string()));
    throw;
  }
}

std::map<std::string, Tensor> ReadInputs(const Session& session,
                                         const std::vector<std::string>& texts) {
  std::map<std::string, Tensor> inputs;
  for (const std::string& text : texts) {
    // A name may hold a '=', a file's path seldom does: the last one divides.
    const std::size_t equals = text.rfind('=');
    std::string name;
    if (equals != std::string::npos) {
      name = text.substr(0, equals);
    } else if (session.inputs().size() == 1) {
      name = session.inputs()[0].name;
    } else {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("--input '{}': the model has {} inputs, say which: name=file.npy",
                              text, session.inputs().size()));
    }
    const std::string file = equals == std::string::npos ? text : text.substr(equals + 1);
    if (!inputs.emplace(name, TensorFromNpy(file)).second) {
      throw Error(ErrorCode::kInvalidArgument, fmt::format("input '{}' is given twice", name));
    }
  }
  const auto declared = session.inputs();
  for (const auto& [name, tensor] : inputs) {
    const auto is_it = [&name = name](const ValueInfo& input) { return input.name == name; };
    if (std::ranges::none_of(declared, is_it)) return inputs;  // which the session will refuse
  }
  for (const ValueInfo& input : declared) {
    if (inputs.contains(input.name)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("input '{0}' is missing; it is {1}: --input {0}=FILE.npy", input.name,
                            DeclaredText(input)));
  }
  return inputs;
}

void FirstRun(Session& session, std::span<const InputTensor> inputs) {
  try {
    session.Run(inputs);
  } catch (Error& error) {
    for (const ValueInfo& input : session.inputs()) {
      if (input.dims && std::ranges::none_of(*input.dims, [](auto dim) { return dim < 0; }))
        continue;
      error.AddContext(
          fmt::format("taking 1 for what the model leaves open in input '{}' {}; give "
                      "its shape with --shape",
                      input.name, DeclaredText(input)));
    }
    throw;
  }
}

std::vector<InputTensor> Borrowed(const std::map<std::string, Tensor>& tensors) {
  std::vector<InputTensor> inputs;
  for (const auto& [name, tensor] : tensors) {
    inputs.push_back({name, tensor.dtype(), tensor.dims(), tensor.bytes()});
  }
  return inputs;
}

std::vector<std::string> OutputNames(const Session& session) {
  std::vector<std::string> names;
  for (const ValueInfo& output : session.outputs()) names.push_back(output.name);
  return names;
}

}  // namespace espalier::cli
