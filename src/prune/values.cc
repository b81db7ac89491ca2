#include "prune/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "espalier/base/error.h"

namespace espalier {
namespace {

template <class T>
std::span<const T> ElementsAs(const WeightChunk& chunk) {
  return {reinterpret_cast<const T*>(chunk.bytes.data()), chunk.bytes.size() / sizeof(T)};
}

template <class T>
std::span<T> MutableElementsAs(WeightChunk* chunk) {
  return {reinterpret_cast<T*>(chunk->bytes.data()), chunk->bytes.size() / sizeof(T)};
}

float RoundedToFloat(double value) {
  constexpr double kMost = std::numeric_limits<float>::max();
  if (!std::isfinite(value)) return static_cast<float>(value);
  const float rounded = static_cast<float>(std::clamp(value, -kMost, kMost));
  if (rounded != 0.0f || value == 0.0) return rounded;
  return std::copysign(std::numeric_limits<float>::denorm_min(), static_cast<float>(value));
}

// Calls visit(element index, index into the quantization's values).
template <class Visit>
void ForEachScale(const Layer& layer, const WeightChunk& chunk, const Visit& visit) {
  const Quantization::Along along = layer.quantization->along;
  const std::int64_t row_elements = chunk.shape.positions * chunk.shape.channels;
  for (std::int64_t i = 0; i < chunk.elements(); ++i) {
    std::int64_t which = 0;
    if (along == Quantization::Along::kRow) which = chunk.first_row + i / row_elements;
    if (along == Quantization::Along::kChannel) which = i % chunk.shape.channels;
    visit(i, which);
  }
}

// The stored integer of an int8 or uint8 layer.
int StoredInt(const Layer& layer, std::byte byte) {
  return layer.dtype == DType::kInt8 ? static_cast<std::int8_t>(byte)
                                     : static_cast<std::uint8_t>(byte);
}

struct Place {
  std::int64_t row, channel, position;
};

Place PlaceInPackedOrder(const WeightView& view, std::int64_t at) {
  const std::int64_t line = at / view.in.size;
  return {line / view.PositionCount(), at % view.in.size, line % view.PositionCount()};
}

// Strides of a view are the place values of its stored offsets.
Place PlaceInStore(const WeightView& view, std::int64_t at) {
  const auto digit = [at](const Axis& axis) {
    return axis.size == 1 ? 0 : at / axis.stride % axis.size;
  };
  Place place{0, digit(view.in), 0};
  for (const Axis& group : view.groups) place.row = place.row * group.size + digit(group);
  place.row = place.row * view.out.size + digit(view.out);
  for (const Axis& axis : view.positions) place.position = place.position * axis.size + digit(axis);
  return place;
}

}  // namespace

void DecodeValues(const Layer& layer, const WeightChunk& chunk, std::vector<float>* values) {
  values->resize(chunk.elements());
  switch (layer.dtype) {
    case DType::kFloat32:
      std::memcpy(values->data(), chunk.bytes.data(), chunk.bytes.size());
      return;
    case DType::kFloat16:
      std::ranges::transform(ElementsAs<std::uint16_t>(chunk), values->begin(), HalfToFloat);
      return;
    case DType::kBFloat16:
      std::ranges::transform(ElementsAs<std::uint16_t>(chunk), values->begin(), BFloat16ToFloat);
      return;
    case DType::kFloat64:
      std::ranges::transform(ElementsAs<double>(chunk), values->begin(), RoundedToFloat);
      return;
    default:
      ESPALIER_CHECK(layer.quantization.has_value());
      ForEachScale(layer, chunk, [&](std::int64_t i, std::int64_t which) {
        const int offset = StoredInt(layer, chunk.bytes[i]) - layer.quantization->zero_point[which];
        (*values)[i] = static_cast<float>(offset) * layer.quantization->scale[which];
      });
  }
}

namespace {

MagnitudeStats MeasureWithKernel(const Layer& layer, const WeightChunk& chunk) {
  const std::size_t count = chunk.elements();
  const auto* halves = reinterpret_cast<const std::uint16_t*>(chunk.bytes.data());
  switch (layer.dtype) {
    case DType::kFloat32:
      return MeasureMagnitudes(reinterpret_cast<const float*>(halves), count);
    case DType::kFloat16:
      return MeasureHalfMagnitudes(halves, count);
    case DType::kBFloat16:
      return MeasureBFloat16Magnitudes(halves, count);
    default:
      std::vector<float> values;
      DecodeValues(layer, chunk, &values);
      return MeasureMagnitudes(values.data(), count);
  }
}

}  // namespace

void ScoreChunk(const Criterion& criterion, const Layer& layer, const WeightChunk& chunk,
                std::vector<float>* scores) {
  std::vector<float> values;
  DecodeValues(layer, chunk, &values);
  scores->resize(values.size());
  criterion.Score({layer, chunk.first_element, chunk.flat, values}, *scores);
  const auto bad = std::ranges::find_if(
      *scores, [](float score) { return !(score >= 0.0f) || std::isinf(score); });
  if (bad != scores->end()) {
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("criterion '{}' scores a weight of layer '{}' with {}; scores have to be "
                    "finite and >= 0",
                    criterion.Name(), layer.name, *bad));
  }
}

