#include "esp/constant_section.h"

#include <fmt/format.h>

#include <bit>
#include <limits>
#include <utility>

#include "esp/layout.h"

namespace espalier::internal {
namespace {

void WriteFill(const Packing& packing, DType dtype, ByteWriter* out) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(&packing.fill, 1));
  out->Raw(bytes.first(UnitBytes(dtype)));
}

std::uint64_t ReadFill(DType dtype, ByteReader* in) {
  const std::span<const std::byte> bytes = in->Raw(UnitBytes(dtype));
  std::uint64_t fill = 0;
  std::memcpy(&fill, bytes.data(), bytes.size());
  return fill;
}

ValueType ReadValueType(DType dtype, ByteReader* in) {
  const auto number = in->Fixed<std::uint8_t>();
  if (number > kLastValueType) in->Fail(fmt::format("unknown type of values {}", number));
  const auto type = static_cast<ValueType>(number);
  if (type != ValueType::kExact && dtype != DType::kFloat32) {
    in->Fail(fmt::format("a {} constant with 16-bit values", DTypeName(dtype)));
  }
  return type;
}

void ReadChoice(std::uint64_t units, Packing* packing, ByteReader* in) {
  packing->group = in->Fixed<std::uint8_t>();
  packing->kept = in->Fixed<std::uint8_t>();
  packing->inner = in->Unsigned();
  const bool power_of_two = std::has_single_bit(packing->group);
  if (!power_of_two || packing->group > 16 || packing->kept < 1 ||
      packing->kept >= packing->group) {
    in->Fail(fmt::format("a choice of {} of {}", packing->kept, packing->group));
  }
  if (packing->inner < 1 || packing->inner > units ||
      units % (packing->group * packing->inner) != 0) {
    in->Fail(fmt::format("groups of {} units, {} apart, in {} units", packing->group,
                         packing->inner, units));
  }
  packing->count = units / packing->group * packing->kept;
}

void ReadPlacement(std::uint64_t units, std::uint64_t data_bytes, Packing* packing,
                   ByteReader* in) {
  if (packing->encoding == Encoding::kRaw) {
    packing->count = units;
  } else if (packing->encoding == Encoding::kChoice) {
    ReadChoice(units, packing, in);
  } else {
    packing->count = in->UpTo(units, "number of values");
  }
  if (packing->encoding == Encoding::kGaps) {
    packing->width = in->Fixed<std::uint8_t>();
    if (packing->width < 1 || packing->width > kMostGapBits) {
      in->Fail(fmt::format("gaps of {} bits", packing->width));
    }
    packing->codes = in->UpTo(data_bytes * 8 / packing->width, "number of gaps");
  }
}

Packing ReadPacking(DType dtype, std::uint64_t units, std::uint64_t data_bytes, ByteReader* in) {
  Packing packing;
  const auto encoding = in->Fixed<std::uint8_t>();
  if (encoding > kLastEncoding) in->Fail(fmt::format("unknown encoding {}", encoding));
  packing.encoding = static_cast<Encoding>(encoding);
  if ((packing.encoding == Encoding::kNone) != (DTypeBits(dtype) == 0)) {
    in->Fail(fmt::format("a {} constant in encoding {}", DTypeName(dtype), encoding));
  }
  if (packing.encoding <= Encoding::kInline) return packing;
  if (packing.encoding != Encoding::kRaw) packing.fill = ReadFill(dtype, in);
  if (packing.encoding == Encoding::kFill) return packing;
  packing.values = ReadValueType(dtype, in);
  ReadPlacement(units, data_bytes, &packing, in);
  packing.checksum = in->Fixed<std::uint64_t>();
  return packing;
}

int ReadScope(ByteReader* in) {
  return static_cast<int>(in->UpTo(std::numeric_limits<int>::max(), "index of a scope"));
}

}  // namespace

void WriteConstantEntry(const Constant& constant, const Packing& packing, ByteWriter* out) {
  const Tensor& tensor = constant.tensor;
  out->Text(constant.name);
  out->Unsigned(static_cast<std::uint64_t>(constant.scope));
  WriteTensorType(tensor.dtype(), tensor.dims(), out);
  out->Fixed(static_cast<std::uint8_t>(packing.encoding));
  if (packing.encoding == Encoding::kInline) out->Raw(tensor.bytes());
  if (packing.encoding <= Encoding::kInline) return;
  if (packing.encoding != Encoding::kRaw) WriteFill(packing, tensor.dtype(), out);
  if (packing.encoding == Encoding::kFill) return;
  out->Fixed(static_cast<std::uint8_t>(packing.values));
  if (packing.encoding == Encoding::kChoice) {
    out->Fixed(static_cast<std::uint8_t>(packing.group));
    out->Fixed(static_cast<std::uint8_t>(packing.kept));
    out->Unsigned(packing.inner);
  } else if (packing.encoding != Encoding::kRaw) {
    out->Unsigned(packing.count);
  }
  if (packing.encoding == Encoding::kGaps) {
    out->Fixed(static_cast<std::uint8_t>(packing.width));
    out->Unsigned(packing.codes);
  }
  out->Fixed(packing.checksum);
}

std::vector<ConstantEntry> ReadConstantSection(ByteReader* in, std::uint64_t dense_bytes,
                                               std::uint64_t data_bytes) {
  std::vector<ConstantEntry> entries(in->Count(5, "constants"));
  std::uint64_t dense_left = dense_bytes;
  std::uint64_t offset = 0;
  for (ConstantEntry& entry : entries) {
    entry.name = in->Text();
    entry.scope = ReadScope(in);
    entry.type = ReadTensorType(in);
    const DType dtype = entry.type.dtype;
    entry.dense_bytes = TensorByteCount(dtype, entry.type.dims);
    if (entry.dense_bytes > dense_left) {
      in->Fail(fmt::format("a constant of {} bytes, the header allows for {} more",
                           entry.dense_bytes, dense_left));
    }
    dense_left -= entry.dense_bytes;
    const std::uint64_t units = entry.dense_bytes / UnitBytes(dtype);
    entry.packing = ReadPacking(dtype, units, data_bytes, in);
    if (entry.packing.encoding == Encoding::kInline) {
      if (entry.dense_bytes > kInlineBytes) {
        in->Fail(fmt::format("{} bytes inline, the most is {}", entry.dense_bytes, kInlineBytes));
      }
      const auto bytes = in->Raw(static_cast<std::size_t>(entry.dense_bytes));
      entry.inline_bytes.assign(bytes.begin(), bytes.end());
    }
    entry.offset = offset;
    entry.payload_bytes = PayloadBytes(entry.packing, dtype, units);
    if (Aligned(entry.payload_bytes) > data_bytes - offset) {
      in->Fail(fmt::format("{} bytes of values, section DATA has {} left", entry.payload_bytes,
                           data_bytes - offset));
    }
    offset += Aligned(entry.payload_bytes);
  }
  in->ExpectEnd();
  if (offset != data_bytes || dense_left != 0) {
    in->Fail(fmt::format("constants of {} bytes in {} bytes of section DATA; {} in {} are declared",
                         dense_bytes - dense_left, offset, dense_bytes, data_bytes));
  }
  return entries;
}

}  // namespace espalier::internal
