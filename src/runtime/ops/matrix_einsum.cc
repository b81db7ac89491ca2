#include "runtime/ops/matrix_einsum.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <vector>

#include "runtime/ops/float_op.h"
#include "runtime/ops/matrix_onednn.h"
#include "runtime/ops/matrix_types.h"

namespace espalier::runtime {
namespace {

constexpr std::size_t kMostOperands = 16;

// An index of the equation: a letter, or an axis of the ellipsis.
struct Index {
  std::int64_t size = 1;
  bool in_result = false;
  std::array<std::int64_t, kMostOperands> strides{};  // of each operand; 0 if it lacks the index
};

struct Term {
  std::string letters;           // '.' stands for the ellipsis
  std::size_t letter_count = 0;  // without it
};

Term ParseTerm(const OpBuild& build, const std::string& text) {
  Term term;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (text.compare(i, 3, "...") == 0 && term.letters.find('.') == std::string::npos) {
      term.letters += '.';
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
      term.letters += c;
      ++term.letter_count;
    } else {
      build.Refuse(fmt::format("the equation's part '{}'", text));
    }
  }
  return term;
}

// Walks all combinations of indices, keeping an offset for each operand.
class Odometer {
 public:
  void Reset(std::size_t operands) {
    indices_.clear();
    operands_ = operands;
  }
  void Add(const Index& index) { indices_.push_back(&index); }
  std::int64_t Count() {
    sizes_.clear();
    for (const Index* index : indices_) sizes_.push_back(index->size);
    return ElementCount(sizes_);  // an error instead of an overflow
  }
  // Offsets at combination 0 are `offsets`; Next() goes on to the next one, the last index first.
  void Start() { at_.assign(indices_.size(), 0); }
  void Next(std::array<std::int64_t, kMostOperands>& offsets) {
    for (std::size_t i = indices_.size(); i > 0; --i) {
      const Index& index = *indices_[i - 1];
      if (++at_[i - 1] < index.size) {
        for (std::size_t k = 0; k < operands_; ++k) offsets[k] += index.strides[k];
        return;
      }
      at_[i - 1] = 0;
      for (std::size_t k = 0; k < operands_; ++k) {
        offsets[k] -= (index.size - 1) * index.strides[k];
      }
    }
  }

 private:
  std::vector<const Index*> indices_;
  std::vector<std::int64_t> at_;
  Dims sizes_;
  std::size_t operands_ = 0;
};

class EinsumOp final : public FloatOp {
 public:
  explicit EinsumOp(const OpBuild& build) {
    std::string equation = build.String("equation", "");
    std::erase(equation, ' ');
    const std::size_t arrow = equation.find("->");
    std::string left = equation.substr(0, arrow);
    left.push_back(',');
    for (std::size_t comma; (comma = left.find(',')) != std::string::npos;) {
      terms_.push_back(ParseTerm(build, left.substr(0, comma)));
      left.erase(0, comma + 1);
    }
    if (terms_.size() != build.node().inputs.size() || terms_.size() > kMostOperands) {
      build.Refuse(fmt::format("'{}' with {} inputs", equation, build.node().inputs.size()));
    }
    if (arrow != std::string::npos) {
      result_ = ParseTerm(build, equation.substr(arrow + 2));
    } else {
      result_ = ImplicitResult();
    }
    CheckResult(build);
  }

 protected:
  void RunFloat(OpContext& context) override {
    const DType dtype = context.Input(0).dtype;
    Place(context);
    y_dims_.clear();
    for (const Index& index : indices_) {
      if (index.in_result) y_dims_.push_back(index.size);
    }
    Value& y = context.Output(0, dtype, y_dims_);
    WithProductType(dtype, [&](auto zero) {
      using T = decltype(zero);
      if (IsMatrixProduct() && y.Elements() > 0) {
        MultiplyMatrices<T>(context, y.As<T>());
      } else {
        SumProducts<T>(context, y.As<T>());
      }
    });
  }

 private:
  // Letters that occur once, in alphabetic order, after the ellipsis.
  Term ImplicitResult() const {
    Term result;
    std::string all;
    for (const Term& term : terms_) all += term.letters;
    if (all.find('.') != std::string::npos) result.letters.assign(1, '.');
    std::string letters = all;
    std::sort(letters.begin(), letters.end());
    for (const char c : letters) {
      if (c == '.' || std::count(all.begin(), all.end(), c) != 1) continue;
      result.letters += c;
      ++result.letter_count;
    }
    return result;
  }