MagnitudeStats MeasureChunk(const Layer& layer, const WeightChunk& chunk) {
  MagnitudeStats stats = MeasureWithKernel(layer, chunk);
  if (!IsFloatDType(layer.dtype)) {  // a tiny scale may round a nonzero's magnitude to 0
    std::vector<std::uint8_t> nonzero;
    FindNonzeros(layer, chunk, &nonzero);
    stats.zeros = std::ranges::count(nonzero, std::uint8_t{0});
  }
  if (!std::isinf(stats.sum)) return stats;
  // The kernel's float lanes overflow on weights above FLT_MAX / 256; doubles do not.
  std::vector<float> values;
  DecodeValues(layer, chunk, &values);
  stats.sum = 0;
  for (const float value : values) stats.sum += std::fabs(double{value});
  return stats;
}

void FindNonzeros(const Layer& layer, const WeightChunk& chunk,
                  std::vector<std::uint8_t>* nonzero) {
  nonzero->resize(chunk.elements());
  const auto is_nonzero = [](auto value) { return static_cast<std::uint8_t>(value != 0); };
  switch (layer.dtype) {
    case DType::kFloat32:
      std::ranges::transform(ElementsAs<float>(chunk), nonzero->begin(), is_nonzero);
      return;
    case DType::kFloat64:
      std::ranges::transform(ElementsAs<double>(chunk), nonzero->begin(), is_nonzero);
      return;
    case DType::kFloat16:
    case DType::kBFloat16:
      std::ranges::transform(
          ElementsAs<std::uint16_t>(chunk), nonzero->begin(),
          [](std::uint16_t bits) { return static_cast<std::uint8_t>((bits & 0x7FFF) != 0); });
      return;
    default:
      ESPALIER_CHECK(layer.quantization.has_value());
      ForEachScale(layer, chunk, [&](std::int64_t i, std::int64_t which) {
        (*nonzero)[i] = StoredInt(layer, chunk.bytes[i]) != layer.quantization->zero_point[which];
      });
  }
}

void ZeroDropped(const Layer& layer, std::span<const std::uint8_t> keep, WeightChunk* chunk) {
  const auto zero = [&]<class T>(T) {
    const std::span<T> elements = MutableElementsAs<T>(chunk);
    for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = keep[i] ? elements[i] : T{0};
  };
  switch (layer.dtype) {
    case DType::kFloat32:
      return zero(std::uint32_t{});
    case DType::kFloat64:
      return zero(std::uint64_t{});
    case DType::kFloat16:
    case DType::kBFloat16:
      return zero(std::uint16_t{});
    default:
      ESPALIER_CHECK(layer.quantization.has_value());
      ForEachScale(layer, *chunk, [&](std::int64_t i, std::int64_t which) {
        if (!keep[i])
          chunk->bytes[i] = static_cast<std::byte>(layer.quantization->zero_point[which]);
      });
  }
}

void CheckFinite(const Layer& layer, const WeightChunk& chunk, const MagnitudeStats& stats) {
  if (stats.finite) return;
  std::vector<float> values;
  DecodeValues(layer, chunk, &values);
  const auto bad = std::ranges::find_if(values, [](float value) { return !std::isfinite(value); });
  const std::int64_t at = chunk.first_element + (bad - values.begin());
  const auto [row, channel, position] =
      chunk.flat ? PlaceInStore(layer.view, at) : PlaceInPackedOrder(layer.view, at);
  throw Error(
      ErrorCode::kBadFile,
      fmt::format("weight '{}' of layer '{}' has {} at output channel {}, input channel {}, "
                  "kernel position {}; mend the model or leave the layer out with --skip",
                  layer.weight, layer.name, std::isnan(*bad) ? "NaN" : "an infinity", row, channel,
                  position));
}

}  // namespace espalier
