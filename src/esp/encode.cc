#include "esp/encode.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "esp/checksum.h"
#include "esp/half.h"
#include "esp/positions.h"

namespace espalier::internal {
namespace {

template <typename Unit>
Unit UnitAt(std::span<const std::byte> bytes, std::size_t i) {
  Unit unit;
  std::memcpy(&unit, bytes.data() + i * sizeof(Unit), sizeof(Unit));
  return unit;
}

// Calls body(Unit{}) with the unsigned type of that size.
template <typename Body>
auto WithUnit(std::size_t unit_bytes, const Body& body) {
  switch (unit_bytes) {
    case 1:
      return body(std::uint8_t{});
    case 2:
      return body(std::uint16_t{});
    case 4:
      return body(std::uint32_t{});
    default:
      return body(std::uint64_t{});
  }
}

// The unit that fills more than half of the tensor, if there is one; else any.
// Source: Boyer and Moore, "MJRTY - A Fast Majority Vote Algorithm", 1981.
std::uint64_t MajorityUnit(std::span<const std::byte> bytes, std::size_t unit_bytes) {
  return WithUnit(unit_bytes, [bytes](auto candidate) -> std::uint64_t {
    std::size_t votes = 0;
    for (std::size_t i = 0; i < bytes.size() / sizeof(candidate); ++i) {
      const auto unit = UnitAt<decltype(candidate)>(bytes, i);
      if (votes == 0) candidate = unit;
      votes = unit == candidate ? votes + 1 : votes - 1;
    }
    return candidate;
  });
}

PositionSet OthersThan(std::uint64_t fill, std::size_t unit_bytes,
                       std::span<const std::byte> bytes) {
  return WithUnit(unit_bytes, [bytes, fill](auto kind) {
    const std::size_t units = bytes.size() / sizeof(kind);
    std::vector<std::uint64_t> bitmap((units + 63) / 64);
    for (std::size_t i = 0; i < units; ++i) {
      bitmap[i / 64] |= std::uint64_t{UnitAt<decltype(kind)>(bytes, i) != fill} << i % 64;
    }
    return PositionSet(std::move(bitmap), units);
  });
}

// The better of zero and the majority: zeros may be the most frequent value at less than a half.
PositionSet ChoosePositions(std::span<const std::byte> bytes, std::size_t unit_bytes,
                            std::uint64_t* fill) {
  PositionSet zeros = OthersThan(0, unit_bytes, bytes);
  *fill = 0;
  const std::uint64_t majority = MajorityUnit(bytes, unit_bytes);
  if (majority == 0) return zeros;
  PositionSet others = OthersThan(majority, unit_bytes, bytes);
  if (others.count() >= zeros.count()) return zeros;
  *fill = majority;
  return others;
}

std::uint16_t Rounded(std::uint32_t bits, ValueType type) {
  return type == ValueType::kHalf ? HalfOfFloatBits(bits) : BFloat16OfFloatBits(bits);
}

float Restored(std::uint16_t bits, ValueType type) {
  return std::bit_cast<float>(type == ValueType::kHalf ? FloatBitsOfHalf(bits)
                                                       : FloatBitsOfBFloat16(bits));
}

// Why a float32 tensor cannot be stored as `type`; null if all its values stay finite.
const char* RoundingProblem(std::span<const std::byte> bytes, ValueType type) {
  for (std::size_t i = 0; i < bytes.size() / 4; ++i) {
    const auto bits = UnitAt<std::uint32_t>(bytes, i);
    if (!std::isfinite(std::bit_cast<float>(bits))) {
      return "kept exact: it has a value that is not finite";
    }
    if (!std::isfinite(Restored(Rounded(bits, type), type))) {
      return type == ValueType::kHalf ? "kept exact: it has a value out of the range of float16"
                                      : "kept exact: it has a value out of the range of bfloat16";
    }
  }
  return nullptr;
}

// Appends values to the payload, rounded where the packing says so.
class ValueWriter {
 public:
  ValueWriter(const Tensor& tensor, EncodedConstant* out)
      : bytes_(tensor.bytes()), unit_bytes_(UnitBytes(tensor.dtype())), out_(out) {}

  void operator()(std::size_t i) {
    if (out_->packing.values == ValueType::kExact) {
      Append(bytes_.subspan(i * unit_bytes_, unit_bytes_));
      return;
    }
    const auto bits = UnitAt<std::uint32_t>(bytes_, i);
    const std::uint16_t rounded = Rounded(bits, out_->packing.values);
    const double error = static_cast<double>(Restored(rounded, out_->packing.values)) -
                         static_cast<double>(std::bit_cast<float>(bits));
    out_->max_error = std::max(out_->max_error, std::abs(error));
    Append(std::as_bytes(std::span(&rounded, 1)));
  }

 private:
  void Append(std::span<const std::byte> bytes) {
    out_->payload.insert(out_->payload.end(), bytes.begin(), bytes.end());
  }

  std::span<const std::byte> bytes_;
  std::size_t unit_bytes_;
  EncodedConstant* out_;
};

void WritePayload(const Tensor& tensor, const PositionSet& positions, EncodedConstant* out) {
  const Packing& packing = out->packing;
  const auto write_positions = [out](const std::vector<std::uint64_t>& words) {
    const std::span<const std::byte> bytes = std::as_bytes(std::span(words));
    out->payload.insert(out->payload.end(), bytes.begin(), bytes.end());
  };
  out->payload.reserve(out->payload_bytes);
  ValueWriter write_value(tensor, out);
  if (packing.encoding == Encoding::kRaw) {
    for (std::size_t i = 0; i < positions.units(); ++i) write_value(i);
  } else if (packing.encoding == Encoding::kBitmap) {
    write_positions(positions.bitmap());
    positions.ForEach(write_value);
  } else if (packing.encoding == Encoding::kGaps) {
    write_positions(positions.GapCodes(packing.width));
    positions.ForEach(write_value);
  } else if (packing.encoding == Encoding::kChoice) {
    const PositionSet filled = positions.FilledUp(packing);
    write_positions(filled.ChoiceCodes(packing));
    filled.ForEach(write_value);
  }
}

}  // namespace

EncodedConstant EncodeTensor(const Tensor& tensor, ValueType values) {
  EncodedConstant out;
  const std::span<const std::byte> bytes = tensor.bytes();
  if (DTypeBits(tensor.dtype()) == 0) return out;
  if (bytes.size() <= kInlineBytes) {
    out.packing.encoding = Encoding::kInline;
    return out;
  }
  if (values != ValueType::kExact) {
    const char* problem = RoundingProblem(bytes, values);
    if (problem == nullptr)
      out.packing.values = values;
    else
      out.note = problem;
  }
  const std::size_t unit_bytes = UnitBytes(tensor.dtype());
  const PositionSet positions = ChoosePositions(bytes, unit_bytes, &out.packing.fill);
  ChoosePacking(positions, tensor.dtype(), tensor.dims(), &out.packing);
  out.payload_bytes = PayloadBytes(out.packing, tensor.dtype(), bytes.size() / unit_bytes);
  const bool own_bytes =
      out.packing.encoding == Encoding::kRaw && out.packing.values == ValueType::kExact;
  if (!own_bytes) WritePayload(tensor, positions, &out);
  out.packing.checksum = Checksum(own_bytes ? bytes : out.payload);
  return out;
}

}  // namespace espalier::internal
