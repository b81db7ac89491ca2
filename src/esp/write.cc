#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "esp/checksum.h"
#include "esp/constant_section.h"
#include "esp/encode.h"
#include "esp/graph_check.h"
#include "esp/graph_section.h"
#include "esp/layout.h"
#include "espalier/base/error.h"
#include "espalier/base/parallel.h"
#include "espalier/esp/esp_file.h"
#include "espalier/graph/layers.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::Aligned;
using internal::ByteWriter;
using internal::EncodedConstant;
using internal::SectionEntry;
using internal::ValueType;

// A file before it is written: all bytes up to section DATA, and the constants that make it up.
struct EspImage {
  std::vector<std::byte> head;
  std::vector<EncodedConstant> constants;
  std::uint64_t file_bytes = 0;
};

ValueType ValueTypeOf(EspValues values) {
  if (values == EspValues::kFloat16) return ValueType::kHalf;
  return values == EspValues::kBFloat16 ? ValueType::kBFloat16 : ValueType::kExact;
}

// Indices of the constants whose values may be rounded.
std::set<std::size_t> RoundedConstants(const Graph& graph, const EspOptions& options) {
  std::set<std::size_t> rounded;
  if (options.values == EspValues::kFloat32) return rounded;
  for (const Layer& layer : FindLayers(graph)) {
    if (layer.constant < 0) continue;
    const auto index = static_cast<std::size_t>(layer.constant);
    const Tensor& tensor = graph.constants[index].tensor;
    if (tensor.dtype() == DType::kFloat32 && tensor.dims().size() >= 2 &&
        tensor.elements() >= options.min_elements) {
      rounded.insert(index);
    }
  }
  return rounded;
}

std::vector<EncodedConstant> EncodeConstants(const Graph& graph, const EspOptions& options) {
  const std::set<std::size_t> rounded = RoundedConstants(graph, options);
  std::vector<EncodedConstant> encoded(graph.constants.size());
  ParallelFor(options.threads, encoded.size(), [&](std::size_t i) {
    const ValueType values = rounded.contains(i) ? ValueTypeOf(options.values) : ValueType::kExact;
    encoded[i] = internal::EncodeTensor(graph.constants[i].tensor, values);
  });
  return encoded;
}

std::vector<std::byte> MetaSection(const EspOptions& options) {
  ByteWriter out;
  out.Unsigned(options.metadata.size());
  for (const auto& [key, value] : options.metadata) {
    out.Text(key);
    out.Text(value);
  }
  out.Unsigned(options.hints.size());
  for (const KernelHint& hint : options.hints) {
    out.Text(hint.node);
    out.Text(hint.isa);
    out.Text(hint.kernel);
  }
  return out.Take();
}

std::vector<std::byte> GraphSection(const Graph& graph) {
  ByteWriter out;
  internal::WriteGraphSection(graph, &out);
  return out.Take();
}

std::vector<std::byte> ConstantsSection(const Graph& graph,
                                        const std::vector<EncodedConstant>& encoded) {
  ByteWriter out;
  out.Unsigned(encoded.size());
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    internal::WriteConstantEntry(graph.constants[i], encoded[i].packing, &out);
  }
  return out.Take();
}

void CheckDenseBytes(std::uint64_t dense_bytes, std::uint64_t file_bytes) {
  const std::uint64_t most = internal::MostDenseBytes(file_bytes);
  if (dense_bytes <= most) return;
  throw Error(ErrorCode::kInvalidArgument,
              fmt::format("constants of {} bytes would fit into a file of {}: readers refuse more "
                          "than {} as hostile",
                          dense_bytes, file_bytes, most));
}

