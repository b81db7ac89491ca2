#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/test_context.h"

namespace espalier::runtime {
namespace {

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Sizes of all tests: steps, batch, inputs, hidden.
constexpr std::size_t kT = 5, kB = 3, kI = 4, kH = 6;

struct Weights {
  std::vector<double> x, w, r, b;
  // Gate `g` of hidden unit `i` from the input at (t, n) and the state.
  double Input(std::size_t gates, std::size_t g, std::size_t i, std::size_t t,
               std::size_t n) const {
    double sum = b[g * kH + i];
    for (std::size_t k = 0; k < kI; ++k) sum += w[(g * kH + i) * kI + k] * x[(t * kB + n) * kI + k];
    static_cast<void>(gates);
    return sum;
  }
  double Recurrent(std::size_t gates, std::size_t g, std::size_t i, const double* h) const {
    double sum = b[(gates + g) * kH + i];
    for (std::size_t k = 0; k < kH; ++k) sum += r[(g * kH + i) * kH + k] * h[k];
    return sum;
  }
};

Weights MakeWeights(const std::vector<Tensor>& t) {
  return {t[0].AsDoubles(), t[1].AsDoubles(), t[2].AsDoubles(), t[3].AsDoubles()};
}

std::vector<Tensor> RandomInputs(std::int64_t gates) {
  return {RandomTensor({kT, kB, kI}, 1), RandomTensor({1, gates * std::int64_t{kH}, kI}, 2),
          RandomTensor({1, gates * std::int64_t{kH}, kH}, 3),
          RandomTensor({1, 2 * gates * std::int64_t{kH}}, 4)};
}

using State = std::vector<double>;  // [kH]

// One step of each cell for batch entry n.
void LstmStep(const Weights& w, std::size_t t, std::size_t n, State* h, State* c) {
  State next_h(kH), next_c(kH);
  for (std::size_t i = 0; i < kH; ++i) {
    const auto gate = [&](std::size_t g) {
      return w.Input(4, g, i, t, n) + w.Recurrent(4, g, i, h->data());
    };
    next_c[i] = Sigmoid(gate(2)) * (*c)[i] + Sigmoid(gate(0)) * std::tanh(gate(3));
    next_h[i] = Sigmoid(gate(1)) * std::tanh(next_c[i]);
  }
  *h = next_h;
  *c = next_c;
}

void GruStep(const Weights& w, std::size_t t, std::size_t n, bool linear, State* h) {
  State z(kH), r(kH), reset(kH), next(kH);
  for (std::size_t i = 0; i < kH; ++i) {
    z[i] = Sigmoid(w.Input(3, 0, i, t, n) + w.Recurrent(3, 0, i, h->data()));
    r[i] = Sigmoid(w.Input(3, 1, i, t, n) + w.Recurrent(3, 1, i, h->data()));
    reset[i] = r[i] * (*h)[i];
  }
  for (std::size_t i = 0; i < kH; ++i) {
    const double recurrent =
        linear ? r[i] * w.Recurrent(3, 2, i, h->data()) : w.Recurrent(3, 2, i, reset.data());
    next[i] = (1 - z[i]) * std::tanh(w.Input(3, 2, i, t, n) + recurrent) + z[i] * (*h)[i];
  }
  *h = next;
}

void RnnStep(const Weights& w, std::size_t t, std::size_t n, State* h) {
  State next(kH);
  for (std::size_t i = 0; i < kH; ++i) {
    next[i] = std::tanh(w.Input(1, 0, i, t, n) + w.Recurrent(1, 0, i, h->data()));
  }
  *h = next;
}

// Runs the operator forward and in reverse, with and without lengths, against `step`.
template <typename Step>
void ExpectRecurrent(const char* op_type, std::int64_t gates, const Step& step,
                     const std::map<std::string, std::int64_t>& attributes = {}) {
  for (const bool reverse : {false, true}) {
    for (const bool lengths : {false, true}) {
      std::vector<Tensor> inputs = RandomInputs(gates);
      const Weights weights = MakeWeights(inputs);
      const std::vector<std::int32_t> counts = {5, 0, 3};
      if (lengths) inputs.push_back(MakeTensor<std::int32_t>({3}, counts));
      OpRunner op(op_type, 14);
      op.Set("direction", std::string(reverse ? "reverse" : "forward")).Outputs(2);
      for (const auto& [name, value] : attributes) op.Set(name, value);
      const std::vector<Tensor> y = op.Run(inputs);
      ASSERT_EQ(y[0].dims(), (Dims{kT, 1, kB, kH}));
      ASSERT_EQ(y[1].dims(), (Dims{1, kB, kH}));
      const std::vector<double> all = y[0].AsDoubles(), last = y[1].AsDoubles();
      for (std::size_t n = 0; n < kB; ++n) {
        const std::size_t count = lengths ? static_cast<std::size_t>(counts[n]) : kT;
        State h(kH, 0), c(kH, 0);
        for (std::size_t s = 0; s < kT; ++s) {
          const std::size_t t = s < count && reverse ? count - 1 - s : s;
          if (s < count) step(weights, t, n, &h, &c);
          for (std::size_t i = 0; i < kH; ++i) {
            ASSERT_NEAR(all[(t * kB + n) * kH + i], s < count ? h[i] : 0, 1e-5)
                << op_type << " t " << t << " n " << n;
          }
        }
        for (std::size_t i = 0; i < kH; ++i) ASSERT_NEAR(last[n * kH + i], h[i], 1e-5);
      }
    }
  }
}

TEST(Recurrent, LstmMatchesItsDefinition) { ExpectRecurrent("LSTM", 4, LstmStep); }

TEST(Recurrent, GruMatchesItsDefinition) {
  for (const bool linear : {false, true}) {
    ExpectRecurrent("GRU", 3,
                    [&](const Weights& w, std::size_t t, std::size_t n, State* h, State*) {
                      GruStep(w, t, n, linear, h);
                    },
                    {{"linear_before_reset", linear}});
  }
}

TEST(Recurrent, RnnMatchesItsDefinition) {
  ExpectRecurrent("RNN", 1, [](const Weights& w, std::size_t t, std::size_t n, State* h, State*) {
    RnnStep(w, t, n, h);
  });
}

// Swaps the first two axes.
Tensor Swapped(const Tensor& t) {
  const Dims& d = t.dims();
  const std::vector<float> from = ElementsOf<float>(t);
  std::vector<float> to(from.size());
  const auto rest = static_cast<std::size_t>(t.elements() / d[0] / d[1]);
  for (std::size_t i = 0; i < static_cast<std::size_t>(d[0]); ++i) {
    for (std::size_t j = 0; j < static_cast<std::size_t>(d[1]); ++j) {
      for (std::size_t k = 0; k < rest; ++k) {
        to[(j * static_cast<std::size_t>(d[0]) + i) * rest + k] =
            from[(i * static_cast<std::size_t>(d[1]) + j) * rest + k];
      }
    }
  }
  Dims dims = d;
  std::swap(dims[0], dims[1]);
  return MakeTensor<float>(dims, to);
}

Tensor Twice(const Tensor& t) {
  std::vector<float> data = ElementsOf<float>(t);
  const std::vector<float> half = data;
  data.insert(data.end(), half.begin(), half.end());
  Dims dims = t.dims();
  dims[0] *= 2;
  return MakeTensor<float>(dims, data);
}

TEST(Recurrent, BothDirectionsAreTheTwoAlone) {
  const std::vector<Tensor> one = RandomInputs(4);
  OpRunner forward("LSTM", 14), reverse("LSTM", 14), both("LSTM", 14);
  reverse.Set("direction", std::string("reverse"));
  both.Set("direction", std::string("bidirectional")).Threads(2);
  const Tensor f = forward.Run1(one), r = reverse.Run1(one);
  const Tensor y = both.Run1({one[0], Twice(one[1]), Twice(one[2]), Twice(one[3])});
  ASSERT_EQ(y.dims(), (Dims{kT, 2, kB, kH}));
  const auto all = ElementsOf<float>(y), a = ElementsOf<float>(f), b = ElementsOf<float>(r);
  for (std::size_t t = 0; t < kT; ++t) {
    for (std::size_t i = 0; i < kB * kH; ++i) {
      ASSERT_EQ(all[(2 * t) * kB * kH + i], a[t * kB * kH + i]);
      ASSERT_EQ(all[(2 * t + 1) * kB * kH + i], b[t * kB * kH + i]);
    }
  }
}

TEST(Recurrent, BatchFirstIsTheSameTurned) {
  std::vector<Tensor> inputs = RandomInputs(3);
  const Tensor y = OpRunner("GRU", 14).Run1(inputs);  // [T, 1, B, H]
  inputs[0] = Swapped(inputs[0]);
  const Tensor turned = OpRunner("GRU", 14).Set("layout", std::int64_t{1}).Run1(inputs);
  ASSERT_EQ(turned.dims(), (Dims{kB, kT, 1, kH}));
  const auto a = ElementsOf<float>(y), b = ElementsOf<float>(turned);
  for (std::size_t t = 0; t < kT; ++t) {
    for (std::size_t n = 0; n < kB; ++n) {
      for (std::size_t i = 0; i < kH; ++i) {
        ASSERT_NEAR(b[(n * kT + t) * kH + i], a[(t * kB + n) * kH + i], 1e-6);
      }
    }
  }
}

TEST(Recurrent, RefusesWhatDoesNotFit) {
  std::vector<Tensor> inputs = RandomInputs(4);
  EXPECT_TRUE(OpRunner("GRU", 14).Fails(inputs));
  EXPECT_TRUE(OpRunner("LSTM", 14).Set("hidden_size", std::int64_t{7}).Fails(inputs));
  inputs.push_back(MakeTensor<std::int32_t>({3}, {1, 2, 6}));
  EXPECT_TRUE(OpRunner("LSTM", 14).Fails(inputs));
  inputs[4] = MakeTensor<std::int32_t>({3}, {1, 2, -1});
  EXPECT_TRUE(OpRunner("LSTM", 14).Fails(inputs));
  inputs[4] = MakeTensor<std::int32_t>({2}, {1, 2});
  EXPECT_TRUE(OpRunner("LSTM", 14).Fails(inputs));
  EXPECT_TRUE(OpRunner("LSTM").Set("direction", std::string("up")).IsRefused(3));
  EXPECT_TRUE(OpRunner("LSTM").Set("activations", std::vector<std::string>{"Tanh"}).IsRefused(3));
  EXPECT_TRUE(OpRunner("RNN").Set("activations", std::vector<std::string>{"Sine"}).IsRefused(3));
}

}  // namespace
}  // namespace espalier::runtime
