#pragma once

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"

namespace espalier {

/// A model with an opset, an empty graph and nothing else.
inline onnx::ModelProto EmptyModel() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  model.mutable_graph()->set_name("main");
  return model;
}

inline onnx::TensorProto* AddInitializer(onnx::GraphProto* graph, const std::string& name,
                                         int data_type, const std::vector<std::int64_t>& dims) {
  onnx::TensorProto* tensor = graph->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(data_type);
  for (const std::int64_t dim : dims) tensor->add_dims(dim);
  return tensor;
}

inline onnx::NodeProto* AddNode(onnx::GraphProto* graph, const std::string& op,
                                const std::vector<std::string>& inputs, const std::string& output) {
  onnx::NodeProto* node = graph->add_node();
  node->set_op_type(op);
  for (const std::string& input : inputs) node->add_input(input);
  node->add_output(output);
  return node;
}

inline onnx::AttributeProto* AddAttribute(onnx::NodeProto* node, const std::string& name,
                                          onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto* attribute = node->add_attribute();
  attribute->set_name(name);
  attribute->set_type(type);
  return attribute;
}

inline void SetExternal(onnx::TensorProto* tensor, const std::string& location,
                        const std::string& offset, const std::string& length) {
  tensor->set_data_location(onnx::TensorProto::EXTERNAL);
  const std::pair<const char*, const std::string&> entries[] = {
      {"location", location}, {"offset", offset}, {"length", length}};
  for (const auto& [key, value] : entries) {
    if (value.empty()) continue;
    onnx::StringStringEntryProto* entry = tensor->add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
}

/// `count` bytes 0, 1, 2, ... that repeat after a prime, so that a shift by any page shows.
inline std::string Pattern(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i % 251);
  return bytes;
}

inline std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

inline OnnxModel ReadFromMemory(const onnx::ModelProto& proto) {
  return ReadOnnxFromBytes(AsBytes(proto.SerializeAsString()));
}

/// Runs `action`, which must throw an Error of `code` whose text has `text`.
template <typename Action>
void ExpectError(ErrorCode code, const std::string& text, Action action) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

inline void ExpectRefused(const onnx::ModelProto& proto, const std::string& text) {
  ExpectError(ErrorCode::kBadFile, text, [&] { ReadFromMemory(proto); });
}

/// A test with a folder of its own that is gone afterwards.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing::TestInfo* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("espalier_onnx_") + info->test_suite_name() + "_" + info->name() + "_" +
               std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path Path(const std::string& name) const { return folder_ / name; }

  std::filesystem::path WriteText(const std::string& name, std::string_view text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
    return Path(name);
  }

  std::filesystem::path WriteModel(const std::string& name, const onnx::ModelProto& proto) const {
    return WriteText(name, proto.SerializeAsString());
  }

  std::string ReadText(const std::string& name) const {
    std::ifstream file(Path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  onnx::ModelProto ReadProto(const std::string& name) const {
    onnx::ModelProto proto;
    EXPECT_TRUE(proto.ParseFromString(ReadText(name)));
    return proto;
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace espalier
