#include <string>

#include "espalier/base/error.h"
#include "espalier/io/pth.h"
#include "fuzz/memory_file.h"

namespace espalier {
namespace {

// What callers rely on: each tensor lies in the file and has the bytes that its shape needs, no
// more than the file's own; names and values do not outgrow it.
void CheckTensors(const InputFile& file, const PthHeader& header) {
  for (const PthEntry& entry : header.entries) {
    Require(entry.begin <= entry.end && entry.end <= file.size());
    Require(entry.strides.size() == entry.shape.size());
    Require(DTypeBits(entry.dtype) >= 8);
    const auto bytes = static_cast<std::uint64_t>(ElementCount(entry.shape)) *
                       static_cast<std::uint64_t>(DTypeBits(entry.dtype)) / 8;
    Require(bytes <= file.size());
    if (entry.IsContiguous()) Require(entry.end - entry.begin == bytes);
  }
  // Each tensor may be as large as the file: a few stand for all.
  for (std::size_t i = 0; i < header.entries.size() && i < 8; ++i) {
    try {
      const std::size_t bytes = ReadPthTensor(file, header.entries[i]).size();
      Require(bytes * 8 == static_cast<std::size_t>(ElementCount(header.entries[i].shape)) *
                               DTypeBits(header.entries[i].dtype));
    } catch (const Error& error) {
      Require(error.code() == ErrorCode::kBadFile);  // the checksum
    }
  }
}

void Fuzz(const MemoryFile& memory) {
  try {
    const InputFile file(memory.path());
    const PthHeader header = ReadPthHeader(file);
    Require(IsPth(file));
    CheckTensors(file, header);
    Require(!StateDictOf(header).empty());
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile || error.code() == ErrorCode::kUnsupported ||
            error.code() == ErrorCode::kInvalidArgument);
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
