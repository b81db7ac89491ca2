#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/training_options.h"
#include "espalier/base/error.h"

namespace espalier::cli {

void StartTraining(const std::vector<std::string>& arguments) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  if (folder.empty()) {
    throw Error(ErrorCode::kUnsupported,
                "training needs /proc, to find the program espalier-train");
  }
  fs::path program = folder / "espalier-train";
  if (!fs::exists(program, ignored)) program = folder / "../lib/espalier/espalier-train";
  if (!fs::exists(program, ignored)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("this installation cannot train: there is no {}; build it with "
                            "ESPALIER_TRAIN=ON (Debian's package libtorch-dev)",
                            (folder / "espalier-train").string()));
  }
  std::vector<char*> words = {const_cast<char*>("espalier")};
  for (const std::string& argument : arguments)
    words.push_back(const_cast<char*>(argument.c_str()));
  words.push_back(nullptr);
  execv(program.c_str(), words.data());
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{} does not start: {}", program.string(), std::strerror(errno)));
}

}  // namespace espalier::cli
