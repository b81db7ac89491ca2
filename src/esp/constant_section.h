#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "esp/graph_section.h"
#include "esp/packing.h"
#include "esp/wire.h"
#include "espalier/graph/graph.h"

namespace espalier::internal {

/// One constant of section CNST. Those with bytes in section DATA follow each other there, each
/// from a multiple of 64 on.
struct ConstantEntry {
  std::string name;
  int scope = 0;
  TensorType type;
  Packing packing;
  std::vector<std::byte> inline_bytes;  ///< kInline only.
  std::uint64_t dense_bytes = 0;
  std::uint64_t offset = 0;         ///< In section DATA.
  std::uint64_t payload_bytes = 0;  ///< In section DATA, without padding; may be 0.
};

/// Appends one constant; the bytes of a kInline one, too.
void WriteConstantEntry(const Constant& constant, const Packing& packing, ByteWriter* out);

/// Reads section CNST and checks that the constants fill section DATA, that no number of a packing
/// is out of its range, and that all constants together have `dense_bytes`.
/// @throws Error  kBadFile as ByteReader.
std::vector<ConstantEntry> ReadConstantSection(ByteReader* in, std::uint64_t dense_bytes,
                                               std::uint64_t data_bytes);

}  // namespace espalier::internal
