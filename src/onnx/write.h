#pragma once

#include <cstdint>
#include <filesystem>

#include "espalier/onnx/onnx_file.h"

namespace espalier::internal {

/// WriteOnnx() with another limit than protobuf's for what one file may hold, so that tests need
/// no models of 2 GB.
void WriteOnnxWithLimit(const OnnxModel& model, const std::filesystem::path& path,
                        Overwrite overwrite, std::uint64_t most_bytes);

}  // namespace espalier::internal
