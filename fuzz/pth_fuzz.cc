#include <filesystem>
#include <vector>

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
}

// Tensors that can be read can be written: each may be as large as the file, a few stand for all.
void ReadAndRewrite(const InputFile& file, const PthHeader& header) {
  std::vector<std::vector<std::byte>> values;
  std::vector<PthChange> changes;
  for (std::size_t i = 0; i < header.entries.size() && i < 4; ++i) {
    const PthEntry& entry = header.entries[i];
    try {
      values.push_back(ReadPthTensor(file, entry));
    } catch (const Error& error) {
      Require(error.code() == ErrorCode::kBadFile);  // the checksum
      continue;
    }
    Require(values.back().size() * 8 ==
            static_cast<std::size_t>(ElementCount(entry.shape)) * DTypeBits(entry.dtype));
    changes.push_back({entry, values.back()});  // a moved vector keeps its bytes' place
  }
  AtomicFile output(std::filesystem::temp_directory_path() / "pth_fuzz.pth", Overwrite::kYes);
  RewritePth(file, output, changes);  // never committed: no file appears
}

void Fuzz(const MemoryFile& memory) {
  try {
    const InputFile file(memory.path());
    const PthHeader header = ReadPthHeader(file);
    Require(IsPth(file));
    CheckTensors(file, header);
    ReadAndRewrite(file, header);
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
