#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace espalier::cli {

/// Reads a CSV file of lines `layer,sparsity`; a first line with just these words, empty lines and
/// lines that start with # are passed over. The layer's name may hold commas: the last one counts.
/// @throws Error  kBadFile with the line's number, if a number is bad or a layer appears twice.
std::map<std::string, double> ReadRatios(const std::filesystem::path& path);

}  // namespace espalier::cli
