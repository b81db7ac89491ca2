#include "permute/assignment.h"

#include <algorithm>
#include <limits>

#include "espalier/kernels/assignment_row.h"

namespace espalier::internal {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
// A price that makes the padding the worst place for everybody, and leaves room for sums.
constexpr std::int32_t kPadPrice = std::int32_t{1} << 30;

}  // namespace

std::size_t AssignmentStride(std::size_t n) noexcept {
  return (n + kAssignmentUnit - 1) / kAssignmentUnit * kAssignmentUnit;
}

std::span<const std::uint32_t> Assignment::Solve(const std::int32_t* gains, std::size_t n) {
  gains_ = gains;
  n_ = n;
  stride_ = AssignmentStride(n);
  price_.Reserve(stride_);
  distance_.Reserve(stride_);
  open_.Reserve(stride_);
  from_.Reserve(stride_);
  item_of_.assign(n, kNone);
  place_of_.assign(n, kNone);
  if (n == 0) return {};
  ReduceColumns();
  if (n > 1) ReduceRows();
  for (std::uint32_t item = 0; item < n; ++item) {
    if (place_of_[item] == kNone) Augment(item);
  }
  return item_of_;
}

// A place's price is the best gain that any item offers for it; that item gets it, if it is free.
void Assignment::ReduceColumns() {
  std::fill(from_.data(), from_.data() + stride_, 0u);
  std::copy_n(gains_, n_, price_.data());
  std::fill(price_.data() + n_, price_.data() + stride_, kPadPrice);
  for (std::uint32_t item = 1; item < n_; ++item) {
    const std::int32_t* row = Row(item);
    for (std::size_t place = 0; place < n_; ++place) {
      const bool better = row[place] > price_[place];
      price_[place] = better ? row[place] : price_[place];
      from_[place] = better ? item : from_[place];
    }
  }
  for (std::uint32_t place = 0; place < n_; ++place) {
    const std::uint32_t item = from_[place];
    if (place_of_[item] != kNone) continue;
    place_of_[item] = place;
    item_of_[place] = item;
  }
}

// Each item without a place takes the one that it likes best, and pays for it what makes its second
// choice as good. Who had the place before goes on with that, unless nothing was gained.
void Assignment::ReduceRows() {
  waiting_.clear();
  for (std::uint32_t item = 0; item < n_; ++item) {
    if (place_of_[item] == kNone) waiting_.push_back(item);
  }
  // Items may push each other out many times; what is left over, shortest paths place.
  std::size_t budget = 4 * n_;
  for (const std::uint32_t first : waiting_) {
    std::uint32_t item = first;
    while (item != kNone && budget > 0) {
      --budget;
      const CheapestPlaces found = FindCheapestPlaces(price_.data(), Row(item), stride_);
      const std::uint32_t before = item_of_[found.place];
      if (before != kNone && found.first == found.second) break;
      price_[found.place] += found.second - found.first;
      if (before != kNone) place_of_[before] = kNone;
      item_of_[found.place] = item;
      place_of_[item] = found.place;
      item = before;
    }
  }
}

// The shortest way from an item without a place to a place without an item, over places whose
// items move on. The length of a step is price - gain, less what its item pays already.
void Assignment::Augment(std::uint32_t item) {
  std::fill(open_.data(), open_.data() + stride_, kAssignmentNever - 1);
  reached_.clear();
  NearestPlace nearest = RelaxPlaces(price_.data(), Row(item), 0, item, stride_, open_.data(),
                                     distance_.data(), from_.data());
  while (item_of_[nearest.place] != kNone) {
    open_[nearest.place] = kAssignmentNever;
    reached_.push_back(nearest.place);
    const std::uint32_t mover = item_of_[nearest.place];
    const std::int32_t base =
        nearest.distance - (price_[nearest.place] - Row(mover)[nearest.place]);
    nearest = RelaxPlaces(price_.data(), Row(mover), base, mover, stride_, open_.data(),
                          distance_.data(), from_.data());
  }
  for (const std::uint32_t place : reached_) price_[place] += nearest.distance - distance_[place];
  std::uint32_t place = nearest.place;
  while (true) {
    const std::uint32_t mover = from_[place];
    item_of_[place] = mover;
    std::swap(place, place_of_[mover]);
    if (mover == item) break;
  }
}

}  // namespace espalier::internal
