// After the first run of a shape, a run allocates nothing. A program of its own: it counts all
// calls of operator new.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "espalier/base/isa.h"
#include "espalier/runtime/session.h"
#include "tests/runtime/runtime_testing.h"

namespace {
std::atomic<long> allocations{0};

void* Allocate(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* memory = alignment == 0 ? std::malloc(bytes == 0 ? 1 : bytes)
                                : std::aligned_alloc(
                                      alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return Allocate(bytes, 0); }
void* operator new[](std::size_t bytes) { return Allocate(bytes, 0); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return Allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept {
  std::free(memory);
}

namespace espalier {
namespace {

using testing::GraphBuilder;
using testing::RandomTensor;

Graph Network() {
  const std::vector<std::int64_t> pads = {1, 1, 1, 1};
  GraphBuilder builder;
  builder.Input("x", Dims{1, 4, 8, 8})
      .Constant("w0", RandomTensor({4, 1, 3, 3}, 9))
      .Constant("w1", RandomTensor({16, 4, 3, 3}, 1))
      .Constant("w2", RandomTensor({16, 16, 1, 1}, 2, 6))
      .Constant("w3", RandomTensor({16, 1, 3, 3}, 3))
      .Constant("head", RandomTensor({16, 10}, 6))
      .Constant("half", RandomTensor({1, 16, 1, 1}, 8))
      .Add("Conv", {"x", "w0"}, {"s"}, {{"pads", pads}, {"group", std::int64_t{4}}})
      .Add("Conv", {"s", "w1"}, {"a"}, {{"pads", pads}})
      .Add("Relu", {"a"}, {"b"})
      .Add("Conv", {"b", "w2"}, {"c"})
      .Add("Add", {"b", "c"}, {"d"})
      .Add("Conv", {"d", "w3"}, {"e"}, {{"pads", pads}, {"group", std::int64_t{16}}})
      .Add("Sigmoid", {"e"}, {"f"})
      .Add("Max", {"f", "half"}, {"g"})
      .Add("Concat", {"g", "d"}, {"h"}, {{"axis", std::int64_t{1}}})
      .Add("MaxPool", {"h"}, {"i"}, {{"kernel_shape", std::vector<std::int64_t>{2, 2}}})
      .Add("GlobalAveragePool", {"g"}, {"j"})
      .Add("Flatten", {"j"}, {"k"})
      .Add("MatMul", {"k", "head"}, {"l"})
      .Add("Softmax", {"l"}, {"m"})
      .Output("m")
      .Output("i");
  return builder.graph();
}

void ExpectNoAllocations(bool striped) {
  for (const int threads : {1, 2}) {
    // Tuning may pick oneDNN for a layer, whose execute call allocates inside of the library.
    SessionOptions options;
    options.threads = threads;
    options.tune = false;
    if (striped) options.choices = {{"s", ActiveIsa(), "stripes 2x3"}};
    Session session(Network(), options);
    const auto tensors = RandomInputs(session, 1);
    std::vector<InputTensor> inputs;
    for (const auto& [name, tensor] : tensors) {
      inputs.push_back({name, tensor.dtype(), tensor.dims(), tensor.bytes()});
    }
    session.Run(inputs);
    session.Run(inputs);
    const long before = allocations;
    for (int i = 0; i < 10; ++i) session.Run(inputs);
    EXPECT_EQ(allocations - before, 0) << threads << " threads";
    const auto steps = session.Steps();
    EXPECT_EQ(striped, std::ranges::any_of(steps, [](const StepReport& step) {
                return step.reason.find("striped") != std::string::npos;
              }));
  }
}

TEST(Session, AllocatesNothingAfterTheFirstRun) { ExpectNoAllocations(false); }

TEST(Session, AllocatesNothingWhereLayersRunInStripes) { ExpectNoAllocations(true); }

}  // namespace
}  // namespace espalier
