#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/graph/graph_builder.h"
#include "tests/permute/zoo.h"

// Networks by hand: each call adds one operator or one small block and returns its value's name.
namespace espalier::testing {

inline Attribute Num(std::int64_t value) { return value; }
inline Attribute Nums(Dims values) { return values; }

/// What a convolution is, besides its channels. Pads keep the size at stride 1.
struct ConvShape {
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t group = 1;
};

class ZooNet {
 public:
  /// The name seeds all random numbers.
  explicit ZooNet(std::string name);

  /// A graph input: "x", or any other name.
  std::string Input(Dims dims, const std::string& name = "x");

  /// Constants: numbers uniform in [low, high); weights for unit variance after `fan_in` terms.
  std::string Uniform(const Dims& dims, double low, double high);
  std::string Weight(const Dims& dims, std::int64_t fan_in);
  /// Mostly positive, so that Relu leaves no channel without a value above zero.
  std::string Bias(std::int64_t channels) { return Uniform({channels}, -0.1, 0.5); }
  std::string Store(Tensor tensor);
  std::string Ints(const Dims& values) { return Store(IntVector(values)); }
  std::string Float(float value);

  std::string Op(const std::string& op, std::vector<std::string> inputs,
                 Attributes attributes = {});
  std::vector<std::string> Ops(const std::string& op, std::vector<std::string> inputs, int outputs,
                               Attributes attributes = {});

  std::string Relu(const std::string& x) { return Op("Relu", {x}); }
  std::string Add(const std::string& a, const std::string& b) { return Op("Add", {a, b}); }
  std::string Mul(const std::string& a, const std::string& b) { return Op("Mul", {a, b}); }
  std::string Silu(const std::string& x) { return Mul(x, Op("Sigmoid", {x})); }
  std::string Gelu(const std::string& x);  ///< As 0.5 x (1 + erf(x / sqrt 2)).

  std::string Conv(const std::string& x, std::int64_t in, std::int64_t out, ConvShape shape = {});
  /// A convolution with a weight that is there already; pads for a 3x3 kernel.
  std::string ConvBy(const std::string& x, const std::string& weight);
  std::string BatchNorm(const std::string& x, std::int64_t channels);
  std::string ConvBnRelu(const std::string& x, std::int64_t in, std::int64_t out,
                         ConvShape shape = {});
  std::string PRelu(const std::string& x, std::int64_t channels);
  std::string GlobalPool(const std::string& x) { return Op("GlobalAveragePool", {x}); }

  /// x [..., in] times a weight [in, out], plus a bias.
  std::string Linear(const std::string& x, std::int64_t in, std::int64_t out);
  std::string Gemm(const std::string& x, std::int64_t in, std::int64_t out, bool transposed = true);
  std::string LayerNorm(const std::string& x, std::int64_t channels);

  std::string Reshape(const std::string& x, const Dims& dims);
  std::string Transpose(const std::string& x, Dims order);
  std::string Concat(std::vector<std::string> parts, std::int64_t axis = 1);
  std::vector<std::string> Split(const std::string& x, const Dims& sizes, std::int64_t axis = 1);
  std::string Slice(const std::string& x, std::int64_t from, std::int64_t to,
                    std::int64_t axis = 1);
  std::string Reduce(const std::string& op, const std::string& x, const Dims& axes);
  std::string MaxPool(const std::string& x, std::int64_t kernel, std::int64_t stride);
  std::string ToFloat(const std::string& x);

  /// The network, with `value` as its output "y".
  ZooGraph Done(const std::string& value, bool moves = true, std::string reason = "");

  GraphBuilder& builder() { return builder_; }

 private:
  std::string name_;
  GraphBuilder builder_;
  int constants_ = 0;
  int values_ = 0;
};

// One function for each topic; each adds its networks.
void AddConvolutions(std::vector<ZooGraph>* zoo);
void AddBlocks(std::vector<ZooGraph>* zoo);
void AddNormalizations(std::vector<ZooGraph>* zoo);
void AddJoins(std::vector<ZooGraph>* zoo);
void AddShuffles(std::vector<ZooGraph>* zoo);
void AddPositions(std::vector<ZooGraph>* zoo);
void AddScopes(std::vector<ZooGraph>* zoo);
void AddMatrices(std::vector<ZooGraph>* zoo);
void AddAttention(std::vector<ZooGraph>* zoo);
void AddQuantized(std::vector<ZooGraph>* zoo);
void AddCorners(std::vector<ZooGraph>* zoo);

}  // namespace espalier::testing