  void CheckResult(const OpBuild& build) const {
    for (const char c : result_.letters) {
      const bool known = std::any_of(terms_.begin(), terms_.end(), [&](const Term& term) {
        return term.letters.find(c) != std::string::npos;
      });
      if (!known && c != '.') build.Refuse(fmt::format("the result's index '{}'", c));
      if (std::count(result_.letters.begin(), result_.letters.end(), c) > 1) {
        build.Refuse(fmt::format("the result's index '{}' twice", c));
      }
    }
  }

  // Indices of the result come first, in its order; then those that are summed over.
  void Place(const OpContext& context) {
    std::size_t ellipsis = 0;  // its axes
    for (std::size_t k = 0; k < terms_.size(); ++k) {
      const Value& input = context.Input(k);
      const std::size_t letters = terms_[k].letter_count;
      const bool has_ellipsis = terms_[k].letters.find('.') != std::string::npos;
      if (input.rank() < letters || (!has_ellipsis && input.rank() != letters) ||
          input.dtype != context.Input(0).dtype) {
        throw Error(ErrorCode::kBadFile, fmt::format("operand '{}' is {} {}", terms_[k].letters,
                                                     DTypeName(input.dtype), DimsText(input.dims)));
      }
      if (has_ellipsis) ellipsis = std::max(ellipsis, input.rank() - letters);
    }
    indices_.clear();
    slots_.fill(-1);
    ellipsis_at_ = -1;
    for (const char c : result_.letters) AddLetter(c, ellipsis, /*in_result=*/true);
    for (const Term& term : terms_) {
      for (const char c : term.letters) AddLetter(c, ellipsis, /*in_result=*/false);
    }
    for (std::size_t k = 0; k < terms_.size(); ++k) PlaceOperand(k, context.Input(k), ellipsis);
  }

  void AddLetter(char c, std::size_t ellipsis, bool in_result) {
    std::int64_t& slot = c == '.' ? ellipsis_at_ : slots_[static_cast<unsigned char>(c)];
    if (slot >= 0) return;
    slot = static_cast<std::int64_t>(indices_.size());
    Index index;
    index.in_result = in_result;
    indices_.insert(indices_.end(), c == '.' ? ellipsis : 1, index);
  }

  void PlaceOperand(std::size_t k, const Value& input, std::size_t ellipsis) {
    const Term& term = terms_[k];
    const std::size_t own = input.rank() - term.letter_count;  // axes of its ellipsis
    std::int64_t stride = 1;
    std::size_t axis = input.rank();
    for (std::size_t i = term.letters.size(); i > 0; --i) {
      const char c = term.letters[i - 1];
      const std::size_t axes = c == '.' ? own : 1;
      for (std::size_t e = axes; e > 0; --e) {
        const auto at = static_cast<std::size_t>(
            c == '.' ? ellipsis_at_ + static_cast<std::int64_t>(ellipsis - own + e - 1)
                     : slots_[static_cast<unsigned char>(c)]);
        const std::int64_t size = input.dims[--axis];
        SetSize(&indices_[at], k, size, stride, c);
        stride *= size;
      }
    }
  }

