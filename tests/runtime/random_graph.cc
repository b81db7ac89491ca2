#include "tests/runtime/random_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace espalier::testing {
namespace {

using List = std::vector<std::int64_t>;

constexpr std::int64_t kMostElements = 6000;
constexpr int kBatch = 2;  // shapes are worked out for this one; dimension 0 is never changed

struct Known {
  std::string name;
  Dims dims;
};

class Maker {
 public:
  explicit Maker(Choices& choices) : choices_(choices) {}

  RandomGraph Make() {
    const int inputs = 1 + choices_.Of(2);
    for (int i = 0; i < inputs; ++i) AddInput(i);
    const int nodes = 2 + choices_.Of(14);
    for (int i = 0; i < nodes; ++i) AddNode();
    AddOutputs();
    RandomGraph made;
    made.graph = builder_.graph();
    for (const std::int64_t batch : {1, kBatch, 1}) {
      Tensors tensors;
      for (int i = 0; i < inputs; ++i) {
        Dims dims = values_[static_cast<std::size_t>(i)].dims;
        dims[0] = batch;
        tensors.emplace(values_[static_cast<std::size_t>(i)].name,
                        RandomTensor(dims, static_cast<std::uint64_t>(100 * batch + i)));
      }
      made.inputs.push_back(std::move(tensors));
    }
    return made;
  }

 private:
  static std::int64_t Count(const Dims& dims) {
    std::int64_t count = 1;
    for (const std::int64_t dim : dims) count *= dim;
    return count;
  }

  void AddInput(int i) {
    Dims dims = {kBatch, 1 + choices_.Of(9)};
    if (choices_.Of(3) != 0) {
      dims.push_back(1 + choices_.Of(9));
      dims.push_back(1 + choices_.Of(9));
    }
    Dims declared = dims;
    declared[0] = -1;
    const std::string name = fmt::format("x{}", i);
    builder_.Input(name, declared);
    values_.push_back({name, dims});
  }

  const Known& Any() {
    // The newest first: long chains.
    const auto count = static_cast<int>(values_.size());
    const int back = choices_.Coin() ? 0 : choices_.Of(count);
    return values_[static_cast<std::size_t>(count - 1 - back)];
  }

  std::string Weight(const Dims& dims) {
    const std::string name = fmt::format("c{}", constants_++);
    builder_.Constant(
        name, RandomTensor(dims, 1000 + static_cast<std::uint64_t>(constants_), choices_.Of(10)));
    return name;
  }
  std::string Ints(const List& values) {
    const std::string name = fmt::format("c{}", constants_++);
    builder_.Constant(name, IntVector(values));
    return name;
  }

  std::string Put(const std::string& op, std::vector<std::string> inputs, Dims dims,
                  Attributes attributes = {}) {
    const std::string name = fmt::format("v{}", values_.size());
    builder_.Add(op, std::move(inputs), {name}, std::move(attributes));
    values_.push_back({name, std::move(dims)});
    return name;
  }

  void AddNode() {
    const Known value = Any();
    switch (choices_.Of(16)) {
      case 0:
      case 1:
      case 2:
        return value.dims.size() == 4 ? AddConv(value) : AddProduct(value);
      case 3:
        return AddProduct(value);
      case 4:
        return AddActivation(value);
      case 5:
      case 6:
        return AddSum(value);
      case 7:
      case 8:
        return AddJoin(value);
      case 9:
        return AddSplit(value);
      case 10:
        return AddSlice(value);
      case 11:
        return AddReshape(value);
      case 12:
        return AddPool(value);
      case 13:
        return AddScale(value);
      case 14:
        return AddTranspose(value);
      default:
        Put("Identity", {value.name}, value.dims);
    }
  }

  void AddConv(const Known& x) {
    const std::int64_t kernel = choices_.Coin() ? 1 : 1 + choices_.Of(3);
    const std::int64_t stride = 1 + choices_.Of(4) / 3;
    const std::int64_t pad = choices_.Of(2);
    if (x.dims[2] + 2 * pad < kernel || x.dims[3] + 2 * pad < kernel) return;
    const std::int64_t channels = x.dims[1];
    const bool depthwise = choices_.Of(4) == 0;
    const std::int64_t group = depthwise ? channels : 1;
    const std::int64_t outputs = depthwise ? channels : 1 + choices_.Of(17);
    Dims dims = {kBatch, outputs, (x.dims[2] + 2 * pad - kernel) / stride + 1,
                 (x.dims[3] + 2 * pad - kernel) / stride + 1};
    if (Count(dims) > kMostElements) return;
    std::vector<std::string> inputs = {x.name, Weight({outputs, channels / group, kernel, kernel})};
    if (choices_.Coin()) inputs.push_back(Weight({outputs}));
    Put("Conv", inputs, dims,
        {{"group", group}, {"strides", List{stride, stride}}, {"pads", List{pad, pad, pad, pad}}});
  }

