#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"
#include "espalier/graph/tensor.h"
#include "runtime/op.h"

namespace espalier::runtime {

/// A context over values of its own, for operators alone. What it hands out is filled with 0xCD
/// first, so that an element left unwritten shows.
class TestContext final : public OpContext {
 public:
  /// An input; a Tensor of type kUnknown is one left out.
  void AddInput(const Tensor& tensor, bool constant = false);
  void ClearInputs() { inputs_.clear(); }
  /// Outputs that somebody named.
  void SetOutputs(std::vector<bool> named);
  void SetThreads(int threads) { threads_ = threads; }

  /// A copy of an output. @throws Error kInternal if the operator has not made it.
  Tensor OutputTensor(std::size_t i) const;
  /// Index of the input that output `i` views; -1 if it is none.
  int ViewOf(std::size_t i) const { return outputs_.at(i)->view_of; }

  std::size_t InputCount() const override { return inputs_.size(); }
  bool HasInput(std::size_t i) const override;
  const Value& Input(std::size_t i) const override;
  bool IsConstant(std::size_t i) const override;
  std::size_t OutputCount() const override { return outputs_.size(); }
  bool HasOutput(std::size_t i) const override;
  Value& Output(std::size_t i, DType dtype, const Dims& dims) override;
  Value& OutputView(std::size_t i, std::size_t input, DType dtype, const Dims& dims,
                    std::size_t byte_offset) override;
  int threads() const override { return threads_; }
  std::byte* Scratch(std::size_t bytes) override;

 private:
  struct Slot {
    AlignedBuffer buffer;
    Value value;
    bool present = false;
    bool constant = false;
    int view_of = -1;
  };
  std::vector<std::unique_ptr<Slot>> inputs_;
  std::vector<std::unique_ptr<Slot>> outputs_;
  AlignedBuffer scratch_;
  int threads_ = 1;
};

/// One node and the operator made for it.
///
///     OpRunner add("Add", 14);
///     add.Set("axis", std::int64_t{1});
///     Tensor sum = add.Run1({MakeTensor<float>({2}, {1, 2}), MakeTensor<float>({2}, {3, 4})});
class OpRunner {
 public:
  explicit OpRunner(std::string op_type, std::int64_t opset = 18, std::string domain = "");

  OpRunner& Set(const std::string& attribute, Attribute value);
  OpRunner& Outputs(std::size_t count);
  OpRunner& Threads(int threads);
  /// Gives input `i` as an initializer, so that the operator can see it when it is made.
  OpRunner& Initializer(std::size_t i, Tensor tensor);

  /// Makes the operator if this has not been done, and runs it.
  std::vector<Tensor> Run(const std::vector<Tensor>& inputs);
  /// Output 0 alone.
  Tensor Run1(const std::vector<Tensor>& inputs);
  /// Whether the operator is refused before anything runs, with kUnsupported.
  bool IsRefused(std::size_t input_count);
  /// Whether the run is an Error with this code.
  bool Fails(const std::vector<Tensor>& inputs, ErrorCode code = ErrorCode::kBadFile);

  TestContext& context() { return context_; }
  Op& op() { return *op_; }

 private:
  void Make(std::size_t input_count);

  Graph graph_;
  std::size_t outputs_ = 1;
  std::map<std::size_t, Tensor> initializers_;
  std::unique_ptr<Op> op_;
  TestContext context_;
};

template <typename T>
struct TestDType;
template <>
struct TestDType<float> : std::integral_constant<DType, DType::kFloat32> {};
template <>
struct TestDType<double> : std::integral_constant<DType, DType::kFloat64> {};
template <>
struct TestDType<std::int8_t> : std::integral_constant<DType, DType::kInt8> {};
template <>
struct TestDType<std::uint8_t> : std::integral_constant<DType, DType::kUint8> {};
template <>
struct TestDType<std::int16_t> : std::integral_constant<DType, DType::kInt16> {};
template <>
struct TestDType<std::uint16_t> : std::integral_constant<DType, DType::kUint16> {};
template <>
struct TestDType<std::int32_t> : std::integral_constant<DType, DType::kInt32> {};
template <>
struct TestDType<std::uint32_t> : std::integral_constant<DType, DType::kUint32> {};
template <>
struct TestDType<std::int64_t> : std::integral_constant<DType, DType::kInt64> {};
template <>
struct TestDType<std::uint64_t> : std::integral_constant<DType, DType::kUint64> {};

/// A tensor of these elements; `dtype` for those that T does not tell: kBool of uint8_t, kFloat16
/// and kBFloat16 of the bits in uint16_t.
template <typename T>
Tensor MakeTensor(Dims dims, const std::vector<T>& elements, DType dtype = TestDType<T>::value) {
  std::vector<std::byte> bytes(elements.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), elements.data(), bytes.size());
  return Tensor(dtype, std::move(dims), std::move(bytes));
}

inline Tensor MakeInts(const std::vector<std::int64_t>& elements) {
  return MakeTensor<std::int64_t>({static_cast<std::int64_t>(elements.size())}, elements);
}

inline Tensor MakeBools(Dims dims, const std::vector<std::uint8_t>& elements) {
  return MakeTensor<std::uint8_t>(std::move(dims), elements, DType::kBool);
}

/// float32 numbers, uniform in [low, high), the same for the same seed.
Tensor RandomTensor(Dims dims, std::uint64_t seed, float low = -1, float high = 1);

template <typename T>
std::vector<T> ElementsOf(const Tensor& tensor) {
  std::vector<T> elements(tensor.bytes().size() / sizeof(T));
  if (!elements.empty()) {
    std::memcpy(elements.data(), tensor.bytes().data(), tensor.bytes().size());
  }
  return elements;
}

}  // namespace espalier::runtime
