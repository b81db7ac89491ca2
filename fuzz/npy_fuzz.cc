#include "espalier/base/error.h"
#include "espalier/io/npy.h"
#include "fuzz/memory_file.h"
#include "io/npy_header.h"

namespace espalier {
namespace {

void Fuzz(const MemoryFile& memory) {
  try {
    const NpyArray array = ReadNpy(memory.path());
    const auto count = static_cast<std::size_t>(ElementCount(array.shape));
    Require(array.bytes.size() == count * (DTypeBits(array.dtype) / 8));
    // What was read can be written, and means the same again.
    const internal::NpyLayout again = internal::ParseNpyHeader(
        internal::NpyHeaderText({array.dtype, array.fortran_order, array.shape}));
    Require(again.dtype == array.dtype && again.shape == array.shape &&
            again.fortran_order == array.fortran_order);
  } catch (const Error& error) {
    Require(error.code() == ErrorCode::kBadFile || error.code() == ErrorCode::kUnsupported);
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