  void AddProduct(const Known& x) {
    const std::int64_t outputs = 1 + choices_.Of(20);
    Dims dims = x.dims;
    dims.back() = outputs;
    if (Count(dims) > kMostElements) return;
    if (x.dims.size() != 2 || choices_.Coin()) {
      Put("MatMul", {x.name, Weight({x.dims.back(), outputs})}, dims);
      return;
    }
    const bool transposed = choices_.Coin();
    std::vector<std::string> inputs = {
        x.name, transposed ? Weight({outputs, x.dims.back()}) : Weight({x.dims.back(), outputs})};
    if (choices_.Coin()) inputs.push_back(Weight({choices_.Coin() ? outputs : 1}));
    Put("Gemm", inputs, dims, {{"transB", std::int64_t{transposed ? 1 : 0}}});
  }

  void AddActivation(const Known& x) {
    constexpr const char* kOps[] = {"Relu",      "Sigmoid",     "Tanh",
                                    "HardSwish", "HardSigmoid", "LeakyRelu"};
    const int op = choices_.Of(9);
    if (op < 6) {
      Put(kOps[op], {x.name}, x.dims);
    } else if (op == 6) {
      Put("Softmax", {x.name}, x.dims);
    } else {
      const std::string gate = Put(op == 7 ? "Sigmoid" : "HardSigmoid", {x.name}, x.dims);
      Put("Mul", {x.name, gate}, x.dims);
    }
  }

  // Of two values of one shape, or of a value and what is broadcast to it.
  void AddSum(const Known& x) {
    std::vector<std::string> others;
    for (const Known& other : values_) {
      bool fits = other.dims.size() == x.dims.size();
      for (std::size_t i = 0; fits && i < x.dims.size(); ++i) {
        fits = other.dims[i] == x.dims[i] || (i > 0 && other.dims[i] == 1);
      }
      if (fits) others.push_back(other.name);
    }
    const std::string other =
        others[static_cast<std::size_t>(choices_.Of(static_cast<int>(others.size())))];
    const bool first = choices_.Coin();
    const char* const op = choices_.Of(4) == 0 ? "Max" : "Add";
    Put(op, {first ? x.name : other, first ? other : x.name}, x.dims);
  }

  void AddJoin(const Known& x) {
    const auto rank = static_cast<int>(x.dims.size());
    const auto axis = static_cast<std::size_t>(1 + choices_.Of(rank - 1));
    std::vector<std::string> parts;
    Dims dims = x.dims;
    dims[axis] = 0;
    const int count = 1 + choices_.Of(4);
    for (int i = 0; i < count; ++i) {
      std::vector<const Known*> fitting;
      for (const Known& other : values_) {
        Dims same = other.dims;
        if (same.size() != x.dims.size()) continue;
        same[axis] = x.dims[axis];
        if (same == x.dims) fitting.push_back(&other);
      }
      const Known& part =
          *fitting[static_cast<std::size_t>(choices_.Of(static_cast<int>(fitting.size())))];
      dims[axis] += part.dims[axis];
      parts.push_back(part.name);
    }
    if (Count(dims) > kMostElements) return;
    const auto written = static_cast<std::int64_t>(axis);
    Put("Concat", parts, dims, {{"axis", choices_.Coin() ? written : written - rank}});
  }

  void AddSplit(const Known& x) {
    const auto axis =
        static_cast<std::size_t>(1 + choices_.Of(static_cast<int>(x.dims.size()) - 1));
    if (x.dims[axis] < 2) return;
    const std::int64_t first = 1 + choices_.Of(static_cast<int>(x.dims[axis]) - 1);
    Dims left = x.dims;
    Dims right = x.dims;
    left[axis] = first;
    right[axis] -= first;
    const std::size_t count = values_.size();
    builder_.Add("Split", {x.name, Ints({first, right[axis]})},
                 {fmt::format("v{}", count), fmt::format("v{}", count + 1)},
                 {{"axis", static_cast<std::int64_t>(axis)}});
    values_.push_back({fmt::format("v{}", count), left});
    values_.push_back({fmt::format("v{}", count + 1), right});
  }

