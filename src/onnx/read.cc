#include <fmt/format.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <limits>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/io/file.h"
#include "espalier/onnx/onnx_file.h"
#include "io/text.h"
#include "onnx/graph_from_proto.h"
#include "onnx/model_walk.h"
#include "onnx/source.h"

namespace espalier {
namespace {

using internal::Quote;

constexpr std::uint64_t kMostBytes = std::numeric_limits<int>::max();  // protobuf's own limit
constexpr int kReadBlock = 256 << 10;  // stays in L2; larger blocks read no faster
constexpr std::int64_t kOldestIrVersion = 3;

[[noreturn]] void RefuseFile(const std::string& problem, const char* file = __builtin_FILE(),
                             int line = __builtin_LINE()) {
  throw Error(ErrorCode::kBadFile, problem, file, line);
}

void CheckSize(std::uint64_t size) {
  if (size == 0) RefuseFile("the file is empty");
  if (size > kMostBytes) {
    RefuseFile(fmt::format(
        "the file has {} bytes and protobuf reads at most {}; save the model with external data "
        "(onnx.save_model(..., save_as_external_data=True))",
        size, kMostBytes));
  }
}

// `begin`: the first bytes of the file.
[[noreturn]] void RefuseNotProtobuf(std::string_view begin) {
  if (begin.starts_with("version https://git-lfs")) {
    RefuseFile("the file is a Git LFS pointer, not the model; run `git lfs pull`");
  }
  RefuseFile(
      "not an ONNX model: protobuf cannot parse it; the file is truncated or of another format");
}

bool UsesDefaultDomain(const std::vector<internal::ScopePlace>& scopes) {
  for (const internal::ScopePlace& scope : scopes) {
    if (scope.kind == Scope::Kind::kFunction) continue;  // has opsets of its own
    for (const onnx::NodeProto& node : scope.nodes()) {
      if (internal::IsDefaultDomain(node.domain())) return true;
    }
  }
  return false;
}

void CheckVersions(onnx::ModelProto* proto) {
  bool has_opset = false;
  for (const onnx::OperatorSetIdProto& opset : proto->opset_import()) {
    has_opset = has_opset || internal::IsDefaultDomain(opset.domain());
  }
  if (!has_opset && UsesDefaultDomain(internal::ListScopes(proto))) {
    RefuseFile(fmt::format(
        "no opset_import: the file (IR version {}) does not say which version of ONNX's operators "
        "it uses; run it through onnx.version_converter or re-export it",
        proto->ir_version()));
  }
  if (proto->ir_version() < kOldestIrVersion) {
    RefuseFile(fmt::format("IR version {}, the oldest that can be read is {}; re-export the model",
                           proto->ir_version(), kOldestIrVersion));
  }
}

OnnxModel BuildModel(std::shared_ptr<onnx::ModelProto> proto, std::filesystem::path path,
                     internal::ExternalReader* external) {
  if (!proto->has_graph()) RefuseFile("not an ONNX model: it has no graph");
  CheckVersions(proto.get());
  OnnxModel model;
  auto source = std::make_shared<OnnxSource>();
  source->proto = std::move(proto);
  source->path = std::move(path);
  model.graph = internal::GraphFromProto(source.get(), external);
  if (external != nullptr) model.external_files = external->Files();
  model.source = std::move(source);
  return model;
}

std::shared_ptr<onnx::ModelProto> ParseFile(const InputFile& file) {
  auto proto = std::make_shared<onnx::ModelProto>();
  google::protobuf::io::FileInputStream stream(file.descriptor(), kReadBlock);
  const bool parsed = proto->ParseFromZeroCopyStream(&stream);
  if (stream.GetErrno() != 0) {
    RefuseFile(fmt::format("cannot read it: {}", internal::SystemReason(stream.GetErrno())));
  }
  if (!parsed) {
    std::string begin(std::min<std::uint64_t>(file.size(), 64), '\0');
    file.ReadAt(0, std::as_writable_bytes(std::span(begin)));
    RefuseNotProtobuf(begin);
  }
  return proto;
}

}  // namespace

OnnxModel ReadOnnx(const std::filesystem::path& path) {
  const InputFile file(path);
  try {
    CheckSize(file.size());
    internal::ExternalReader external(path);
    return BuildModel(ParseFile(file), path, &external);
  } catch (Error& error) {
    error.AddContext(fmt::format("reading model {}", Quote(path.native())));
    throw;
  }
}

OnnxModel ReadOnnxFromBytes(std::span<const std::byte> bytes) {
  CheckSize(bytes.size());
  auto proto = std::make_shared<onnx::ModelProto>();
  if (!proto->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    RefuseNotProtobuf(text);
  }
  return BuildModel(std::move(proto), {}, /*external=*/nullptr);
}

}  // namespace espalier
