// Packed sparse products against oneDNN's dense ones on the shapes of layer_shapes.h: both in turn
// in one run, one thread, thread CPU time.
//   spmm_bench [--filter PART | --layer NAME] [--sparsity S]... [--repeat N] [--kind K] [--tokens]
//              [--packing] [--list]
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "bench/layer_shapes.h"
#include "bench/machine_limits.h"
#include "bench/onednn_dense.h"
#include "espalier/base/isa.h"
#include "espalier/kernels/spmm.h"
#include "espalier/kernels/spmm_candidates.h"

namespace espalier {
namespace {

struct Arguments {
  std::string filter;
  std::string layer;  // only this one
  std::vector<double> sparsities;
  std::size_t repeat = 9;
  PackedKind kind = PackedKind::kUnstructured;
  bool tokens = false;   // linear layers on [tokens, channels] instead of [channels, tokens]
  bool packing = false;  // also the time to pack all weights
  bool list = false;     // only the layers' shapes: name, out, in, h, w, linear
};

double Now() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// After a run of its own, so that the caches hold what this product leaves there, not what the
// other one did: in turn and cold, both wait for memory most of the time.
template <typename Step>
double SecondsOf(std::size_t times, const Step& step) {
  step();
  const double begin = Now();
  for (std::size_t i = 0; i < times; ++i) step();
  return (Now() - begin) / static_cast<double>(times);
}

double Quantile(std::vector<double> seconds, double part) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[static_cast<std::size_t>(part * static_cast<double>(seconds.size() - 1))];
}

// Whole blocks of the kind are zero; N:M keeps round(4 * density) of 4.
std::vector<float> MakeWeights(const LayerShape& shape, PackedKind kind, double sparsity) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::bernoulli_distribution keep(1 - sparsity);
  const std::size_t down = RowsPerEntry(kind);
  const std::size_t across = kind == PackedKind::kColumns4 ? 4 : 1;
  std::vector<float> weights(shape.out * shape.in);
  for (std::size_t row = 0; row < shape.out; row += down) {
    for (std::size_t col = 0; col < shape.in; col += across) {
      const bool kept = kind == PackedKind::kNm
                            ? static_cast<double>((col + row) % 4) < std::round(4 * (1 - sparsity))
                            : keep(random);
      for (std::size_t r = row; kept && r < std::min(shape.out, row + down); ++r) {
        for (std::size_t c = col; c < std::min(shape.in, col + across); ++c) {
          weights[r * shape.in + c] = uniform(random);
        }
      }
    }
  }
  return weights;
}

class Layer {
 public:
  Layer(const LayerShape& shape, const Arguments& arguments)
      : pixels_(shape.h * shape.w), x_(shape.in * pixels_, 0.5f), y_(shape.out * pixels_) {
    const auto out = static_cast<dnnl_dim_t>(shape.out);
    const auto in = static_cast<dnnl_dim_t>(shape.in);
    const auto pixels = static_cast<dnnl_dim_t>(pixels_);
    dense_.push_back(OneDnnDense::Matmul(out, in, pixels, /*weights_left=*/true));
    dense_.push_back(shape.linear ? OneDnnDense::Matmul(pixels, in, out, /*weights_left=*/false)
                                  : OneDnnDense::Convolution(out, in, shape.h, shape.w));
    const bool tokens = arguments.tokens && shape.linear;
    input_ = {tokens ? SpmmInputKind::kTokens : SpmmInputKind::kPlanes,
              x_.data(),
              tokens ? shape.in : pixels_,
              {}};
    bias_.assign(shape.out, 0.1f);
    output_.kind = tokens ? SpmmOutputKind::kTokens : SpmmOutputKind::kPlanes;
    output_.y = y_.data();
    output_.ld = tokens ? shape.out : pixels_;
    output_.bias = bias_.data();
    output_.activation.kind = ActivationKind::kRelu;
  }

  double Dense(std::size_t which, std::size_t times) {
    return SecondsOf(times, [&] { dense_[which].Run(); });
  }

  double Sparse(const PackedMatrix& packed, std::size_t times) {
    scratch_.resize(SpmmScratchBytes(packed));
    return SecondsOf(times, [&] {
      Spmm(packed, input_, output_, {0, pixels_, 0, packed.row_blocks()}, scratch_.data());
    });
  }

  std::size_t pixels() const { return pixels_; }

 private:
  std::size_t pixels_;
  std::vector<float> x_, y_, bias_;
  std::vector<OneDnnDense> dense_;
  SpmmInput input_;
  SpmmOutput output_;
  std::vector<char> scratch_;
};

std::vector<PackedMatrix> PackCandidates(const LayerShape& shape, const Arguments& arguments,
                                         const std::vector<float>& weights) {
  PackOptions options;
  options.kind = arguments.kind;
  options.nm_n = 1;  // rows have equal counts already
  const std::uint64_t entries = PackSparse(weights, shape.out, shape.in, options).entries;
  const SpmmCandidates found = ChooseSpmmCandidates(
      {arguments.kind, shape.out, shape.in, entries, shape.h * shape.w, SpmmLanes()});
  std::vector<PackedMatrix> packed;
  for (std::size_t i = 0; i < found.count; ++i) {
    options.tile_pixels = found.list[i].tile_pixels;
    options.k_block = found.list[i].k_block;
    packed.push_back(PackSparse(weights, shape.out, shape.in, options));
  }
  return packed;
}