  void AddSlice(const Known& x) {
    const auto axis =
        static_cast<std::size_t>(1 + choices_.Of(static_cast<int>(x.dims.size()) - 1));
    const std::int64_t size = x.dims[axis];
    const std::int64_t begin = choices_.Of(static_cast<int>(size));
    const std::int64_t end = begin + 1 + choices_.Of(static_cast<int>(size - begin));
    const std::int64_t step = 1 + choices_.Of(4) / 3;
    Dims dims = x.dims;
    dims[axis] = (end - begin + step - 1) / step;
    Put("Slice",
        {x.name, Ints({begin}), Ints({end}), Ints({static_cast<std::int64_t>(axis)}), Ints({step})},
        dims);
  }

  void AddReshape(const Known& x) {
    const std::int64_t rest = Count(x.dims) / kBatch;
    const int how = choices_.Of(4);
    if (how == 0) {
      Put("Flatten", {x.name}, {kBatch, rest});
    } else if (how == 1 && x.dims.size() == 4) {
      Put("Reshape", {x.name, Ints({0, 0, -1})}, {kBatch, x.dims[1], x.dims[2] * x.dims[3]});
    } else if (how == 2 && x.dims.size() == 3) {
      Put("Unsqueeze", {x.name, Ints({2})}, {kBatch, x.dims[1], 1, x.dims[2]});
    } else if (rest % 2 == 0) {
      Put("Reshape", {x.name, Ints({0, 2, 1, -1})}, {kBatch, 2, 1, rest / 2});
    }
  }

  void AddPool(const Known& x) {
    if (x.dims.size() != 4) return;
    if (choices_.Of(4) == 0) {
      Put("GlobalAveragePool", {x.name}, {kBatch, x.dims[1], 1, 1});
      return;
    }
    if (x.dims[2] < 2 || x.dims[3] < 2) return;
    const std::int64_t stride = 1 + choices_.Of(2);
    Put(choices_.Coin() ? "MaxPool" : "AveragePool", {x.name},
        {kBatch, x.dims[1], (x.dims[2] - 2) / stride + 1, (x.dims[3] - 2) / stride + 1},
        {{"kernel_shape", List{2, 2}}, {"strides", List{stride, stride}}});
  }

  // What folds into the layer before: by channel, or one number.
  void AddScale(const Known& x) {
    const bool image = x.dims.size() == 4;
    const std::int64_t channels = x.dims[1];
    if (image && choices_.Coin()) {
      const std::string variance = fmt::format("c{}", constants_++);
      const std::vector<float> ones(static_cast<std::size_t>(channels), 0.75f);
      builder_.Constant(variance, TensorOf(DType::kFloat32, {channels}, ones));
      Put("BatchNormalization",
          {x.name, Weight({channels}), Weight({channels}), Weight({channels}), variance}, x.dims);
      return;
    }
    constexpr const char* kOps[] = {"Mul", "Add", "Sub"};
    Dims shape = {1};
    if (choices_.Coin()) shape = image ? Dims{channels, 1, 1} : Dims{x.dims.back()};
    const std::string other = Weight(shape);
    const bool first = choices_.Coin();
    Put(kOps[choices_.Of(3)], {first ? x.name : other, first ? other : x.name}, x.dims);
  }

  void AddTranspose(const Known& x) {
    List order(x.dims.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
    const auto a = static_cast<std::size_t>(1 + choices_.Of(static_cast<int>(order.size()) - 1));
    const auto b = static_cast<std::size_t>(1 + choices_.Of(static_cast<int>(order.size()) - 1));
    std::swap(order[a], order[b]);
    Dims dims = x.dims;
    std::swap(dims[a], dims[b]);
    Put("Transpose", {x.name}, dims, {{"perm", order}});
  }

  // The last value, and up to three others.
  void AddOutputs() {
    std::set<std::string> names = {values_.back().name};
    for (int i = choices_.Of(4); i > 0; --i) names.insert(Any().name);
    for (const std::string& name : names) builder_.Output(name);
  }

  Choices& choices_;
  GraphBuilder builder_;
  std::vector<Known> values_;
  int constants_ = 0;
};

}  // namespace

RandomGraph MakeRandomGraph(Choices& choices) { return Maker(choices).Make(); }

}  // namespace espalier::testing
