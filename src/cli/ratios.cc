#include "cli/ratios.h"

#include <fmt/format.h>

#include <charconv>
#include <sstream>

#include "espalier/base/error.h"
#include "espalier/io/file.h"

namespace espalier::cli {
namespace {

constexpr std::uint64_t kMostBytes = 16u << 20;

}  // namespace

std::map<std::string, double> ReadRatios(const std::filesystem::path& path) {
  std::map<std::string, double> ratios;
  std::istringstream lines(ReadFile(path, kMostBytes));
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#') || (number == 1 && line == "layer,sparsity"))
      continue;
    const std::size_t comma = line.rfind(',');
    double ratio = 0;
    const char* begin = comma == std::string::npos ? nullptr : line.data() + comma + 1;
    const char* end = line.data() + line.size();
    const auto [stop, status] = begin == nullptr
                                    ? std::from_chars_result{nullptr, std::errc::invalid_argument}
                                    : std::from_chars(begin, end, ratio);
    if (status != std::errc() || stop != end) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("{}:{}: '{}' is not `layer,sparsity`", path.string(), number, line));
    }
    if (!ratios.emplace(line.substr(0, comma), ratio).second) {
      throw Error(ErrorCode::kBadFile, fmt::format("{}:{}: layer '{}' has a ratio already",
                                                   path.string(), number, line.substr(0, comma)));
    }
  }
  return ratios;
}

}  // namespace espalier::cli
