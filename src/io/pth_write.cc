// Writing PyTorch files: a zip archive of stored entries with a pickle of protocol 2.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/io/pth.h"
#include "io/crc32.h"
#include "io/limits.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::kMostDimensions;
using internal::Quote;

// As PyTorch's own writer: so that storages can be used from a mapping of the file.
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kIn64 = 0xFFFFFFFF;  // a 32-bit field whose value the zip64 part has

struct TypeRow {
  DType dtype;
  std::string_view storage;  // empty: a storage of bytes and _rebuild_tensor_v3
  std::string_view name;
};

constexpr TypeRow kTypes[] = {
    {DType::kFloat32, "FloatStorage", ""},
    {DType::kFloat16, "HalfStorage", ""},
    {DType::kBFloat16, "BFloat16Storage", ""},
    {DType::kFloat64, "DoubleStorage", ""},
    {DType::kInt8, "CharStorage", ""},
    {DType::kUint8, "ByteStorage", ""},
    {DType::kInt16, "ShortStorage", ""},
    {DType::kInt32, "IntStorage", ""},
    {DType::kInt64, "LongStorage", ""},
    {DType::kBool, "BoolStorage", ""},
    {DType::kComplex64, "ComplexFloatStorage", ""},
    {DType::kComplex128, "ComplexDoubleStorage", ""},
    {DType::kUint16, "", "uint16"},
    {DType::kUint32, "", "uint32"},
    {DType::kUint64, "", "uint64"},
    {DType::kFloat8E4M3Fn, "", "float8_e4m3fn"},
    {DType::kFloat8E4M3Fnuz, "", "float8_e4m3fnuz"},
    {DType::kFloat8E5M2, "", "float8_e5m2"},
    {DType::kFloat8E5M2Fnuz, "", "float8_e5m2fnuz"},
    {DType::kFloat8E8M0, "", "float8_e8m0fnu"},
};

const TypeRow* FindType(DType dtype) {
  const auto* const row = std::ranges::find(kTypes, dtype, &TypeRow::dtype);
  return row == std::end(kTypes) ? nullptr : row;
}

void Check(const PthTensor& tensor) {
  if (FindType(tensor.dtype) == nullptr) {
    throw Error(ErrorCode::kUnsupported, fmt::format("tensor {}: PyTorch has no type {}",
                                                     Quote(tensor.name), DTypeName(tensor.dtype)));
  }
  if (tensor.shape.size() > kMostDimensions) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("tensor {}: {} dimensions; PyTorch has up to {}", Quote(tensor.name),
                            tensor.shape.size(), kMostDimensions));
  }
  const auto count = static_cast<std::uint64_t>(ElementCount(tensor.shape));
  const std::uint64_t element = DTypeBits(tensor.dtype) / 8;
  if (tensor.bytes.size() / element != count || tensor.bytes.size() % element != 0) {
    throw Error(ErrorCode::kShapeMismatch,
                fmt::format("tensor {}: {} bytes for the shape {} of {}", Quote(tensor.name),
                            tensor.bytes.size(), DimsText(tensor.shape), DTypeName(tensor.dtype)));
  }
}

void Append(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
}

// The pickle of an OrderedDict. Letters are the opcodes of protocol 2.
class Pickler {
 public:
  std::string Run(const std::vector<PthTensor>& tensors) {
    out_ = "\x80\x02";
    EmptyDict();
    out_ += '(';
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      Text(tensors[i].name);
      Tensor(tensors[i], fmt::to_string(i));
    }
    return std::move(out_) + "u.";
  }

 private:
  void Global(std::string_view module, std::string_view name) {
    out_ += fmt::format("c{}\n{}\n", module, name);
  }

  void EmptyDict() {
    Global("collections", "OrderedDict");
    out_ += ")R";
  }

  void Text(std::string_view text) {
    out_ += 'X';
    Append(out_, text.size(), 4);
    out_ += text;
  }

  void Whole(std::uint64_t value) {
    if (value < 1u << 31) {
      out_ += 'J';
      return Append(out_, value, 4);
    }
    out_ += "\x8a\x08";
    Append(out_, value, 8);
  }

  void Tuple(const Dims& values) {
    out_ += '(';
    for (const std::int64_t value : values) Whole(static_cast<std::uint64_t>(value));
    out_ += 't';
  }

  void Tensor(const PthTensor& tensor, const std::string& key) {
    const TypeRow& type = *FindType(tensor.dtype);
    const bool typed = !type.storage.empty();
    Global("torch._utils", typed ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
    out_ += "((";
    Text("storage");
    Global(typed ? "torch" : "torch.storage", typed ? type.storage : "UntypedStorage");
    Text(key);
    Text("cpu");
    Whole(typed ? static_cast<std::uint64_t>(ElementCount(tensor.shape)) : tensor.bytes.size());
    out_ += "tQ";
    Whole(0);
    Tuple(tensor.shape);
    Dims strides(tensor.shape.size(), 1);
    for (std::size_t d = strides.size(); d-- > 1;) {
      strides[d - 1] = strides[d] * std::max<std::int64_t>(tensor.shape[d], 1);
    }
    Tuple(strides);
    out_ += '\x89';  // requires_grad = False
    EmptyDict();     // hooks
    if (!typed) Global("torch", type.name);
    out_ += "tR";
  }

  std::string out_;
};

