#include <algorithm>

#include "tests/esp/esp_case.h"

namespace espalier {
namespace {

struct Stored {
  EspConstantReport report;
  Tensor tensor;
};

Stored Store(const Tensor& tensor, EspValues values = EspValues::kFloat32) {
  EspOptions options;
  options.values = values;
  options.min_elements = 100;
  EspReport report;
  const std::vector<std::byte> bytes =
      WriteEspToBytes(GraphOf({{"w", 0, tensor}}), options, &report);
  return {report.constants.at(0), ReadEspFromBytes(bytes).graph.constants.at(0).tensor};
}

// Stores, checks that the same bytes come back, and returns how it was stored.
std::string StoreExactly(const Tensor& tensor) {
  const Stored stored = Store(tensor);
  EXPECT_TRUE(difference::Same(stored.tensor, tensor)) << stored.report.encoding;
  EXPECT_EQ(stored.report.max_error, 0);
  EXPECT_EQ(stored.report.bytes_before, tensor.bytes().size());
  EXPECT_LE(stored.report.bytes_after, tensor.bytes().size());
  return stored.report.encoding;
}

Tensor Floats(Dims dims, const std::vector<float>& values) {
  return TensorOf(DType::kFloat32, std::move(dims), values);
}

// `kept` of each `group` along the middle dimension of [outer, channels, inner] are not zero.
std::vector<float> Grouped(std::size_t outer, std::size_t channels, std::size_t inner,
                           std::size_t group, std::size_t kept) {
  std::mt19937 random(5);
  std::vector<float> values = SparseFloats(outer * channels * inner, 0);
  for (std::size_t o = 0; o < outer; ++o) {
    for (std::size_t first = 0; first < channels; first += group) {
      for (std::size_t i = 0; i < inner; ++i) {
        std::vector<std::size_t> order(group);
        for (std::size_t j = 0; j < group; ++j) order[j] = j;
        std::shuffle(order.begin(), order.end(), random);
        for (std::size_t j = kept; j < group; ++j) {
          values[(o * channels + first + order[j]) * inner + i] = 0;
        }
      }
    }
  }
  return values;
}

TEST(EspEncoding, EachSparsityAndOddSizeComesBackToTheBit) {
  for (const std::size_t count : {65, 127, 128, 129, 1000, 4096, 5003}) {
    for (const double zeros : {0.0, 0.1, 0.5, 0.75, 0.85, 0.95, 0.99, 0.999, 1.0}) {
      for (const unsigned seed : {1u, 2u, 3u}) {
        SCOPED_TRACE(fmt::format("{} values, {} zeros, seed {}", count, zeros, seed));
        StoreExactly(Floats({static_cast<std::int64_t>(count)}, SparseFloats(count, zeros, seed)));
      }
    }
  }
}

TEST(EspEncoding, ChoosesTheSmallest) {
  EXPECT_EQ(StoreExactly(Floats({64}, SparseFloats(64, 0))), "inline");
  EXPECT_EQ(StoreExactly(Floats({4096}, SparseFloats(4096, 0))), "raw");
  EXPECT_EQ(StoreExactly(Floats({4096}, SparseFloats(4096, 1))), "fill");
  EXPECT_EQ(StoreExactly(Floats({4096}, std::vector<float>(4096, 0.1f))), "fill");
  EXPECT_EQ(StoreExactly(Floats({4096}, SparseFloats(4096, 0.4))), "bitmap");
  EXPECT_EQ(StoreExactly(Floats({65536}, SparseFloats(65536, 0.75))), "gaps of 3 bits");
  EXPECT_EQ(StoreExactly(Floats({65536}, SparseFloats(65536, 0.99))), "gaps of 8 bits");
}

TEST(EspEncoding, PositionsTakeLessThanABitAWeight) {
  const double bytes = 4 * 65536;
  for (const double zeros : {0.5, 0.75, 0.85, 0.9, 0.95}) {
    const Stored stored = Store(Floats({65536}, SparseFloats(65536, zeros)));
    const double entropy = -zeros * std::log2(zeros) - (1 - zeros) * std::log2(1 - zeros);
    const double positions =
        32 * (static_cast<double>(stored.report.bytes_after) / bytes - (1 - zeros));
    // 0.05 bits: the sample's own share of zeros varies by 0.002, each of 32 bits.
    EXPECT_LT(positions, std::min(1.0, 1.12 * entropy) + 0.07) << zeros;
  }
}

TEST(EspEncoding, FindsGroupsAlongEachDimension) {
  struct Case {
    std::size_t group, kept;
    std::string encoding;
  };
  for (const Case& c : {Case{4, 2, "2 of 4"}, Case{4, 1, "1 of 4"}, Case{8, 2, "2 of 8"},
                        Case{8, 5, "5 of 8"}, Case{16, 2, "2 of 16"}, Case{16, 9, "9 of 16"}}) {
    for (const std::size_t inner : {1, 3, 9, 63, 64, 65, 200}) {
      SCOPED_TRACE(fmt::format("{} apart: {}", c.encoding, inner));
      const std::vector<float> values = Grouped(10, 48, inner, c.group, c.kept);
      EXPECT_EQ(StoreExactly(Floats({10, 48, static_cast<std::int64_t>(inner)}, values)),
                c.encoding);
    }
  }
}

TEST(EspEncoding, GroupsWithFewerValuesAreFilledUp) {
  std::vector<float> values = Grouped(64, 64, 1, 4, 2);
  for (std::size_t i = 0; i < values.size(); i += 97) values[i] = 0;
  *std::ranges::find_if(values, [](float value) { return value != 0; }) = -0.0f;
  EXPECT_EQ(StoreExactly(Floats({64, 64}, values)), "2 of 4");
}

TEST(EspEncoding, ZerosWithSignAndNansKeepTheirBits) {
  std::vector<float> values = SparseFloats(5000, 0.8);
  std::vector<std::uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), 4 * bits.size());
  bits[0] = bits[77] = bits[4999] = 0x80000000u;  // -0
  bits[1] = bits[4998] = 0x7F800001u;             // signalling NaN
  bits[2] = 0xFFFFFFFFu;                          // NaN with all its payload
  bits[3] = 0x7F800000u;                          // infinity
  bits[4] = bits[64] = 1;                         // smallest subnormal
  for (const char* expected : {"gaps of 3 bits"}) {
    EXPECT_EQ(StoreExactly(TensorOf(DType::kFloat32, {5000}, bits)), expected);
  }
  std::fill(bits.begin() + 10, bits.end(), 0x80000000u);
  EXPECT_EQ(StoreExactly(TensorOf(DType::kFloat32, {5000}, bits)).substr(0, 4), "gaps");
}

