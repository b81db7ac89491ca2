#include "runtime/stripe_chain.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "espalier/base/thread_pool.h"
#include "runtime/value.h"

namespace espalier::runtime {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kLineFloats = kAlignment / sizeof(float);

std::size_t RoundUp(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

// An odd number of cache lines: planes a power of two apart would share a few sets of the cache.
std::size_t PlaneStride(std::size_t floats) {
  const std::size_t lines = (floats + kLineFloats - 1) / kLineFloats;
  return (lines | 1) * kLineFloats;
}

}  // namespace

StripeChain::StripeChain(std::vector<const StripeLayer*> layers, std::size_t rows, int threads)
    : layers_(std::move(layers)), rows_(rows), threads_(threads) {
  for (const StripeLayer* layer : layers_) {
    shapes_.push_back(layer->Shape());
    layer_scratch_ = std::max(layer_scratch_, RoundUp(layer->ScratchBytes(), kAlignment));
  }
  MeasureBuffers();
}

bool StripeChain::Fits() const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i]->Shape() != shapes_[i]) return false;
  }
  return true;
}

std::size_t StripeChain::ScratchBytes() const {
  return static_cast<std::size_t>(threads_) * (buffer_floats_ * sizeof(float) + layer_scratch_);
}

RowRange StripeChain::Share(int thread) const {
  const std::size_t rows = shapes_.back().out_h;
  const auto part = [&](int i) {
    return rows * static_cast<std::size_t>(i) / static_cast<std::size_t>(threads_);
  };
  return {part(thread), part(thread + 1)};
}

// From the last layer's new rows back to the first's: what each reads that is not there yet.
void StripeChain::Next(State& state, RowRange last) const {
  state.todo[layers_.size() - 1] = last;
  for (std::size_t i = layers_.size() - 1; i > 0; --i) {
    const RowRange held = state.held[i - 1];
    const RowRange reads = state.todo[i].empty() ? RowRange{held.begin, held.begin}
                                                 : layers_[i]->InputRows(state.todo[i]);
    // A window that lies in the padding alone reads no row.
    const std::size_t first = reads.empty() ? held.begin : reads.begin;
    state.keep[i - 1] = {std::min(std::max(first, held.begin), held.end), held.end};
    state.todo[i - 1] = reads.empty() ? RowRange{held.end, held.end}
                                      : RowRange{std::max(reads.begin, held.end), reads.end};
  }
}

// Goes through all stripes without computing anything.
void StripeChain::MeasureBuffers() {
  buffers_.assign(layers_.size() - 1, {});
  for (int thread = 0; thread < threads_; ++thread) {
    const RowRange share = Share(thread);
    State state;
    for (std::size_t row = share.begin; row < share.end; row += rows_) {
      Next(state, {row, std::min(row + rows_, share.end)});
      for (std::size_t i = 0; i < buffers_.size(); ++i) {
        if (state.todo[i].empty()) continue;
        RowRange& held = state.held[i];
        held = {state.keep[i].empty() ? state.todo[i].begin : state.keep[i].begin,
                state.todo[i].end};
        buffers_[i].rows = std::max(buffers_[i].rows, held.size());
      }
    }
  }
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    buffers_[i].plane_stride = PlaneStride(buffers_[i].rows * shapes_[i].out_w);
    buffers_[i].offset = buffer_floats_;
    buffer_floats_ += buffers_[i].plane_stride * shapes_[i].out_channels + kLineFloats;
  }
}

// Moves the rows that are read again to the front and makes room for the new ones.
void StripeChain::KeepRows(std::size_t layer, State& state, float* buffers) const {
  const Buffer& buffer = buffers_[layer];
  const std::size_t width = shapes_[layer].out_w;
  const RowRange keep = state.keep[layer];
  RowRange& held = state.held[layer];
  if (!keep.empty() && keep.begin != held.begin) {
    float* plane = buffers + buffer.offset;
    for (std::size_t c = 0; c < shapes_[layer].out_channels; ++c, plane += buffer.plane_stride) {
      std::memmove(plane, plane + (keep.begin - held.begin) * width,
                   keep.size() * width * sizeof(float));
    }
  }
  held = {keep.empty() ? state.todo[layer].begin : keep.begin, state.todo[layer].end};
}

void StripeChain::RunShare(const StripeRun& run, RowRange share, std::byte* scratch,
                           double* seconds) const {
  auto* const buffers = reinterpret_cast<float*>(scratch);
  std::byte* const layer_scratch = scratch + buffer_floats_ * sizeof(float);
  const StripeShape& first = shapes_.front();
  const StripeShape& last = shapes_.back();
  State state;
  for (std::size_t row = share.begin; row < share.end; row += rows_) {
    Next(state, {row, std::min(row + rows_, share.end)});
    // The first layer only reads the input.
    StripeView in{const_cast<float*>(run.in), first.in_h * first.in_w, {0, first.in_h}};
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto begin = seconds == nullptr ? Clock::time_point() : Clock::now();
      StripeView out{run.out, last.out_h * last.out_w, {0, last.out_h}};
      if (i + 1 < layers_.size()) {
        if (!state.todo[i].empty()) KeepRows(i, state, buffers);
        out = {buffers + buffers_[i].offset, buffers_[i].plane_stride, state.held[i]};
      }
      if (!state.todo[i].empty()) {
        layers_[i]->RunRows(run.operands[i], in, out, state.todo[i], layer_scratch);
      }
      in = out;
      if (seconds == nullptr) continue;
      seconds[i] += std::chrono::duration<double>(Clock::now() - begin).count();
    }
  }
}

void StripeChain::Run(const StripeRun& run, std::byte* scratch, double* seconds) const {
  const std::size_t bytes = buffer_floats_ * sizeof(float) + layer_scratch_;
  ThreadPool::Shared().Run(threads_, static_cast<std::size_t>(threads_), [&](std::size_t t) {
    RunShare(run, Share(static_cast<int>(t)), scratch + t * bytes, t == 0 ? seconds : nullptr);
  });
}

}  // namespace espalier::runtime
