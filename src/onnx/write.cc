#include "onnx/write.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <exception>
#include <limits>
#include <optional>
#include <utility>

#include "espalier/base/error.h"
#include "io/text.h"
#include "onnx/external_data.h"
#include "onnx/model_walk.h"
#include "onnx/source.h"
#include "onnx/tensor_proto.h"

namespace espalier {
namespace internal {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kExternalBytes = 1024;  // as onnx.save_model's size_threshold
constexpr int kWriteBlock = 1 << 20;
constexpr std::uint64_t kTagBytes = 32;  // more than tags and lengths around one tensor's values

// Exceptions must not cross protobuf's code, so the first one is kept for the caller.
class FileStream final : public google::protobuf::io::CopyingOutputStream {
 public:
  explicit FileStream(AtomicFile* file) : file_(file) {}

  bool Write(const void* data, int size) override {
    try {
      file_->WriteAt(offset_,
                     {static_cast<const std::byte*>(data), static_cast<std::size_t>(size)});
    } catch (...) {
      error_ = std::current_exception();
      return false;
    }
    offset_ += static_cast<std::uint64_t>(size);
    return true;
  }

  void RethrowError() const {
    if (error_ != nullptr) std::rethrow_exception(error_);
  }

 private:
  AtomicFile* file_;
  std::uint64_t offset_ = 0;
  std::exception_ptr error_;
};

void WriteProto(const onnx::ModelProto& proto, AtomicFile* file) {
  FileStream stream(file);
  bool written = false;
  {
    google::protobuf::io::CopyingOutputStreamAdaptor adaptor(&stream, kWriteBlock);
    google::protobuf::io::CodedOutputStream coded(&adaptor);
    coded.SetSerializationDeterministic(true);
    written = proto.SerializeToCodedStream(&coded);
    coded.Trim();
    written = adaptor.Flush() && written;
  }
  stream.RethrowError();
  ESPALIER_CHECK(written);
}

void CheckGraph(const Graph& graph, const OnnxSource& source) {
  if (graph.constants.size() != source.constants.size()) {
    throw Error(ErrorCode::kInternal, fmt::format("the graph has {} constants, its source {}",
                                                  graph.constants.size(), source.constants.size()));
  }
  for (std::size_t i = 0; i < graph.constants.size(); ++i) {
    const Constant& constant = graph.constants[i];
    const OnnxSource::ConstantRecord& record = source.constants[i];
    if (constant.name != record.name || constant.scope != record.scope) {
      throw Error(ErrorCode::kInternal,
                  fmt::format("constant {} of the graph is {}, in its source {}", i,
                              Quote(constant.name), Quote(record.name)));
    }
    if (constant.modified && record.storage == Storage::kNone) {
      throw Error(ErrorCode::kInternal,
                  fmt::format("constant {} was modified, but its values were not read",
                              Quote(constant.name)));
    }
  }
}

// Size and type come from the place in the file, which keeps its dimensions.
void CheckTensor(const Constant& constant, const onnx::TensorProto& proto) {
  const Dims dims(proto.dims().begin(), proto.dims().end());
  if (constant.tensor.dims() == dims &&
      constant.tensor.dtype() == DTypeFromProto(proto.data_type()))
    return;
  throw Error(ErrorCode::kInternal,
              fmt::format("constant {} is {} {}, in its source {} {}", Quote(constant.name),
                          DTypeName(constant.tensor.dtype()), DimsText(constant.tensor.dims()),
                          DTypeName(DTypeFromProto(proto.data_type())), DimsText(dims)));
}

bool UsesExternalData(const OnnxSource& source) { return !source.external.empty(); }

// An upper bound for the file without external data.
std::uint64_t InlineBytes(const OnnxModel& model) {
  std::uint64_t bytes = model.source->proto->ByteSizeLong();
  for (std::size_t i = 0; i < model.graph.constants.size(); ++i) {
    if (!model.source->constants[i].detached) continue;
    bytes += model.graph.constants[i].tensor.bytes().size() + kTagBytes;
  }
  return bytes;
}

void StoreInline(std::span<const std::byte> bytes, onnx::TensorProto* proto) {
  ClearValues(proto);
  proto->set_raw_data(bytes.data(), bytes.size());
}

// `external` is null if everything goes into one file.
void StoreConstant(const Constant& constant, const OnnxSource::ConstantRecord& record,
                   const ConstantPlace& place, ExternalWriter* external) {
  if (record.storage == Storage::kNone) return;
  if (record.storage == Storage::kAttribute) {
    if (constant.modified) StoreScalarAttribute(constant.tensor, place.attribute);
    return;
  }
  CheckTensor(constant, *place.tensor);
  const std::span<const std::byte> bytes = constant.tensor.bytes();
  if (external != nullptr && bytes.size() >= kExternalBytes) {
    external->Add(bytes, place.tensor);
  } else if (record.storage == Storage::kExternal) {
    StoreInline(bytes, place.tensor);
  } else if (record.detached || constant.modified) {
    StoreTensor(constant.tensor, record.storage, place.tensor);
  }
}

void StoreConstants(const OnnxModel& model, onnx::ModelProto* proto, ExternalWriter* external) {
  // Found first: storing a constant may make its tensor external or internal.
  const std::vector<onnx::TensorProto*> others = ListExternalTensors(proto);
  ESPALIER_CHECK(others.size() == model.source->external.size());
  const std::vector<ConstantPlace> places = ListConstants(ListScopes(proto));
  for (std::size_t i = 0; i < places.size(); ++i) {
    StoreConstant(model.graph.constants[i], model.source->constants[i], places[i], external);
  }
  for (std::size_t i = 0; i < others.size(); ++i) {
    const SharedBytes& bytes = model.source->external[i];
    if (bytes == nullptr) continue;
    if (external != nullptr && bytes->size() >= kExternalBytes) {
      external->Add(*bytes, others[i]);
    } else {
      StoreInline(*bytes, others[i]);
    }
  }
}

bool SamePath(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::weakly_canonical(fs::absolute(a, error), error) ==
         fs::weakly_canonical(fs::absolute(b, error), error);
}

// Writing b.onnx must not replace the b.onnx.data that a.onnx, the input, still needs.
void CheckInputStaysWhole(const OnnxModel& model, const fs::path& path, const fs::path& written) {
  if (SamePath(path, model.source->path)) return;
  for (const fs::path& input : model.external_files) {
    if (!SamePath(written, input)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("writing {} would replace {}, which the input model {} needs; choose "
                            "another name",
                            Quote(path.native()), Quote(input.native()),
                            Quote(model.source->path.native())));
  }
}

}  // namespace

void WriteOnnxWithLimit(const OnnxModel& model, const fs::path& path, Overwrite overwrite,
                        std::uint64_t most_bytes) {
  ESPALIER_CHECK(model.source != nullptr);
  CheckGraph(model.graph, *model.source);
  ExternalWriter external(fs::path(path) += ".data");
  CheckInputStaysWhole(model, path, path);
  onnx::ModelProto proto = *model.source->proto;  // without the large values, see OnnxSource
  const bool split = UsesExternalData(*model.source) || InlineBytes(model) > most_bytes;
  StoreConstants(model, &proto, split ? &external : nullptr);
  const std::uint64_t bytes = proto.ByteSizeLong();
  if (bytes > most_bytes) {
    throw Error(ErrorCode::kWriteFailed,
                fmt::format("cannot write {}: the model has {} bytes without its tensors, one file "
                            "may have {}",
                            Quote(path.native()), bytes, most_bytes));
  }
  // The model last: whoever finds it finds its data, too.
  AtomicFile model_file(path, overwrite, bytes);
  std::optional<AtomicFile> data_file;
  if (!external.empty()) {
    CheckInputStaysWhole(model, path, external.path());
    data_file.emplace(external.Write(overwrite));
  }
  WriteProto(proto, &model_file);
  if (data_file) data_file->Commit();
  model_file.Commit();
}

}  // namespace internal

void WriteOnnx(const OnnxModel& model, const std::filesystem::path& path, Overwrite overwrite) {
  constexpr std::uint64_t kProtobufLimit = std::numeric_limits<int>::max();
  internal::WriteOnnxWithLimit(model, path, overwrite, kProtobufLimit);
}

}  // namespace espalier
