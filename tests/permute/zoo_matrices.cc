#include "tests/permute/zoo_net.h"

namespace espalier::testing {
namespace {

const Dims kImage = {2, 4, 4, 4};
const Dims kTokens = {2, 5, 8};

// Two convolutions, so that 16 channels come out and 12 lie between. No pixel is zero.
std::string Stem(ZooNet* net) {
  return net->PRelu(net->Conv(net->ConvBnRelu(net->Input(kImage), 4, 12), 12, 16), 16);
}

ZooGraph Mlp() {
  ZooNet net("mlp");
  std::string h = net.Relu(net.Linear(net.Input(kTokens), 8, 32));
  h = net.Op("Tanh", {net.Linear(h, 32, 16)});
  return net.Done(net.Linear(h, 16, 8));
}

ZooGraph GemmChain() {
  ZooNet net("gemm_chain");
  std::string h = net.Relu(net.Gemm(net.Input({6, 8}), 8, 16, true));
  h = net.Relu(net.Gemm(h, 16, 24, false));
  return net.Done(net.Gemm(h, 24, 8, true));
}

ZooGraph GemmAlphaBeta() {
  ZooNet net("gemm_alpha_beta");
  const std::string h = net.Relu(net.Gemm(net.Input({6, 8}), 8, 16));
  const std::string weight = net.Weight({12, 16}, 16), bias = net.Uniform({1, 12}, -0.2, 1);
  const std::string middle =
      net.Op("Gemm", {h, weight, bias},
             {{"transB", Num(1)}, {"alpha", Attribute(0.7F)}, {"beta", Attribute(1.5F)}});
  return net.Done(net.Gemm(net.Op("LeakyRelu", {middle}), 12, 8, false));
}

// The first layer works on columns, [16, 6]; the second reads them as rows.
ZooGraph GemmTransA() {
  ZooNet net("gemm_trans_a");
  const std::string columns = net.Add(net.Op("MatMul", {net.Weight({16, 8}, 8), net.Input({8, 6})}),
                                      net.Uniform({16, 1}, 0, 1));
  const std::string h = net.Op("Gemm", {net.Relu(columns), net.Weight({16, 12}, 16), net.Bias(12)},
                               {{"transA", Num(1)}});
  return net.Done(net.Gemm(net.Relu(h), 12, 8));
}

// The exporter leaves a Transpose before each weight.
ZooGraph TransposedWeights() {
  ZooNet net("transposed_weights");
  std::string h = net.Input(kTokens);
  for (const auto& [in, out] : {std::pair{8, 16}, std::pair{16, 12}, std::pair{12, 8}}) {
    h = net.Op("MatMul", {h, net.Transpose(net.Weight({out, in}, in), {1, 0})});
    h = net.Op("LeakyRelu", {net.Add(h, net.Bias(out))});
  }
  return net.Done(h);
}

ZooGraph BatchNormMlp() {
  ZooNet net("mlp_batch_norm");
  std::string h = net.Relu(net.BatchNorm(net.Gemm(net.Input({6, 8}), 8, 16), 16));
  h = net.Relu(net.BatchNorm(net.Gemm(h, 16, 12, false), 12));
  return net.Done(net.Gemm(h, 12, 8));
}

ZooGraph ConstantOnTheLeft() {
  ZooNet net("matmul_constant_left");
  std::string h = net.Op("MatMul", {net.Weight({16, 8}, 8), net.Input({2, 8, 6})});
  h = net.Relu(net.Add(h, net.Uniform({16, 1}, -0.1, 0.5)));
  h = net.Relu(net.Op("MatMul", {net.Weight({12, 16}, 16), h}));
  return net.Done(net.Op("MatMul", {net.Weight({8, 12}, 12), h}));
}

// MLP-Mixer: layers over the tokens in turn with layers over the channels.
ZooGraph Mixer() {
  ZooNet net("mlp_mixer");
  std::string h = net.Linear(net.Linear(net.Input({2, 8, 8}), 8, 16), 16, 16);
  for (int i = 0; i < 2; ++i) {
    std::string tokens = net.Transpose(net.LayerNorm(h, 16), {0, 2, 1});
    tokens = net.Linear(net.Gelu(net.Linear(tokens, 8, 12)), 12, 8);
    h = net.Add(h, net.Transpose(tokens, {0, 2, 1}));
    h = net.Add(h, net.Linear(net.Gelu(net.Linear(net.LayerNorm(h, 16), 16, 32)), 32, 16));
  }
  return net.Done(net.Linear(h, 16, 8));
}

// A weight for each of two experts, stacked; both orders move together.
ZooGraph StackedExperts() {
  ZooNet net("stacked_experts");
  const std::string x = net.Input({2, 5, 8});
  const std::string h =
      net.Add(net.Op("MatMul", {x, net.Weight({2, 8, 16}, 8)}), net.Uniform({2, 1, 16}, -0.1, 0.5));
  return net.Done(net.Op("MatMul", {net.Gelu(h), net.Weight({2, 16, 8}, 16)}));
}

ZooGraph FlattenGemm() {
  ZooNet net("flatten_gemm");
  const std::string h = net.Op("Flatten", {net.MaxPool(Stem(&net), 2, 2)});
  return net.Done(net.Gemm(net.Relu(net.Gemm(h, 64, 16)), 16, 8));
}

ZooGraph ReshapeGemm() {
  ZooNet net("reshape_gemm_pixels");
  const std::string h = net.Reshape(net.MaxPool(Stem(&net), 2, 2), {0, -1});
  return net.Done(net.Gemm(net.Relu(net.Gemm(h, 64, 16, false)), 16, 8));
}

// Pixels first, so that the channels are the inner axis.
ZooGraph FlattenNhwcGemm() {
  ZooNet net("flatten_nhwc_gemm");
  const std::string h = net.Conv(net.Input(kImage), 4, 8);
  const std::string flat = net.Op("Flatten", {net.Transpose(net.MaxPool(h, 2, 2), {0, 2, 3, 1})});
  return net.Done(net.Gemm(flat, 32, 8));
}

ZooGraph PoolGemm(bool transposed) {
  ZooNet net(fmt::format("pool_flatten_gemm_transB_{}", transposed ? 1 : 0));
  const std::string h = net.Op("Flatten", {net.GlobalPool(Stem(&net))});
  return net.Done(net.Gemm(h, 16, 8, transposed));
}

ZooGraph NhwcMatMul() {
  ZooNet net("nhwc_matmul");
  std::string h = net.Transpose(Stem(&net), {0, 2, 3, 1});
  h = net.Gelu(net.Linear(h, 16, 24));
  h = net.Transpose(net.Linear(h, 24, 12), {0, 3, 1, 2});
  return net.Done(net.Conv(h, 12, 8));
}

// Numbers in (-1, 1) become rows of a table: indices from the end are allowed, too.
std::string Embed(ZooNet* net, const std::string& x, std::int64_t channels) {
  const std::string scaled = net->Mul(x, net->Float(15.9F));
  const std::string ids = net->Op("Cast", {scaled}, {{"to", Num(7)}});  // 7: INT64
  return net->Op("Gather", {net->Uniform({16, channels}, -1, 1), ids});
}

ZooGraph EmbeddingMlp() {
  ZooNet net("embedding_mlp");
  std::string h = net.LayerNorm(Embed(&net, net.Input({2, 6}), 16), 16);
  h = net.Add(h, net.Uniform({1, 6, 16}, -1, 1));
  return net.Done(net.Linear(net.Relu(net.Linear(h, 16, 12)), 12, 8));
}

// The table of the inputs is the weight of the last layer, too.
ZooGraph TiedEmbedding() {
  ZooNet net("tied_embedding");
  const std::string table = net.Weight({16, 12}, 12);
  const std::string ids =
      net.Op("Cast", {net.Mul(net.Input({2, 6}), net.Float(15.9F))}, {{"to", Num(7)}});
  std::string h = net.Op("Gather", {table, ids});
  h = net.Add(h, net.Linear(net.Relu(net.Linear(h, 12, 24)), 24, 12));
  return net.Done(net.Op("MatMul", {h, net.Transpose(table, {1, 0})}));
}

struct Cell {
  const char* op;
  std::int64_t gates;
  std::int64_t directions;
};

// x [steps, batch, in] -> [steps, directions, batch, hidden].
std::string Recurrent(ZooNet* net, const Cell& cell, const std::string& x, std::int64_t in,
                      std::int64_t hidden) {
  const std::int64_t rows = cell.gates * hidden, ways = cell.directions;
  const char* const direction = ways == 2 ? "bidirectional" : "forward";
  return net->Op(cell.op,
                 {x, net->Weight({ways, rows, in}, in), net->Weight({ways, rows, hidden}, hidden),
                  net->Uniform({ways, 2 * rows}, -0.5, 0.5)},
                 {{"hidden_size", Num(hidden)}, {"direction", Attribute(std::string(direction))}});
}

ZooGraph TwoLstms() {
  ZooNet net("lstm");
  std::string h = net.Op("Tanh", {net.Linear(net.Input({5, 2, 8}), 8, 16)});
  for (int i = 0; i < 2; ++i) {
    h = net.Op("Squeeze", {Recurrent(&net, {"LSTM", 4, 1}, h, 16, 16), net.Ints({1})});
  }
  return net.Done(net.Linear(h, 16, 8));
}

ZooGraph BidirectionalGru() {
  ZooNet net("gru_bidirectional");
  std::string h = net.Op("Tanh", {net.Linear(net.Input({5, 2, 8}), 8, 16)});
  h = net.Transpose(Recurrent(&net, {"GRU", 3, 2}, h, 16, 8), {0, 2, 1, 3});
  return net.Done(net.Linear(net.Reshape(h, {5, 2, 16}), 16, 8));
}

// Columns of an image's features are the steps.
ZooGraph ConvGru() {
  ZooNet net("conv_gru");
  std::string h = net.Op("ReduceMean", {Stem(&net), net.Ints({2})}, {{"keepdims", Num(0)}});
  h = Recurrent(&net, {"GRU", 3, 1}, net.Transpose(h, {2, 0, 1}), 16, 12);
  return net.Done(net.Linear(h, 12, 8));
}

}  // namespace

void AddMatrices(std::vector<ZooGraph>* zoo) {
  zoo->insert(zoo->end(), {Mlp(),
                           GemmChain(),
                           GemmAlphaBeta(),
                           GemmTransA(),
                           TransposedWeights(),
                           BatchNormMlp(),
                           ConstantOnTheLeft(),
                           Mixer(),
                           StackedExperts(),
                           FlattenGemm(),
                           ReshapeGemm(),
                           FlattenNhwcGemm(),
                           PoolGemm(false),
                           PoolGemm(true),
                           NhwcMatMul(),
                           EmbeddingMlp(),
                           TiedEmbedding(),
                           TwoLstms(),
                           BidirectionalGru(),
                           ConvGru()});
}

}  // namespace espalier::testing
