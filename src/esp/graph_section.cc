#include "esp/graph_section.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "espalier/base/error.h"
#include "io/limits.h"

namespace espalier::internal {
namespace {

// The file holds these numbers: types may be added at the end, never moved.
static_assert(static_cast<int>(DType::kFloat32) == 1 && static_cast<int>(DType::kUint64) == 12 &&
              static_cast<int>(DType::kFloat8E8M0) == 20 && static_cast<int>(DType::kString) == 24);
constexpr std::uint8_t kLastDType = static_cast<std::uint8_t>(DType::kString);

static_assert(std::variant_size_v<Attribute> == 8 &&
              std::is_same_v<std::variant_alternative_t<7, Attribute>, Tensor> &&
              std::is_same_v<std::variant_alternative_t<3, Attribute>, std::string>);

void Write(const std::vector<std::string>& texts, ByteWriter* out) {
  out->Unsigned(texts.size());
  for (const std::string& text : texts) out->Text(text);
}

struct AttributeWriter {
  ByteWriter* out;
  void operator()(std::monostate) const {}
  void operator()(std::int64_t value) const { out->Signed(value); }
  void operator()(float value) const { out->Fixed(value); }
  void operator()(const std::string& text) const { out->Text(text); }
  void operator()(const std::vector<std::int64_t>& values) const {
    out->Unsigned(values.size());
    for (const std::int64_t value : values) out->Signed(value);
  }
  void operator()(const std::vector<float>& values) const {
    out->Unsigned(values.size());
    out->Raw(std::as_bytes(std::span(values)));
  }
  void operator()(const std::vector<std::string>& texts) const { Write(texts, out); }
  void operator()(const Tensor& tensor) const {
    WriteTensorType(tensor.dtype(), tensor.dims(), out);
    out->Raw(tensor.bytes());
  }
};

void WriteNode(const Node& node, ByteWriter* out) {
  out->Text(node.name);
  out->Text(node.op_type);
  out->Text(node.domain);
  Write(node.inputs, out);
  Write(node.outputs, out);
  out->Unsigned(node.attributes.size());
  for (const auto& [name, attribute] : node.attributes) {
    out->Text(name);
    out->Fixed(static_cast<std::uint8_t>(attribute.index()));
    std::visit(AttributeWriter{out}, attribute);
  }
  out->Unsigned(node.subgraphs.size());
  for (const auto& [name, scope] : node.subgraphs) {
    out->Text(name);
    out->Signed(scope);
  }
}

void WriteValues(const std::vector<ValueInfo>& values, ByteWriter* out) {
  out->Unsigned(values.size());
  for (const ValueInfo& value : values) {
    out->Text(value.name);
    out->Fixed(static_cast<std::uint8_t>(value.dtype));
    out->Unsigned(value.dims ? value.dims->size() + 1 : 0);  // 0: rank unknown
    if (!value.dims) continue;
    for (const std::int64_t dim : *value.dims) out->Signed(dim);
  }
}

DType ReadDType(ByteReader* in) {
  const auto number = in->Fixed<std::uint8_t>();
  if (number > kLastDType) in->Fail(fmt::format("unknown element type {}", number));
  return static_cast<DType>(number);
}

std::vector<std::string> ReadTexts(ByteReader* in) {
  std::vector<std::string> texts(in->Count(1, "texts"));
  for (std::string& text : texts) text = in->Text();
  return texts;
}

std::vector<std::int64_t> ReadInts(ByteReader* in) {
  std::vector<std::int64_t> values(in->Count(1, "integers"));
  for (std::int64_t& value : values) value = in->Signed();
  return values;
}

std::vector<float> ReadFloats(ByteReader* in) {
  std::vector<float> values(in->Count(sizeof(float), "floats"));
  const std::span<const std::byte> bytes = in->Raw(values.size() * sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

Tensor ReadTensorValue(ByteReader* in) {
  TensorType type = ReadTensorType(in);
  if (DTypeBits(type.dtype) == 0) return Tensor::WithoutBytes(type.dtype, std::move(type.dims));
  const std::uint64_t size = TensorByteCount(type.dtype, type.dims);
  if (size > in->left())
    in->Fail(fmt::format("a tensor of {} bytes, {} are left", size, in->left()));
  const std::span<const std::byte> bytes = in->Raw(static_cast<std::size_t>(size));
  return Tensor(type.dtype, std::move(type.dims),
                std::vector<std::byte>(bytes.begin(), bytes.end()));
}

Attribute ReadAttributeValue(ByteReader* in) {
  const auto kind = in->Fixed<std::uint8_t>();
  switch (kind) {
    case 0:
      return std::monostate{};
    case 1:
      return in->Signed();
    case 2:
      return in->Fixed<float>();
    case 3:
      return in->Text();
    case 4:
      return ReadInts(in);
    case 5:
      return ReadFloats(in);
    case 6:
      return ReadTexts(in);
    case 7:
      return ReadTensorValue(in);
    default:
      in->Fail(fmt::format("unknown kind of attribute {}", kind));
  }
}

int ReadInt(ByteReader* in) {
  const std::int64_t value = in->Signed();
  if (value < std::numeric_limits<int>::min() || value > std::numeric_limits<int>::max()) {
    in->Fail(fmt::format("index {} has more than 32 bits", value));
  }
  return static_cast<int>(value);
}

Node ReadNode(ByteReader* in) {
  Node node;
  node.name = in->Text();
  node.op_type = in->Text();
  node.domain = in->Text();
  node.inputs = ReadTexts(in);
  node.outputs = ReadTexts(in);
  for (std::size_t left = in->Count(2, "attributes"); left > 0; --left) {
    std::string name = in->Text();
    node.attributes.insert_or_assign(std::move(name), ReadAttributeValue(in));
  }
  for (std::size_t left = in->Count(2, "subgraphs"); left > 0; --left) {
    std::string name = in->Text();
    node.subgraphs.insert_or_assign(std::move(name), ReadInt(in));
  }
  return node;
}

std::vector<ValueInfo> ReadValues(ByteReader* in) {
  std::vector<ValueInfo> values(in->Count(3, "values"));
  for (ValueInfo& value : values) {
    value.name = in->Text();
    value.dtype = ReadDType(in);
    const std::uint64_t rank = in->UpTo(kMostDimensions + 1, "rank + 1");
    if (rank == 0) continue;
    value.dims.emplace(rank - 1);
    for (std::int64_t& dim : *value.dims) dim = in->Signed();
  }
  return values;
}

}  // namespace

void WriteTensorType(DType dtype, const Dims& dims, ByteWriter* out) {
  out->Fixed(static_cast<std::uint8_t>(dtype));
  out->Unsigned(dims.size());
  for (const std::int64_t dim : dims) out->Unsigned(static_cast<std::uint64_t>(dim));
}

TensorType ReadTensorType(ByteReader* in) {
  TensorType type;
  type.dtype = ReadDType(in);
  type.dims.resize(in->UpTo(kMostDimensions, "rank"));
  for (std::int64_t& dim : type.dims) {
    dim = static_cast<std::int64_t>(in->UpTo(std::uint64_t{1} << 62, "a dimension"));
  }
  try {
    TensorByteCount(type.dtype, type.dims);
  } catch (const Error&) {
    in->Fail(fmt::format("a tensor of shape {} has more than 2^62 bytes", DimsText(type.dims)));
  }
  return type;
}

void WriteGraphSection(const Graph& graph, ByteWriter* out) {
  out->Unsigned(graph.opsets.size());
  for (const auto& [domain, version] : graph.opsets) {
    out->Text(domain);
    out->Signed(version);
  }
  out->Unsigned(graph.scopes.size());
  for (const Scope& scope : graph.scopes) {
    out->Fixed(static_cast<std::uint8_t>(scope.kind));
    out->Signed(scope.parent);
    out->Text(scope.name);
    out->Unsigned(scope.nodes.size());
    for (const Node& node : scope.nodes) WriteNode(node, out);
    WriteValues(scope.inputs, out);
    WriteValues(scope.outputs, out);
    WriteValues(scope.values, out);
  }
}

void ReadGraphSection(ByteReader* in, Graph* graph) {
  for (std::size_t left = in->Count(2, "opsets"); left > 0; --left) {
    std::string domain = in->Text();
    graph->opsets.insert_or_assign(std::move(domain), in->Signed());
  }
  graph->scopes.resize(in->Count(7, "scopes"));
  for (Scope& scope : graph->scopes) {
    const auto kind = in->Fixed<std::uint8_t>();
    if (kind > static_cast<std::uint8_t>(Scope::Kind::kFunction)) {
      in->Fail(fmt::format("unknown kind of scope {}", kind));
    }
    scope.kind = static_cast<Scope::Kind>(kind);
    scope.parent = ReadInt(in);
    scope.name = in->Text();
    scope.nodes.resize(in->Count(7, "nodes"));
    for (Node& node : scope.nodes) node = ReadNode(in);
    scope.inputs = ReadValues(in);
    scope.outputs = ReadValues(in);
    scope.values = ReadValues(in);
  }
  in->ExpectEnd();
}

}  // namespace espalier::internal
