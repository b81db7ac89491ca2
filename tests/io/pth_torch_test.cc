#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "espalier/io/pth.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

using std::string;

// Without the seconds that an import takes.
constexpr const char* kFindTorch =
    " -c 'import importlib.util as u, sys; sys.exit(u.find_spec(\"torch\") is None)' 2>/dev/null";

// Files of and for PyTorch itself: Debian's python3-torch, or another under ESPALIER_PYTHON.
class PthTorch : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    for (const char* const python :
         {static_cast<const char*>(std::getenv("ESPALIER_PYTHON")), "/usr/bin/python3"}) {
      if (python == nullptr) continue;
      python_ = python;
      if (std::system((python_ + kFindTorch).c_str()) == 0) return;
    }
    GTEST_SKIP() << "no Python with torch (ESPALIER_PYTHON names one that has it)";
  }

  void Run(const string& arguments) const {
    const string command = fmt::format("'{}' -B '" ESPALIER_SOURCE_DIR "/tests/io/pth_torch.py' {}",
                                       python_, arguments);
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }

 private:
  string python_;
};

std::vector<string> Split(const string& line) {
  std::vector<string> parts;
  std::istringstream stream(line);
  for (string part; std::getline(stream, part, '|');) parts.push_back(part);
  return parts;
}

string TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(PthTorch, RefusesModelsAndSparseTensors) {
  ASSERT_NO_FATAL_FAILURE(Run(fmt::format("write '{}'", Path(".").native())));
  for (const auto& [name, part] :
       {std::pair("script.pt", "TorchScript"),
        std::pair("model.pth", "'torch.nn.modules.container.Sequential'"),
        std::pair("sparse.pth", "'torch._utils._rebuild_sparse_tensor'")}) {
    const InputFile file(Path(name));
    ExpectError(ErrorCode::kUnsupported, {part, "save model.state_dict()"},
                [&] { ReadPthHeader(file); });
  }
}

TEST_F(PthTorch, ReadsWhatPyTorchWrites) {
  ASSERT_NO_FATAL_FAILURE(Run(fmt::format("write '{}'", Path(".").native())));
  std::map<string, std::size_t> counts;
  std::istringstream list(Read(Path("list.txt")));
  for (string line; std::getline(list, line);) {
    SCOPED_TRACE(line);
    const std::vector<string> want = Split(line);
    ASSERT_EQ(want.size(), 6u);
    const InputFile file(Path(want[0]));
    const PthHeader header = ReadPthHeader(file);
    const auto entry = std::ranges::find_if(header.entries, [&](const PthEntry& candidate) {
      return candidate.place == want[1] && candidate.name == want[2];
    });
    ASSERT_NE(entry, header.entries.end());
    EXPECT_EQ(DTypeName(entry->dtype), want[3]);
    EXPECT_EQ(DimsText(entry->shape), want[4]);
    EXPECT_EQ(TextOf(ReadPthTensor(file, *entry)), Read(Path(want[5])));
    ++counts[want[0]];
  }
  EXPECT_EQ(counts.size(), 5u);
  for (const auto& [name, count] : counts) {
    EXPECT_EQ(ReadPthHeader(InputFile(Path(name))).entries.size(), count) << name;
  }
  const PthHeader nested = ReadPthHeader(InputFile(Path("nested.pth")));
  EXPECT_EQ(StateDictOf(nested).size(), 7u);
  std::map<string, PthValue> values;
  for (const PthValue& value : nested.values) values.emplace(value.place + "/" + value.name, value);
  EXPECT_EQ(std::get<std::int64_t>(values.at("/epoch").value), 3);
  EXPECT_EQ(std::get<std::int64_t>(values.at("/negative").value), -5);
  EXPECT_EQ(std::get<std::int64_t>(values.at("/long").value), std::int64_t{1} << 40);
  EXPECT_EQ(std::get<double>(values.at("optimizer/param_groups/0/momentum").value), 0.9);
  EXPECT_EQ(std::get<string>(values.at("/arch").value), "r\u00e9snet");
}

TEST_F(PthTorch, RewritesWhatPyTorchWrote) {
  ASSERT_NO_FATAL_FAILURE(Run(fmt::format("write '{}'", Path(".").native())));
  for (const string kind : {"pth", "old"}) {
    const InputFile file(Path("flat." + kind));
    const PthHeader header = ReadPthHeader(file);
    const auto entry = std::ranges::find(header.entries, "transposed", &PthEntry::name);
    ASSERT_NE(entry, header.entries.end());
    const std::vector<std::byte> zeros(6 * 8 * 4);
    AtomicFile output(Path("new." + kind), Overwrite::kNo);
    RewritePth(file, output, {{*entry, zeros}});
    output.Commit();
  }
  Run(fmt::format("zeros '{}'", Path(".").native()));
}

TEST_F(PthTorch, WritesWhatPyTorchReads) {
  const std::pair<DType, string> kTypes[] = {{DType::kFloat32, "float32"},
                                             {DType::kFloat16, "float16"},
                                             {DType::kBFloat16, "bfloat16"},
                                             {DType::kFloat64, "float64"},
                                             {DType::kInt8, "int8"},
                                             {DType::kUint8, "uint8"},
                                             {DType::kInt16, "int16"},
                                             {DType::kInt32, "int32"},
                                             {DType::kInt64, "int64"},
                                             {DType::kComplex64, "complex64"},
                                             {DType::kComplex128, "complex128"}};
  std::vector<string> contents;
  std::vector<PthTensor> tensors;
  string want;
  contents.reserve(std::size(kTypes));
  for (const auto& [dtype, name] : kTypes) {
    string bytes;
    string hex;
    for (std::size_t i = 0; i < 6 * DTypeBits(dtype) / 8; ++i) {
      bytes += static_cast<char>(i * 7 + 1);
      hex += fmt::format("{:02x}", (i * 7 + 1) & 255);
    }
    contents.push_back(bytes);
    tensors.push_back({"layer." + name, dtype, {2, 1, 3}, Bytes(contents.back())});
    want += fmt::format("layer.{} {} 2x1x3 {}\n", name, name, hex);
  }
  tensors.push_back({"empty", DType::kFloat32, {0, 4}, {}});
  tensors.push_back({"scalar", DType::kBool, {}, Bytes(contents[0]).first(1)});
  want += "empty float32 0x4 \nscalar bool  01\n";
  WritePth(Path("x.pth"), Overwrite::kNo, tensors);
  ASSERT_NO_FATAL_FAILURE(Run(fmt::format("check '{0}/x.pth' > '{0}/out'", Path(".").native())));
  const string got = Read(Path("out"));
  ASSERT_GE(got.size(), want.size());
  for (std::size_t at = 0; at < got.size(); at += want.size()) {
    EXPECT_EQ(got.substr(at, want.size()), want);
  }
}

}  // namespace
}  // namespace espalier
