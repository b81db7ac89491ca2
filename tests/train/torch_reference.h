#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace espalier::train {

/// Whether Debian's Python has PyTorch (package python3-torch).
inline bool PythonHasTorch() {
  static const bool has = std::system("/usr/bin/python3 -c 'import torch' 2>/dev/null") == 0;
  return has;
}

#define SKIP_WITHOUT_PYTHON_TORCH()                                                            \
  if (!PythonHasTorch()) {                                                                     \
    GTEST_SKIP() << "/usr/bin/python3 has no torch: install python3-torch to compare with it"; \
  }

/// Runs tests/train/torch_reference.py; returns its exit status.
inline int RunReference(const std::string& task, const std::filesystem::path& path) {
  return std::system(fmt::format("/usr/bin/python3 -B {}/tests/train/torch_reference.py {} {}",
                                 ESPALIER_SOURCE_DIR, task, path.string())
                         .c_str());
}

/// An empty folder that goes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "espalier_train_XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace espalier::train
