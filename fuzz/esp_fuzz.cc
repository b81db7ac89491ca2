// Reads any bytes as a compressed model, with and without its checksums: an Error or a graph that
// can be written and read again, never a crash. Run with -malloc_limit_mb=256 -max_len=8192.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "esp/read.h"
#include "espalier/base/error.h"
#include "espalier/esp/esp_file.h"
#include "fuzz/memory_file.h"

namespace espalier {
namespace {

bool SameBytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() && a.bytes().size() == b.bytes().size() &&
         (a.bytes().empty() ||
          std::memcmp(a.bytes().data(), b.bytes().data(), a.bytes().size()) == 0);
}

// What was read can be written, and comes back.
void CheckRoundTrip(const EspFile& file) {
  EspOptions options;
  options.metadata = file.metadata;
  options.hints = file.hints;
  std::vector<std::byte> bytes;
  try {
    bytes = WriteEspToBytes(file.graph, options, nullptr);
  } catch (const Error& error) {
    // The one reason: the constants compress better than they were, past the limit for readers.
    Require(error.code() == ErrorCode::kInvalidArgument);
    Require(std::string_view(error.what()).find("readers refuse") != std::string_view::npos);
    return;
  }
  const EspFile again = ReadEspFromBytes(bytes);
  Require(again.metadata == file.metadata && again.hints == file.hints);
  Require(again.graph.scopes.size() == file.graph.scopes.size());
  Require(again.graph.constants.size() == file.graph.constants.size());
  for (std::size_t i = 0; i < file.graph.constants.size(); ++i) {
    Require(SameBytes(again.graph.constants[i].tensor, file.graph.constants[i].tensor));
  }
  Require(WriteEspToBytes(again.graph, options, nullptr) == bytes);
}

// The same bytes with the sizes of the file and of its last section put right, so that mutations
// that insert or remove bytes get past them.
std::vector<std::byte> Mended(std::span<const std::byte> input) {
  std::vector<std::byte> bytes(input.begin(), input.end());
  internal::Header header;
  internal::SectionEntry last;
  constexpr std::size_t kLast = internal::kHeaderBytes + 3 * sizeof last;
  if (bytes.size() < kLast + sizeof last) return bytes;
  bytes.resize(internal::Aligned(bytes.size()));
  std::memcpy(&header, bytes.data(), sizeof header);
  std::memcpy(&last, bytes.data() + kLast, sizeof last);
  header.file_bytes = bytes.size();
  if (last.offset <= bytes.size()) last.bytes = bytes.size() - last.offset;
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + kLast, &last, sizeof last);
  return bytes;
}

void Fuzz(std::span<const std::byte> bytes, internal::Checks checks) {
  try {
    const EspFile file = internal::ParseEsp(internal::SourceOf(bytes), 1, checks);
    std::uint64_t dense_bytes = 0;
    for (const Constant& constant : file.graph.constants) {
      dense_bytes += constant.tensor.bytes().size();
    }
    Require(dense_bytes <= internal::MostDenseBytes(bytes.size()));
    if (dense_bytes < std::uint64_t{1} << 20) CheckRoundTrip(file);
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile || error.code() == ErrorCode::kUnsupported);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  espalier::Fuzz(bytes, espalier::internal::Checks::kAll);
  espalier::Fuzz(espalier::Mended(bytes), espalier::internal::Checks::kNoChecksums);
  return 0;
}
