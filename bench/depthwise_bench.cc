// Our depthwise convolution beside oneDNN's, in turn in one process, one thread, on the layers of
// MobileNetV1 and V2 at 224 x 224 and of a PicoDet-m-like detector at 320 x 320.
//
//     depthwise_bench [CHANNELS SIZE KERNEL STRIDE]     one layer only, as a line of figures
//
// A turn is 8 layers one after the other on two buffers (of stride 2: 8 on the same input), as in
// depthwise_onnxruntime.py. The time is this thread's CPU time, median and p10 of the turns. The
// last columns are GFLOP/s, and cycles for each 8 outputs at --ghz (3.4): FMA alone would take
// taps / 2 with 256-bit vectors.
#include <fmt/format.h>
#include <omp.h>

#include <unordered_map>

#include "bench/ratio.h"
#include "espalier/kernels/depthwise.h"
#include "oneapi/dnnl/dnnl.hpp"

namespace espalier {
namespace {

struct Layer {
  const char* model;
  std::uint32_t channels, size, kernel, stride;
};

constexpr Layer kLayers[] = {
    {"v1", 32, 112, 3, 1}, {"v1", 64, 112, 3, 2}, {"v1", 128, 56, 3, 1}, {"v1", 128, 56, 3, 2},
    {"v1", 256, 28, 3, 1}, {"v1", 256, 28, 3, 2}, {"v1", 512, 14, 3, 1}, {"v1", 512, 14, 3, 2},
    {"v1", 1024, 7, 3, 1}, {"v2", 96, 112, 3, 2}, {"v2", 144, 56, 3, 1}, {"v2", 144, 56, 3, 2},
    {"v2", 192, 28, 3, 1}, {"v2", 192, 28, 3, 2}, {"v2", 384, 14, 3, 1}, {"v2", 576, 14, 3, 1},
    {"v2", 576, 14, 3, 2}, {"v2", 960, 7, 3, 1},  {"pd", 24, 160, 3, 1}, {"pd", 48, 160, 3, 2},
    {"pd", 96, 80, 3, 1},  {"pd", 96, 80, 3, 2},  {"pd", 192, 40, 3, 1}, {"pd", 192, 40, 3, 2},
    {"pd", 384, 20, 5, 1}, {"pd", 384, 20, 5, 2}, {"pd", 768, 10, 5, 1}, {"pd", 64, 40, 5, 1},
    {"pd", 64, 20, 5, 1},  {"pd", 64, 10, 5, 1},  {"pd", 128, 40, 5, 1}, {"pd", 128, 40, 5, 2},
    {"pd", 128, 20, 5, 1}, {"pd", 128, 20, 5, 2}, {"pd", 128, 10, 5, 1}, {"pd", 128, 10, 5, 2},
    {"pd", 128, 5, 5, 1},
};
constexpr int kChain = 8;

std::uint32_t OutSize(const Layer& l) { return (l.size - 1) / l.stride + 1; }

class Ours {
 public:
  explicit Ours(const Layer& layer) : layer_(layer) {
    shape_.in_h = shape_.in_w = layer.size;
    shape_.kernel_h = shape_.kernel_w = layer.kernel;
    shape_.stride_h = shape_.stride_w = layer.stride;
    shape_.pad_top = shape_.pad_left = layer.kernel / 2;
    shape_.out_h = shape_.out_w = OutSize(layer);
    buffers_[0] = buffers_[1] =
        NormalWeights(std::size_t{layer.channels} * layer.size * layer.size);
    weights_ = NormalWeights(std::size_t{kChain} * layer.channels * layer.kernel * layer.kernel);
    bias_ = NormalWeights(std::size_t{kChain} * layer.channels);
  }

  void RunChain() {
    const std::size_t c = layer_.channels, out = shape_.out_h;
    for (std::size_t i = 0; i < kChain; ++i) {
      const std::size_t from = layer_.stride == 1 ? i % 2 : 0;
      const std::size_t plane = std::size_t{layer_.size} * layer_.size;
      DepthwiseOutput output;
      output.y = buffers_[1 - from].data();
      output.plane_stride = out * out;
      output.activation.kind = ActivationKind::kRelu;
      DepthwiseConv(shape_, {&weights_[i * c * layer_.kernel * layer_.kernel], &bias_[i * c]},
                    {buffers_[from].data(), plane, 0, layer_.size}, output, {0, c, 0, out});
    }
  }

