// Expands any positions and values into memory of exactly their size, so that the address sanitizer
// sees each access out of bounds: what ReadEsp() expands into lies side by side in large blocks.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "esp/decode.h"

namespace espalier {
namespace {

using internal::Encoding;
using internal::Packing;
using internal::ValueType;

// Numbers from the input's front; the rest is the payload.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::uint64_t UpTo(std::uint64_t most) {
    std::uint64_t value = 0;
    for (int i = 0; i < 2 && !bytes_.empty(); ++i) {
      value = value << 8 | bytes_.front();
      bytes_ = bytes_.subspan(1);
    }
    return value % (most + 1);
  }
  std::span<const std::uint8_t> rest() const { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
};

constexpr DType kTypes[] = {DType::kFloat32, DType::kUint8, DType::kFloat16, DType::kFloat64};

void Fuzz(Input input) {
  Packing packing;
  packing.encoding = static_cast<Encoding>(2 + input.UpTo(4));
  const DType dtype = kTypes[input.UpTo(3)];
  if (dtype == DType::kFloat32) packing.values = static_cast<ValueType>(input.UpTo(2));
  packing.fill = input.UpTo(2);
  packing.group = 2u << input.UpTo(3);
  packing.kept = 1 + static_cast<std::uint32_t>(input.UpTo(packing.group - 2));
  packing.inner = 1 + input.UpTo(99);
  packing.width = 1 + static_cast<std::uint32_t>(input.UpTo(internal::kMostGapBits - 1));
  packing.codes = input.UpTo(2000);
  std::uint64_t units = input.UpTo(4000);
  packing.count = input.UpTo(units);
  if (packing.encoding == Encoding::kRaw) packing.count = units;
  if (packing.encoding == Encoding::kFill) packing.values = ValueType::kExact;
  if (packing.encoding == Encoding::kChoice) {
    units -= units % (packing.group * packing.inner);
    packing.count = units / packing.group * packing.kept;
  }
  const std::uint64_t payload_bytes = internal::PayloadBytes(packing, dtype, units);
  const std::uint64_t work_bytes = internal::WorkBytes(packing, payload_bytes);
  const std::uint64_t out_bytes = units * internal::UnitBytes(dtype);
  const auto work = std::make_unique<std::byte[]>(work_bytes);
  const auto out = std::make_unique<std::byte[]>(out_bytes);
  const auto payload = std::as_bytes(input.rest());
  std::ranges::copy(payload.first(std::min<std::uint64_t>(payload.size(), payload_bytes)),
                    work.get());
  internal::Expand(packing, dtype, {work.get(), work_bytes}, {out.get(), out_bytes});
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  espalier::Fuzz(espalier::Input({data, size}));
  return 0;
}
