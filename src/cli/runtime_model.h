#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "cli/runtime_options.h"
#include "espalier/graph/graph.h"
#include "espalier/runtime/session.h"

namespace espalier::cli {

/// A network with the kernels that its file remembers.
struct RunnableModel {
  Graph graph;
  std::vector<KernelChoice> choices;
};

/// Reads .esp by its first bytes; anything else is taken for ONNX.
/// @throws Error  kBadFile, kUnsupported: those of the readers; kInvalidArgument for a file that
///                holds weights without a network (.safetensors, .npy).
RunnableModel ReadRunnable(const std::filesystem::path& path);

/// Fixes input dimensions that the model leaves open, as `--shape name=1x3x224x224` says.
/// @throws Error  kInvalidArgument for a text that cannot be read, an unknown input, or a shape
///                that contradicts the model.
void FixShapes(Graph& graph, const std::vector<std::string>& shapes);

/// ReadRunnable(), FixShapes() and a session. Errors name the file.
Session OpenSession(const std::filesystem::path& path, const PlanOptions& plan,
                    const CommonOptions& common, bool dense_only = false);

/// Inputs from "name=file.npy" texts; "file.npy" alone for a model with one input.
/// @throws Error  kInvalidArgument for a text without a name where there are several inputs, or a
///                name given twice or missing; kBadFile for a file that cannot be read.
std::map<std::string, Tensor> ReadInputs(const Session& session,
                                         const std::vector<std::string>& texts);

/// Runs a session for the first time, on inputs that the program made up.
/// @throws Error  As Session::Run(); the text names the inputs whose shape was guessed.
void FirstRun(Session& session, std::span<const InputTensor> inputs);

/// The same tensors as a session takes them. `tensors` has to outlive the result.
std::vector<InputTensor> Borrowed(const std::map<std::string, Tensor>& tensors);

/// Names of the outputs, in the model's order.
std::vector<std::string> OutputNames(const Session& session);

}  // namespace espalier::cli
