#include "espalier/onnx/tensor_file.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <memory>
#include <string>

#include "espalier/base/error.h"
#include "espalier/io/file.h"
#include "io/text.h"
#include "onnx/tensor_proto.h"

namespace espalier {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;

}  // namespace

Tensor ReadTensorProto(const std::filesystem::path& path) {
  try {
    auto proto = std::make_shared<onnx::TensorProto>();
    if (!proto->ParseFromString(ReadFile(path, kMostBytes))) {
      throw Error(ErrorCode::kBadFile, "not a TensorProto: protobuf cannot parse it");
    }
    const internal::TensorSource source{nullptr, proto, /*detach=*/false};
    return internal::ReadTensor(proto.get(), source).tensor;
  } catch (Error& error) {
    error.AddContext(fmt::format("reading tensor file {}", internal::Quote(path.native())));
    throw;
  }
}

}  // namespace espalier
