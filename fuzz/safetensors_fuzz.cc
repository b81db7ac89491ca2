#include "espalier/base/error.h"
#include "espalier/io/safetensors.h"
#include "fuzz/memory_file.h"

namespace espalier {
namespace {

// What callers rely on: the tensors lie in order, and each byte behind the header is in one of
// them.
void CheckHeader(const SafetensorsHeader& header, std::uint64_t file_size) {
  std::uint64_t at = header.data_begin;
  for (const SafetensorsEntry& entry : header.entries) {
    Require(entry.begin == at && entry.end >= at);
    Require(ElementCount(entry.shape) >= 0);
    const auto bits = static_cast<std::uint64_t>(DTypeBits(entry.dtype));
    const auto count = static_cast<std::uint64_t>(ElementCount(entry.shape));
    if (bits != 0) Require((entry.end - entry.begin) * 8 == count * bits);
    at = entry.end;
  }
  Require(at == file_size);
}

void Fuzz(const MemoryFile& memory) {
  try {
    const InputFile file(memory.path());
    CheckHeader(ReadSafetensorsHeader(file), file.size());
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile);
  }
  try {
    const SafetensorsIndex index = ReadSafetensorsIndex(memory.path());
    for (const std::string& shard : index.shards) {
      Require(!shard.empty() && shard.find('/') == std::string::npos && shard != "..");
    }
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const espalier::MemoryFile memory;
  memory.Set(data, size);
  espalier::Fuzz(memory);
  return 0;
}
