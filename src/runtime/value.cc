#include "runtime/value.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/graph/tensor.h"

namespace espalier::runtime {

namespace {

thread_local MemoryBudget* open_budget = nullptr;

// The product of an empty value's dimensions other than 0: loops over the outer ones have to end.
constexpr std::int64_t kMaxEmptyLoops = std::int64_t{1} << 31;

}  // namespace

void MemoryBudget::Take(std::uint64_t bytes) {
  if (bytes > limit_ - used_) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("no room for {} bytes: {} of the limit of {} bytes are in use", bytes,
                            used_, limit_));
  }
  used_ += bytes;
}

MemoryBudget* MemoryBudget::Open() noexcept { return open_budget; }

MemoryBudget::Scope::Scope(MemoryBudget& budget) : outer_(std::exchange(open_budget, &budget)) {}

MemoryBudget::Scope::~Scope() { open_budget = outer_; }

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this != &other) {
    Free();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    budget_ = std::exchange(other.budget_, nullptr);
  }
  return *this;
}

void AlignedBuffer::Free() noexcept {
  ::operator delete (data_, std::align_val_t{kAlignment});
  if (budget_ != nullptr) budget_->GiveBack(size_);
  data_ = nullptr;
  size_ = 0;
  budget_ = nullptr;
}

std::byte* AlignedBuffer::Reserve(std::size_t bytes) {
  if (bytes <= size_ && data_ != nullptr) return data_;
  Free();
  if (open_budget != nullptr) open_budget->Take(bytes);
  // Room for a vector that is read across the end.
  const std::size_t rounded = (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
  data_ =
      static_cast<std::byte*>(::operator new (rounded, std::align_val_t{kAlignment}, std::nothrow));
  if (data_ == nullptr) {
    if (open_budget != nullptr) open_budget->GiveBack(bytes);
    throw Error(ErrorCode::kUnsupported, fmt::format("no memory for {} bytes", bytes));
  }
  std::memset(data_, 0, rounded);
  size_ = bytes;
  budget_ = open_budget;
  return data_;
}

void Value::Check() const {
  if (DTypeBits(dtype) == 0) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the runtime has no values of type {}", DTypeName(dtype)));
  }
  if (ElementCount(dims) != 0) return;
  std::int64_t loops = 1;
  for (const std::int64_t dim : dims) {
    if (dim <= 1) continue;
    if (dim > kMaxEmptyLoops / loops) {
      throw Error(ErrorCode::kUnsupported, "an empty value with dimensions this large");
    }
    loops *= dim;
  }
}

std::size_t Value::Elements() const {
  std::size_t count = 1;
  for (const std::int64_t dim : dims) count *= static_cast<std::size_t>(dim);
  return count;
}

std::size_t Value::Bytes() const { return static_cast<std::size_t>(TensorByteCount(dtype, dims)); }

}  // namespace espalier::runtime
