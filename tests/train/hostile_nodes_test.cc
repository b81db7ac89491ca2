// Nodes that make no sense end with an Error, whatever the operator: no crash, no other exception.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "espalier/base/error.h"
#include "tests/graph/graph_builder.h"
#include "train/op_table.h"
#include "train/trainable.h"

namespace espalier::train {
namespace {

const std::vector<at::Tensor>& OddValues() {
  static const std::vector<at::Tensor> kValues = {at::ones({}),
                                                  at::ones({0}),
                                                  at::ones({2}),
                                                  at::ones({2, 3}),
                                                  at::ones({1, 2, 3, 4}),
                                                  at::ones({2, 0, 3}),
                                                  at::zeros({2, 2, 2}),
                                                  at::full({}, -7, at::kLong),
                                                  at::arange(3, at::kLong),
                                                  at::zeros({2}, at::kLong)};
  return kValues;
}

std::vector<testing::Attributes> OddAttributes() {
  const Dims minus = {-1, 0};
  testing::Attributes numbers, lists;
  for (const char* name : {"axis", "group", "blocksize", "num_groups", "size", "batch_dims", "k"}) {
    numbers[name] = std::int64_t{-9};
  }
  for (const char* name : {"strides", "pads", "kernel_shape", "dilations", "axes", "perm", "split",
                           "output_shape", "output_padding", "starts", "ends", "scales"}) {
    lists[name] = minus;
  }
  testing::Attributes zeros;
  for (const auto& [name, value] : numbers) zeros[name] = std::int64_t{0};
  return {{}, numbers, lists, zeros};
}

void RunOdd(const OpEntry& op, std::size_t inputs, std::size_t first,
            const testing::Attributes& attributes, std::int64_t opset) {
  testing::GraphBuilder net;
  std::vector<std::string> names;
  std::map<std::string, at::Tensor> values;
  for (std::size_t i = 0; i < inputs; ++i) {
    names.push_back(fmt::format("x{}", i));
    net.Input(names.back(), Dims{});
    values[names.back()] = OddValues()[(first + i * (first % 3 + 1)) % OddValues().size()];
  }
  net.Add(std::string(op.op_type), names, {"y"}, attributes).Output("y");
  net.graph().scopes[0].nodes[0].domain = std::string(op.domain);
  net.graph().opsets[""] = opset;
  try {
    Trainable network(net.graph());
    network.Forward(values, /*training=*/first % 2 == 0);
  } catch (const Error&) {
  }
}

TEST(HostileNodes, EndWithAnError) {
  for (const OpEntry* op : AllOps()) {
    SCOPED_TRACE(std::string(op->op_type));
    for (const testing::Attributes& attributes : OddAttributes()) {
      // A libtorch error takes 1 ms for its backtrace: a part of all combinations.
      for (const std::size_t inputs : {0, 1, 2, 3, 6}) {
        for (const std::size_t first : {0, 3, 7}) {
          ASSERT_NO_THROW(RunOdd(*op, inputs, first, attributes, first % 2 == 0 ? 18 : 9));
        }
      }
    }
  }
}

}  // namespace
}  // namespace espalier::train