  static void SetSize(Index* index, std::size_t k, std::int64_t size, std::int64_t stride,
                      char letter) {
    if (size != 1 && index->size != 1 && size != index->size) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("index '{}' has sizes {} and {}", letter, index->size, size));
    }
    if (size == 1) return;
    index->size = size;
    index->strides[k] += stride;
  }

  template <typename T>
  void SumProducts(OpContext& context, T* y) {
    outer_.Reset(terms_.size());
    inner_.Reset(terms_.size());
    for (const Index& index : indices_) (index.in_result ? outer_ : inner_).Add(index);
    std::array<const T*, kMostOperands> data{};
    for (std::size_t k = 0; k < terms_.size(); ++k) data[k] = context.In<T>(k);
    const std::int64_t outer_count = outer_.Count();
    const std::int64_t inner_count = inner_.Count();
    std::array<std::int64_t, kMostOperands> offsets{};
    outer_.Start();
    inner_.Start();
    for (std::int64_t i = 0; i < outer_count; ++i, outer_.Next(offsets)) {
      T sum = 0;
      for (std::int64_t j = 0; j < inner_count; ++j, inner_.Next(offsets)) {
        T product = 1;
        for (std::size_t k = 0; k < terms_.size(); ++k) {
          product = static_cast<T>(product * data[k][offsets[k]]);
        }
        sum = static_cast<T>(sum + product);
      }
      y[i] = sum;
    }
  }

  // Two operands, and no index that only one of them has and the result lacks.
  bool IsMatrixProduct() const {
    if (terms_.size() != 2) return false;
    return std::all_of(indices_.begin(), indices_.end(), [](const Index& index) {
      return index.in_result || (index.strides[0] != 0 && index.strides[1] != 0) || index.size == 1;
    });
  }

  enum class Role : std::uint8_t { kBatch, kRow, kColumn, kSummed };

  static Role RoleOf(const Index& index) {
    if (!index.in_result) return Role::kSummed;
    if (index.strides[0] != 0 && index.strides[1] != 0) return Role::kBatch;
    return index.strides[1] != 0 ? Role::kColumn : Role::kRow;
  }

  std::int64_t CountOf(Role role) const {
    std::int64_t count = 1;
    for (const Index& index : indices_) count *= RoleOf(index) == role ? index.size : 1;
    return count;
  }

  // Copies operand k with its indices in the order of `roles`.
  template <typename T>
  void Gather(std::size_t k, std::array<Role, 3> roles, const T* from, T* to) {
    outer_.Reset(2);
    for (const Role role : roles) {
      for (const Index& index : indices_) {
        if (RoleOf(index) == role) outer_.Add(index);
      }
    }
    std::array<std::int64_t, kMostOperands> offsets{};
    outer_.Start();
    const std::int64_t count = outer_.Count();
    for (std::int64_t i = 0; i < count; ++i, outer_.Next(offsets)) to[i] = from[offsets[k]];
  }

  template <typename T>
  void MultiplyMatrices(OpContext& context, T* y) {
    const std::int64_t batch = CountOf(Role::kBatch);
    const std::int64_t m = CountOf(Role::kRow);
    const std::int64_t n = CountOf(Role::kColumn);
    const std::int64_t k = CountOf(Role::kSummed);
    T* a = reinterpret_cast<T*>(
        context.Scratch(static_cast<std::size_t>(batch * (m * k + k * n + m * n)) * sizeof(T)));
    T* b = a + batch * m * k;
    T* c = b + batch * k * n;
    Gather(0, {Role::kBatch, Role::kRow, Role::kSummed}, context.In<T>(0), a);
    Gather(1, {Role::kBatch, Role::kSummed, Role::kColumn}, context.In<T>(1), b);
    const GemmShape gemm{false, false, m, n, k, k, n, n};
    for (std::int64_t i = 0; i < batch; ++i) {
      ParallelGemm(context.threads(), gemm, a + i * m * k, b + i * k * n, T{0}, c + i * m * n);
    }
    Scatter(c, y);
  }

  // y, whose indices are in the result's order, from c in the order batch, rows, columns.
  template <typename T>
  void Scatter(const T* c, T* y) {
    std::int64_t stride = 1;
    for (std::size_t i = indices_.size(); i > 0; --i) {
      Index& index = indices_[i - 1];
      if (!index.in_result) continue;
      index.strides[2] = stride;
      stride *= index.size;
    }
    outer_.Reset(3);
    for (const Role role : {Role::kBatch, Role::kRow, Role::kColumn}) {
      for (const Index& index : indices_) {
        if (RoleOf(index) == role) outer_.Add(index);
      }
    }
    std::array<std::int64_t, kMostOperands> offsets{};
    outer_.Start();
    const std::int64_t count = outer_.Count();
    for (std::int64_t i = 0; i < count; ++i, outer_.Next(offsets)) y[offsets[2]] = c[i];
  }

  std::vector<Term> terms_;
  Term result_;
  std::vector<Index> indices_;
  std::array<std::int64_t, 256> slots_{};  // of letters, in indices_
  std::int64_t ellipsis_at_ = -1;
  Odometer outer_, inner_;
  Dims y_dims_;
};

}  // namespace

std::unique_ptr<Op> MakeEinsum(const OpBuild& build) { return std::make_unique<EinsumOp>(build); }

}  // namespace espalier::runtime
