#include "onnx/write.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "io/text.h"
#include "onnx/external_data.h"
#include "onnx/graph_edits.h"
#include "onnx/model_walk.h"
#include "onnx/source.h"
#include "onnx/tensor_proto.h"

namespace espalier {
namespace internal {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kProtobufLimit = std::numeric_limits<int>::max();
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
  if (graph.constants.size() < source.constants.size()) {
    throw Error(ErrorCode::kInternal, fmt::format("the graph has {} constants, its source {}",
                                                  graph.constants.size(), source.constants.size()));
  }
  for (std::size_t i = 0; i < source.constants.size(); ++i) {
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
    if (i < model.source->constants.size() && !model.source->constants[i].detached) continue;
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

void StoreMetadata(const std::map<std::string, std::string>& metadata, onnx::ModelProto* proto) {
  std::set<std::string> there;
  auto* const entries = proto->mutable_metadata_props();
  for (int i = 0; i < entries->size();) {
    onnx::StringStringEntryProto& entry = *entries->Mutable(i);
    const auto found = metadata.find(entry.key());
    if (found == metadata.end()) {
      entries->DeleteSubrange(i, 1);
      continue;
    }
    // A name's second entry is nobody's: it stays as it is.
    const bool first = there.insert(entry.key()).second;
    if (first && entry.value() != found->second) entry.set_value(found->second);
    ++i;
  }
  for (const auto& [key, value] : metadata) {
    if (there.contains(key)) continue;
    onnx::StringStringEntryProto* const entry = entries->Add();
    entry->set_key(key);
    entry->set_value(value);
  }
}

bool SamePath(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::weakly_canonical(fs::absolute(a, error), error) ==
         fs::weakly_canonical(fs::absolute(b, error), error);
}

// Writing a model over weights.bin must not replace what a.onnx, the input, still needs.
void CheckInputStaysWhole(const OnnxModel& model, const fs::path& path) {
  if (SamePath(path, model.source->path)) return;
  for (const fs::path& input : model.external_files) {
    if (!SamePath(path, input)) continue;
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("writing {} would replace {}, which the input model {} needs; choose "
                            "another name",
                            Quote(path.native()), Quote(input.native()),
                            Quote(model.source->path.native())));
  }
}

// The file that an output takes the place of.
struct ReplacedModel {
  std::set<std::string> data;    // where its tensors are, relative to its folder
  bool has_other_names = false;  // hard links under which it lives on
};

// Whatever is no whole model needs no data, so nothing here is an error.
ReplacedModel ReadReplacedModel(const fs::path& path) {
  ReplacedModel replaced;
  std::error_code error;
  if (!fs::is_regular_file(path, error) || fs::file_size(path, error) > kProtobufLimit) return {};
  replaced.has_other_names = fs::hard_link_count(path, error) != 1;
  std::ifstream file(path, std::ios::binary);
  onnx::ModelProto proto;
  if (!proto.ParseFromIstream(&file)) return {};
  for (const onnx::TensorProto* tensor : ListExternalTensors(&proto)) {
    for (const onnx::StringStringEntryProto& entry : tensor->external_data()) {
      if (entry.key() != "location") continue;
      replaced.data.insert(fs::path(entry.value()).lexically_normal().native());
    }
  }
  return replaced;
}

constexpr std::string_view kDataEnd = ".data";

// The first of NAME.data, NAME.1.data, NAME.2.data, ... that neither exists nor is expected by the
// model that is replaced: until the new model has its name, the old one must not find other data.
fs::path FreshDataPath(const fs::path& model, const ReplacedModel& replaced) {
  fs::path path = fs::path(model) += kDataEnd;
  std::error_code error;
  for (int i = 1; fs::exists(fs::symlink_status(path, error)) ||
                  replaced.data.contains(path.filename().native());
       ++i) {
    path = fs::path(model) += fmt::format(".{}{}", i, kDataEnd);
  }
  return path;
}

// Whether FreshDataPath() could have made `name` for a model called `model`.
bool IsDataName(std::string_view name, std::string_view model) {
  if (!name.starts_with(model)) return false;
  name.remove_prefix(model.size());
  if (!name.ends_with(kDataEnd)) return false;
  name.remove_suffix(kDataEnd.size());
  return name.empty() || (name.size() > 1 && name[0] == '.' &&
                          name.find_first_not_of("0123456789", 1) == name.npos);
}

// Data files of our own naming that only the model replaced at `path` needed.
std::vector<fs::path> ListStaleData(const OnnxModel& model, const fs::path& path,
                                    const ReplacedModel& replaced) {
  std::vector<fs::path> stale;
  if (replaced.has_other_names) return stale;
  const bool replaces_input = SamePath(path, model.source->path);
  for (const std::string& name : replaced.data) {
    if (!IsDataName(name, path.filename().native())) continue;
    const fs::path data = path.parent_path() / name;
    std::error_code error;
    if (!fs::is_regular_file(fs::symlink_status(data, error))) continue;
    const bool is_input = std::any_of(model.external_files.begin(), model.external_files.end(),
                                      [&](const fs::path& file) { return SamePath(file, data); });
    if (replaces_input || !is_input) stale.push_back(data);
  }
  return stale;
}

// As AtomicFile does for a file that it replaces: private data stays private.
void HandOnMode(const fs::path& from, const fs::path& to) {
  std::error_code error;
  const fs::perms mode = fs::status(from, error).permissions();
  if (!error) fs::permissions(to, mode & fs::perms(0777), error);
  if (!error) return;
  throw Error(ErrorCode::kWriteFailed,
              fmt::format("cannot give {} the mode of {}: {}", Quote(to.native()),
                          Quote(from.native()), SystemReason(error.value())));
}

// The model's rename switches from old data to new: until then the old file, after it the new one
// has its data. Only then the old data goes; what cannot be removed does no harm.
void CommitWithData(AtomicFile* model_file, AtomicFile* data_file,
                    const std::vector<fs::path>& stale) {
  data_file->Commit();
  std::error_code ignored;
  try {
    if (!stale.empty()) HandOnMode(stale[0], data_file->path());
    model_file->Commit();
  } catch (...) {
    fs::remove(data_file->path(), ignored);
    throw;
  }
  for (const fs::path& path : stale) fs::remove(path, ignored);
}

}  // namespace

void WriteOnnxWithLimit(const OnnxModel& model, const fs::path& path, Overwrite overwrite,
                        std::uint64_t most_bytes) {
  ESPALIER_CHECK(model.source != nullptr);
  CheckGraph(model.graph, *model.source);
  CheckInputStaysWhole(model, path);
  const bool split = UsesExternalData(*model.source) || InlineBytes(model) > most_bytes;
  ReplacedModel replaced;
  fs::path data_path = fs::path(path) += kDataEnd;
  if (split && overwrite == Overwrite::kYes) {
    replaced = ReadReplacedModel(path);
    data_path = FreshDataPath(path, replaced);
  }
  ExternalWriter external(data_path);
  onnx::ModelProto proto = *model.source->proto;  // without the large values, see OnnxSource
  StoreConstants(model, &proto, split ? &external : nullptr);
  StoreEdits(model.graph, model.source->constants.size(), &proto, split ? &external : nullptr);
  StoreMetadata(model.graph.metadata, &proto);
  const std::uint64_t bytes = proto.ByteSizeLong();
  if (bytes > most_bytes) {
    throw Error(ErrorCode::kWriteFailed,
                fmt::format("cannot write {}: the model has {} bytes without its tensors, one file "
                            "may have {}",
                            Quote(path.native()), bytes, most_bytes));
  }
  AtomicFile model_file(path, overwrite, bytes);
  std::optional<AtomicFile> data_file;
  if (!external.empty()) data_file.emplace(external.Write(Overwrite::kNo));
  WriteProto(proto, &model_file);
  if (data_file) {
    CommitWithData(&model_file, &*data_file, ListStaleData(model, path, replaced));
  } else {
    model_file.Commit();
  }
}

}  // namespace internal

void WriteOnnx(const OnnxModel& model, const std::filesystem::path& path, Overwrite overwrite) {
  internal::WriteOnnxWithLimit(model, path, overwrite, internal::kProtobufLimit);
}

}  // namespace espalier