// An archive, entry by entry.
class ZipWriter {
 public:
  ZipWriter(const std::filesystem::path& path, Overwrite overwrite, std::uint64_t expected_bytes)
      : file_(path, overwrite, expected_bytes) {}

  void Add(const std::string& name, std::span<const std::byte> bytes) {
    const std::uint32_t crc = internal::Crc32(bytes);
    const std::uint64_t header_at = at_;
    const bool large = bytes.size() >= kIn64;
    std::string local = "PK\x03\x04";
    Common(local, large, crc, bytes.size());
    const std::uint64_t fixed = at_ + local.size() + 4 + name.size() + (large ? 20 : 0) + 4;
    const std::uint64_t padding = (kAlignment - fixed % kAlignment) % kAlignment;
    Append(local, name.size(), 2);
    Append(local, (large ? 20 : 0) + 4 + padding, 2);
    local += name;
    if (large) Extra64(local, {bytes.size(), bytes.size()});
    local += "FB";  // PyTorch's mark of an extra field that only pads
    Append(local, padding, 2);
    local.append(padding, 'Z');
    Write(std::as_bytes(std::span(local)));
    Write(bytes);

    const bool far = header_at >= kIn64;
    directory_ += "PK\x01\x02";
    Append(directory_, 0, 2);  // made on MS-DOS, as the local header has no more
    Common(directory_, large || far, crc, bytes.size());
    Append(directory_, name.size(), 2);
    std::vector<std::uint64_t> values;
    if (large) values = {bytes.size(), bytes.size()};
    if (far) values.push_back(header_at);
    Append(directory_, values.empty() ? 0 : 4 + 8 * values.size(), 2);
    directory_.append(2 + 2 + 2 + 4, '\0');  // comment, volume, attributes
    Append(directory_, std::min(header_at, kIn64), 4);
    directory_ += name;
    if (!values.empty()) Extra64(directory_, values);
    ++entries_;
  }

  void Finish() {
    const std::uint64_t directory_at = at_;
    Write(std::as_bytes(std::span(directory_)));
    const std::uint64_t end_at = at_;
    std::string end;
    if (entries_ >= 0xFFFF || end_at >= kIn64) {
      end += "PK\x06\x06";
      Append(end, 44, 8);
      Append(end, kVersion64, 2);
      Append(end, kVersion64, 2);
      Append(end, 0, 8);  // volumes
      Append(end, entries_, 8);
      Append(end, entries_, 8);
      Append(end, directory_.size(), 8);
      Append(end, directory_at, 8);
      end += "PK\x06\x07";
      Append(end, 0, 4);
      Append(end, end_at, 8);
      Append(end, 1, 4);
    }
    end += "PK\x05\x06";
    Append(end, 0, 4);
    Append(end, std::min<std::uint64_t>(entries_, 0xFFFF), 2);
    Append(end, std::min<std::uint64_t>(entries_, 0xFFFF), 2);
    Append(end, std::min<std::uint64_t>(directory_.size(), kIn64), 4);
    Append(end, std::min(directory_at, kIn64), 4);
    Append(end, 0, 2);
    Write(std::as_bytes(std::span(end)));
    file_.Commit();
  }

 private:
  static constexpr unsigned kVersion64 = 45;  // of the format, for zip64

  // From "version needed" to the sizes, as both headers have them. No time: equal tensors give
  // equal bytes; the date is 1980-01-01, the first there is.
  static void Common(std::string& out, bool zip64, std::uint32_t crc, std::uint64_t size) {
    Append(out, zip64 ? kVersion64 : 20, 2);
    Append(out, 1u << 11, 2);  // the name is UTF-8
    Append(out, 0, 2);         // stored
    Append(out, 0, 2);
    Append(out, 1u << 5 | 1, 2);
    Append(out, crc, 4);
    Append(out, std::min(size, kIn64), 4);
    Append(out, std::min(size, kIn64), 4);
  }

  static void Extra64(std::string& out, const std::vector<std::uint64_t>& values) {
    Append(out, 1, 2);
    Append(out, 8 * values.size(), 2);
    for (const std::uint64_t value : values) Append(out, value, 8);
  }

  void Write(std::span<const std::byte> bytes) {
    file_.WriteAt(at_, bytes);
    at_ += bytes.size();
  }

  AtomicFile file_;
  std::uint64_t at_ = 0;
  std::string directory_;
  std::uint64_t entries_ = 0;
};

}  // namespace

void WritePth(const std::filesystem::path& path, Overwrite overwrite,
              const std::vector<PthTensor>& tensors) {
  std::set<std::string_view> names;
  std::uint64_t expected = 0;
  for (const PthTensor& tensor : tensors) {
    Check(tensor);
    if (!names.insert(tensor.name).second) {
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("the name {} comes twice", Quote(tensor.name)));
    }
    expected += tensor.bytes.size();
  }
  const std::string pickle = Pickler().Run(tensors);
  ZipWriter zip(path, overwrite, expected + pickle.size());
  zip.Add("archive/data.pkl", std::as_bytes(std::span(pickle)));
  zip.Add("archive/byteorder", std::as_bytes(std::span(std::string_view("little"))));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    zip.Add(fmt::format("archive/data/{}", i), tensors[i].bytes);
  }
  zip.Add("archive/version", std::as_bytes(std::span(std::string_view("3\n"))));
  zip.Finish();
}

}  // namespace espalier