 private:
  Layer layer_;
  DepthwiseShape shape_;
  std::vector<float> buffers_[2], weights_, bias_;
};

class OneDnn {
 public:
  explicit OneDnn(const Layer& l) : stride_(l.stride) {
    using Dims = dnnl::memory::dims;
    const auto any = [](const Dims& dims) {
      return dnnl::memory::desc(dims, dnnl::memory::data_type::f32, dnnl::memory::format_tag::any);
    };
    const dnnl_dim_t c = l.channels, size = l.size, k = l.kernel, out = OutSize(l);
    const dnnl_dim_t pad = k / 2, pad_end = (out - 1) * l.stride + k - pad - size;
    const dnnl::convolution_forward::desc desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        any({1, c, size, size}), any({c, 1, 1, k, k}), any({c}), any({1, c, out, out}),
        Dims{l.stride, l.stride}, Dims{pad, pad}, Dims{pad_end, pad_end});
    dnnl::post_ops relu;
    relu.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    dnnl::primitive_attr attr;
    attr.set_post_ops(relu);
    const dnnl::convolution_forward::primitive_desc primitive(desc, attr, engine_);
    primitive_ = dnnl::convolution_forward(primitive);
    buffers_[0] = Filled(primitive.src_desc());
    buffers_[1] = Filled(l.stride == 1 ? primitive.src_desc() : primitive.dst_desc());
    for (int i = 0; i < kChain; ++i) {
      weights_.push_back(Filled(primitive.weights_desc()));
      bias_.push_back(Filled(primitive.bias_desc()));
    }
  }

  void RunChain() {
    for (std::size_t i = 0; i < kChain; ++i) {
      const std::size_t from = stride_ == 1 ? i % 2 : 0;
      primitive_.execute(stream_, {{DNNL_ARG_SRC, buffers_[from]},
                                   {DNNL_ARG_WEIGHTS, weights_[i]},
                                   {DNNL_ARG_BIAS, bias_[i]},
                                   {DNNL_ARG_DST, buffers_[1 - from]}});
    }
    stream_.wait();
  }

 private:
  dnnl::memory Filled(const dnnl::memory::desc& desc) {
    dnnl::memory memory(desc, engine_);
    const std::vector<float> values = NormalWeights(desc.get_size() / sizeof(float));
    std::memcpy(memory.get_data_handle(), values.data(), desc.get_size());
    return memory;
  }

  std::uint32_t stride_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::primitive primitive_;
  dnnl::memory buffers_[2];
  std::vector<dnnl::memory> weights_, bias_;
};

void Measure(const Layer& layer, double ghz, bool alone) {
  Ours ours(layer);
  OneDnn theirs(layer);
  std::vector<double> our_seconds, their_seconds;
  for (int turn = 0; turn < 105; ++turn) {
    const double own = SecondsOf([&] { ours.RunChain(); }) / kChain;
    const double other = SecondsOf([&] { theirs.RunChain(); }) / kChain;
    if (turn < 5) continue;
    our_seconds.push_back(own);
    their_seconds.push_back(other);
  }
  const double own = Quantile(our_seconds, 0.5), own_p10 = Quantile(our_seconds, 0.1);
  const double other = Quantile(their_seconds, 0.5), other_p10 = Quantile(their_seconds, 0.1);
  if (alone) {
    fmt::print("{} {}\n", own, own_p10);
    return;
  }
  const double outputs = 1.0 * layer.channels * OutSize(layer) * OutSize(layer);
  fmt::print(
      "{} {:>5} {:>4} {}x{} /{} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f}  {:>5.2f} {:>5.2f}  {:>6.1f} "
      "{:>6.1f}\n",
      layer.model, layer.channels, layer.size, layer.kernel, layer.kernel, layer.stride, own * 1e6,
      own_p10 * 1e6, other * 1e6, other_p10 * 1e6, other / own, other_p10 / own_p10,
      2e-9 * outputs * layer.kernel * layer.kernel / own_p10, own_p10 * ghz * 1e9 / (outputs / 8));
}

int Main(int argc, char** argv) {
  ForceIsaFromEnvironment();
  omp_set_num_threads(1);
  cpu_set_t cpu;
  CPU_ZERO(&cpu);
  CPU_SET(sched_getcpu(), &cpu);
  sched_setaffinity(0, sizeof(cpu), &cpu);
  constexpr double kGhz = 3.4;
  if (argc == 5) {
    const auto number = [argv](int i) { return static_cast<std::uint32_t>(std::atoi(argv[i])); };
    Measure({"", number(1), number(2), number(3), number(4)}, kGhz, true);
    return EXIT_SUCCESS;
  }
  fmt::print(
      "one thread, {}, microseconds a layer\n{:<18}{:>10} {:>8} {:>8} {:>8}  {:>5} {:>5}  {:>6} "
      "{:>6}\n",
      ActiveIsa(), "layer", "ours", "p10", "oneDNN", "p10", "ratio", "p10", "GF/s", "cycles");
  for (const Layer& layer : kLayers) Measure(layer, kGhz, false);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) { return espalier::Main(argc, argv); }