EspImage BuildImage(const Graph& graph, const EspOptions& options) {
  const std::string problem = internal::GraphProblem(graph);
  if (!problem.empty()) throw Error(ErrorCode::kInvalidArgument, problem);
  EspImage image;
  image.constants = EncodeConstants(graph, options);
  const std::pair<std::uint32_t, std::vector<std::byte>> sections[] = {
      {internal::kMetaSection, MetaSection(options)},
      {internal::kGraphSection, GraphSection(graph)},
      {internal::kConstantsSection, ConstantsSection(graph, image.constants)}};
  std::vector<SectionEntry> table;
  std::uint64_t offset = internal::HeaderBlockBytes(std::size(sections) + 1);
  for (const auto& [kind, bytes] : sections) {
    table.push_back({kind, 1, offset, bytes.size(), internal::Checksum(bytes)});
    offset += Aligned(bytes.size());
  }
  std::uint64_t data_bytes = 0;
  std::uint64_t dense_bytes = 0;
  for (std::size_t i = 0; i < image.constants.size(); ++i) {
    data_bytes += Aligned(image.constants[i].payload_bytes);
    dense_bytes += graph.constants[i].tensor.bytes().size();
  }
  table.push_back({internal::kDataSection, 1, offset, data_bytes, 0});
  image.file_bytes = offset + data_bytes;
  CheckDenseBytes(dense_bytes, image.file_bytes);
  ByteWriter head;
  head.Raw(internal::HeaderBlock(image.file_bytes, dense_bytes, table));
  for (const auto& [kind, bytes] : sections) {
    head.Raw(bytes);
    head.PadTo(internal::kAlignment);
  }
  image.head = head.Take();
  return image;
}

// Calls write(offset, bytes) for all bytes of the file, in order.
template <typename WriteBytes>
void WriteImage(const Graph& graph, const EspImage& image, const WriteBytes& write) {
  constexpr std::byte kZeros[internal::kAlignment] = {};
  write(std::uint64_t{0}, std::span<const std::byte>(image.head));
  std::uint64_t offset = image.head.size();
  for (std::size_t i = 0; i < image.constants.size(); ++i) {
    const EncodedConstant& encoded = image.constants[i];
    if (encoded.payload_bytes == 0) continue;
    const bool borrowed = encoded.payload.empty();
    write(offset, borrowed ? graph.constants[i].tensor.bytes()
                           : std::span<const std::byte>(encoded.payload));
    const std::uint64_t end = offset + encoded.payload_bytes;
    offset = Aligned(end);
    if (offset > end) write(end, std::span(kZeros).first(offset - end));
  }
}

EspReport ReportOf(const Graph& graph, const EspImage& image) {
  EspReport report;
  report.file_bytes = image.file_bytes;
  for (std::size_t i = 0; i < image.constants.size(); ++i) {
    const EncodedConstant& encoded = image.constants[i];
    const Constant& constant = graph.constants[i];
    const std::uint64_t bytes = constant.tensor.bytes().size();
    const bool is_inline = encoded.packing.encoding == internal::Encoding::kInline;
    report.constants.push_back(
        {constant.name, constant.scope, internal::EncodingText(encoded.packing), bytes,
         is_inline ? bytes : encoded.payload_bytes, encoded.max_error, encoded.note});
  }
  return report;
}

}  // namespace

EspReport WriteEsp(const Graph& graph, const std::filesystem::path& path,
                   const EspOptions& options) {
  try {
    const EspImage image = BuildImage(graph, options);
    AtomicFile file(path, options.overwrite, image.file_bytes);
    WriteImage(graph, image, [&file](std::uint64_t offset, std::span<const std::byte> bytes) {
      file.WriteAt(offset, bytes);
    });
    file.Commit();
    return ReportOf(graph, image);
  } catch (Error& error) {
    error.AddContext(fmt::format("writing compressed model {}", internal::Quote(path.native())));
    throw;
  }
}

std::vector<std::byte> WriteEspToBytes(const Graph& graph, const EspOptions& options,
                                       EspReport* report) {
  const EspImage image = BuildImage(graph, options);
  std::vector<std::byte> bytes(image.file_bytes);
  WriteImage(graph, image, [&bytes](std::uint64_t offset, std::span<const std::byte> part) {
    std::ranges::copy(part, bytes.begin() + static_cast<std::ptrdiff_t>(offset));
  });
  if (report != nullptr) *report = ReportOf(graph, image);
  return bytes;
}

}  // namespace espalier