// Chooses the quickest candidate as the runtime does, then measures it again beside both controls.
double MeasureLayer(const LayerShape& shape, const Arguments& arguments, double sparsity) {
  Layer layer(shape, arguments);
  const std::vector<float> weights = MakeWeights(shape, arguments.kind, sparsity);
  const std::vector<PackedMatrix> packed = PackCandidates(shape, arguments, weights);
  const double dense_flops = 2.0 * static_cast<double>(weights.size() * layer.pixels());
  const auto times = static_cast<std::size_t>(1 + 50e6 / dense_flops);  // half a ms or more
  std::size_t best = 0;
  double best_seconds = INFINITY;
  for (std::size_t i = 0; i < packed.size(); ++i) {
    const double seconds = std::min(layer.Sparse(packed[i], times), layer.Sparse(packed[i], times));
    if (seconds < best_seconds) best = i;
    best_seconds = std::min(best_seconds, seconds);
  }
  std::vector<double> matmul, other, sparse, limit;
  for (std::size_t i = 0; i < arguments.repeat; ++i) {
    matmul.push_back(layer.Dense(0, times));
    sparse.push_back(layer.Sparse(packed[best], times));
    other.push_back(layer.Dense(1, times));
    limit.push_back(MeasureMachineLimits().load_fma);
  }
  const auto ratio = [&](double part) {
    return std::min(Quantile(matmul, part), Quantile(other, part)) / Quantile(sparse, part);
  };
  const double dense = std::min(Quantile(matmul, 0.5), Quantile(other, 0.5));
  fmt::print("{:<16}{:>4.0f} %{:>9.1f}{:>6}{:>6}{:>9.1f}{:>8.1f}{:>8.2f}{:>8.2f}\n", shape.name,
             100 * sparsity, dense_flops / dense * 1e-9, packed[best].tile_pixels,
             packed[best].k_block, dense_flops * (1 - sparsity) / Quantile(sparse, 0.5) * 1e-9,
             Quantile(limit, 0.5), ratio(0.5), ratio(0.1));
  std::fflush(stdout);  // a line as soon as it is known
  return ratio(0.5);
}

void MeasurePacking() {
  double seconds = 0;
  for (const LayerShape& shape : kLayerShapes) {
    if (std::string(shape.name).rfind("mbv1", 0) != 0) continue;
    const std::vector<float> weights = MakeWeights(shape, PackedKind::kUnstructured, 0.75);
    const double once = SecondsOf(5, [&] { PackSparse(weights, shape.out, shape.in); });
    seconds += once * (std::string(shape.name) == "mbv1_pw7-11" ? 5 : 1);
  }
  fmt::print("packing MobileNetV1's 1x1 weights at 75 %: {:.1f} ms\n", seconds * 1e3);
}

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--filter") arguments.filter = value;
    if (name == "--layer") arguments.layer = value;
    if (name == "--sparsity") arguments.sparsities.push_back(std::stod(value));
    if (name == "--repeat") arguments.repeat = std::stoul(value);
    if (name == "--kind") arguments.kind = static_cast<PackedKind>(std::stoi(value));
    if (name == "--tokens") arguments.tokens = true;
    if (name == "--packing") arguments.packing = true;
    if (name == "--list") arguments.list = true;
  }
  if (arguments.sparsities.empty()) arguments.sparsities = {0.5, 0.75, 0.85, 0.9};
  return arguments;
}

int List() {
  for (const LayerShape& shape : kLayerShapes) {
    fmt::print("{} {} {} {} {} {}\n", shape.name, shape.out, shape.in, shape.h, shape.w,
               shape.linear ? 1 : 0);
  }
  return 0;
}

void Run(const Arguments& arguments) {
  fmt::print("{}, one thread; ratio: fastest dense oneDNN / sparse, median and p10\n", ActiveIsa());
  fmt::print("limit: GFLOP/s of multiply-adds that read one operand from the nearest cache\n");
  fmt::print("{:<16}{:>6}{:>9}{:>6}{:>6}{:>9}{:>8}{:>8}{:>8}\n", "layer", "zeros", "dense GF",
             "tile", "K", "GF on nz", "limit", "ratio", "p10");
  std::map<double, std::vector<double>> ratios;
  for (const LayerShape& shape : kLayerShapes) {
    if (std::string(shape.name).find(arguments.filter) == std::string::npos) continue;
    if (!arguments.layer.empty() && arguments.layer != shape.name) continue;
    for (const double sparsity : arguments.sparsities) {
      ratios[sparsity].push_back(MeasureLayer(shape, arguments, sparsity));
    }
  }
  for (const auto& [sparsity, of_layers] : ratios) {
    double logs = 0;
    for (const double ratio : of_layers) logs += std::log(ratio);
    fmt::print("{:.0f} %: geometric mean {:.2f}, least {:.2f}, {} layers\n", 100 * sparsity,
               std::exp(logs / static_cast<double>(of_layers.size())),
               *std::min_element(of_layers.begin(), of_layers.end()), of_layers.size());
  }
}

}  // namespace
}  // namespace espalier

int main(int argc, char** argv) {
  omp_set_num_threads(1);  // oneDNN's threads
  espalier::ForceIsaFromEnvironment();
  const espalier::Arguments arguments = espalier::Parse(argc, argv);
  if (arguments.list) return espalier::List();
  if (arguments.packing) espalier::MeasurePacking();
  espalier::Run(arguments);
  return 0;
}