TEST(EspEncoding, LongGapsAtBothEnds) {
  for (const std::size_t at : {0, 1, 4094, 4095, 4096, 8190, 99998, 99999}) {
    SCOPED_TRACE(at);
    std::vector<float> values(100000, 0.0f);
    values[at] = 1;
    StoreExactly(Floats({100000}, values));
    std::fill(values.begin(), values.end(), 2.5f);
    values[at] = 0;
    StoreExactly(Floats({100000}, values));
  }
}

template <typename T>
void StoreQuantized(DType dtype, T zero_point) {
  std::vector<T> values;
  for (const float value : SparseFloats(6000, 0.7)) {
    values.push_back(static_cast<T>(static_cast<T>(value * 1e4f) + zero_point));
  }
  EXPECT_NE(StoreExactly(TensorOf(dtype, {60, 100}, values)), "raw") << DTypeName(dtype);
}

TEST(EspEncoding, TheMostFrequentValueNeedNotBeZero) {
  StoreQuantized<std::uint8_t>(DType::kUint8, 128);
  StoreQuantized<std::int8_t>(DType::kInt8, -3);
  StoreQuantized<std::int16_t>(DType::kInt16, 1000);
  StoreQuantized<std::int32_t>(DType::kInt32, 7);
  StoreQuantized<std::int64_t>(DType::kInt64, -1);
  StoreQuantized<double>(DType::kFloat64, 0.5);
}

TEST(EspEncoding, EachTypeComesBack) {
  std::mt19937 random(3);
  for (int type = 1; type < static_cast<int>(DType::kString); ++type) {
    const auto dtype = static_cast<DType>(type);
    for (const std::int64_t elements : {0, 1, 3, 101, 1001}) {
      for (const unsigned zeros : {0u, 2u, 9u, 10u}) {
        std::vector<std::byte> bytes(TensorByteCount(dtype, {elements}));
        for (std::byte& byte : bytes) {
          byte = random() % 10 < zeros ? std::byte{0} : static_cast<std::byte>(random());
        }
        SCOPED_TRACE(fmt::format("{} {} {}", DTypeName(dtype), elements, zeros));
        StoreExactly(Tensor(dtype, {elements}, std::move(bytes)));
      }
    }
  }
}

// Half the distance between neighbours of the type at `value`.
double HalfStep(double value, int fraction_bits, int least_exponent) {
  const int exponent = value == 0 ? least_exponent : std::ilogb(value);
  return std::ldexp(0.5, std::max(exponent, least_exponent) - fraction_bits);
}

