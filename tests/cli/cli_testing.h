#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "cli/training_options.h"
#include "espalier/io/npy.h"

namespace espalier::cli {

/// What one run of the program gave.
struct Outcome {
  int status = -1;
  std::string out;
  std::string talk;

  nlohmann::json Json() const { return nlohmann::json::parse(out); }
};

inline Outcome RunWith(const std::vector<std::string>& arguments) {
  std::ostringstream out, talk;
  Outcome run;
  run.status = RunProgram(arguments, {out, talk}, {});
  run.out = out.str();
  run.talk = talk.str();
  return run;
}

inline bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// A test with a folder that holds w.npy: an 8x8 float32 matrix whose rows are all 1, 2, ..., 8.
class CliTest : public testing::Test {
 protected:
  CliTest() {
    std::string name = (std::filesystem::temp_directory_path() / "espalier_cli_XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~CliTest() override {
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }

  void SetUp() override {
    ASSERT_FALSE(folder_.empty()) << "no temporary folder";
    std::vector<float> values(64);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 8 + 1);
    WriteMatrix("w.npy", {8, 8}, values);
  }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }

  void WriteMatrix(const std::string& name, const Dims& shape,
                   const std::vector<float>& values) const {
    NpyArray array{DType::kFloat32, shape, false, std::vector<std::byte>(values.size() * 4)};
    std::memcpy(array.bytes.data(), values.data(), array.bytes.size());
    WriteNpy(Path(name), Overwrite::kYes, array);
  }

  std::vector<float> ReadMatrix(const std::string& name) const {
    const NpyArray array = ReadNpy(Path(name));
    std::vector<float> values(array.bytes.size() / 4);
    std::memcpy(values.data(), array.bytes.data(), array.bytes.size());
    return values;
  }

  void WriteText(const std::string& name, std::string_view text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace espalier::cli