void ExpectRounded(EspValues type, int fraction_bits, int least_exponent, double zeros) {
  std::vector<float> values = SparseFloats(4000, zeros);
  values[5] = 1e-7f;  // a subnormal half
  values[6] = 1e-12f;
  values[7] = -0.0f;
  const Stored stored = Store(Floats({40, 100}, values), type);
  double max_error = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    float read = 0;
    std::memcpy(&read, stored.tensor.bytes().data() + 4 * i, 4);
    const double error = std::abs(static_cast<double>(read) - static_cast<double>(values[i]));
    ASSERT_LE(error, HalfStep(values[i], fraction_bits, least_exponent)) << values[i];
    ASSERT_EQ(std::signbit(read), std::signbit(values[i])) << values[i];
    max_error = std::max(max_error, error);
  }
  EXPECT_EQ(stored.report.max_error, max_error);
  EXPECT_GT(max_error, 0);
  EXPECT_EQ(stored.report.note, "");
}

TEST(EspEncoding, RoundsWeightsToTheNearest) {
  for (const double zeros : {0.0, 0.3, 0.75, 0.97}) {
    SCOPED_TRACE(zeros);
    ExpectRounded(EspValues::kFloat16, 10, -14, zeros);
    ExpectRounded(EspValues::kBFloat16, 7, -126, zeros);
  }
}

TEST(EspEncoding, SizesMeetTheTargetsAt75Percent) {
  const Tensor weight = Floats({512, 512, 1, 1}, SparseFloats(512 * 512, 0.75));
  const auto ratio = [&](EspValues values) {
    const Stored stored =
        Store(TensorOf<float>(DType::kFloat32, {512, 512},
                              [&] {
                                std::vector<float> copy(512 * 512);
                                std::memcpy(copy.data(), weight.bytes().data(), 4 * copy.size());
                                return copy;
                              }()),
              values);
    return static_cast<double>(stored.report.bytes_after) / (4.0 * 512 * 512);
  };
  EXPECT_LT(ratio(EspValues::kFloat32), 0.28);
  EXPECT_LT(ratio(EspValues::kFloat16), 0.155);
  EXPECT_LT(ratio(EspValues::kBFloat16), 0.155);
}

TEST(EspEncoding, WeightsOutOfRangeStayExact) {
  std::vector<float> values = SparseFloats(4000, 0.5);
  values[9] = -65520.0f;  // rounds to infinity; 65519 would not
  const Tensor tensor = Floats({40, 100}, values);
  Stored stored = Store(tensor, EspValues::kFloat16);
  EXPECT_TRUE(difference::Same(stored.tensor, tensor));
  EXPECT_EQ(stored.report.encoding, "bitmap");
  EXPECT_EQ(stored.report.note, "kept exact: it has a value out of the range of float16");
  EXPECT_EQ(Store(tensor, EspValues::kBFloat16).report.encoding, "bitmap bfloat16");
  values[9] = 65519.0f;
  EXPECT_EQ(Store(Floats({40, 100}, values), EspValues::kFloat16).report.encoding,
            "bitmap float16");
  values[9] = std::numeric_limits<float>::quiet_NaN();
  stored = Store(Floats({40, 100}, values), EspValues::kBFloat16);
  EXPECT_EQ(stored.report.note, "kept exact: it has a value that is not finite");
}

TEST(EspEncoding, OnlyWeightsOfLayersAreRounded) {
  const Tensor matrix = Floats({20, 20}, SparseFloats(400, 0));
  Graph graph = GraphOf(
      {{"weight", 0, matrix},
       {"vector", 0, Floats({400}, SparseFloats(400, 0))},
       {"small", 0, Floats({9, 11}, SparseFloats(99, 0))},
       {"table", 0, matrix},
       {"whole", 0,
        TensorOf<std::int32_t>(DType::kInt32, {20, 20}, std::vector<std::int32_t>(400, 9))}});
  graph.scopes[0].nodes[3].op_type = "Add";
  EspOptions options;
  options.values = EspValues::kFloat16;
  options.min_elements = 100;
  EspReport report;
  const Graph read = ReadEspFromBytes(WriteEspToBytes(graph, options, &report)).graph;
  EXPECT_EQ(report.constants[0].encoding, "raw float16");
  EXPECT_FALSE(difference::Same(read.constants[0].tensor, matrix));
  for (std::size_t i = 1; i < 5; ++i) {
    EXPECT_TRUE(difference::Same(read.constants[i].tensor, graph.constants[i].tensor)) << i;
    EXPECT_EQ(report.constants[i].note, "") << i;
  }
}

TEST(EspEncoding, WhatWasRoundedOnceIsNotRoundedAgain) {
  const Stored first = Store(Floats({40, 100}, SparseFloats(4000, 0.75)), EspValues::kFloat16);
  const Stored second = Store(first.tensor, EspValues::kFloat16);
  EXPECT_TRUE(difference::Same(first.tensor, second.tensor));
  EXPECT_EQ(second.report.max_error, 0);
}

}  // namespace
}  // namespace espalier
