#include "io/npy_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "espalier/base/error.h"
#include "io/limits.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

struct TypeRow {
  std::string_view name;  // without the byte order
  DType dtype;
};

constexpr TypeRow kTypes[] = {
    {"f4", DType::kFloat32},   {"f2", DType::kFloat16},    {"f8", DType::kFloat64},
    {"i1", DType::kInt8},      {"u1", DType::kUint8},      {"b1", DType::kBool},
    {"i2", DType::kInt16},     {"u2", DType::kUint16},     {"i4", DType::kInt32},
    {"u4", DType::kUint32},    {"i8", DType::kInt64},      {"u8", DType::kUint64},
    {"c8", DType::kComplex64}, {"c16", DType::kComplex128}};

// "<f4", "|i1" and the like: byte order, kind, bytes.
DType ParseDescr(std::string_view descr) {
  const std::string_view name = descr.substr(descr.empty() ? 0 : 1);
  const auto* row = std::ranges::find(kTypes, name, &TypeRow::name);
  if (row != std::end(kTypes)) {
    const bool is_byte = DTypeBits(row->dtype) == 8;
    if (descr[0] == '<' || (is_byte && (descr[0] == '|' || descr[0] == '>'))) return row->dtype;
    if (descr[0] == '>') {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("element type {} is big-endian; save a.astype('<{}') instead",
                              Quote(descr), name));
    }
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("element type {} is not supported{}; save a.astype('<f4') instead",
                          Quote(descr), name.starts_with('O') ? " (Python objects)" : ""));
}

class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  NpyLayout Parse() {
    Expect('{');
    while (!Take('}')) {
      ParseItem();
      if (!Take(',')) {
        Expect('}');
        break;
      }
    }
    SkipSpace();
    if (at_ != text_.size()) throw Bad("the end of the header");
    if (!descr_ || !fortran_order_ || !shape_) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("the npy header has no '{}'", !descr_           ? "descr"
                                                            : !fortran_order_ ? "fortran_order"
                                                                              : "shape"));
    }
    return {ParseDescr(*descr_), *fortran_order_, *std::move(shape_)};
  }

 private:
  void ParseItem() {
    const std::string_view key = ParseText();
    Expect(':');
    const auto once = [&](bool seen) {
      if (seen) {
        throw Error(ErrorCode::kBadFile, fmt::format("the npy header has '{}' twice", key));
      }
    };
    if (key == "descr") {
      once(descr_.has_value());
      descr_ = ParseDescrText();
    } else if (key == "fortran_order") {
      once(fortran_order_.has_value());
      fortran_order_ = ParseBool();
    } else if (key == "shape") {
      once(shape_.has_value());
      shape_ = ParseShape();
    } else {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("the npy header has the unknown key {}", Quote(key)));
    }
  }

  // A list or tuple here describes fields or sub-arrays.
  std::string_view ParseDescrText() {
    SkipSpace();
    if (Peek() == '[' || Peek() == '(') {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("the array has a structured element type {}; save one field instead",
                              Quote(text_.substr(at_, 60))));
    }
    return ParseText();
  }

  std::string_view ParseText() {
    SkipSpace();
    const char quote = Peek();
    if (quote != '\'' && quote != '"') throw Bad("a text in quotes");
    const std::size_t begin = ++at_;
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\\') ++at_;
    if (Peek() != quote) throw Bad("a closing quote");
    return text_.substr(begin, at_++ - begin);
  }

  bool ParseBool() {
    SkipSpace();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_).starts_with(word)) {
        at_ += word.size();
        return value;
      }
    }
    throw Bad("True or False");
  }

  Dims ParseShape() {
    Dims shape;
    Expect('(');
    bool comma = true;
    while (!Take(')')) {
      if (!comma) throw Bad("',' or ')'");
      if (shape.size() == kMostDimensions) {
        throw Error(ErrorCode::kBadFile,
                    fmt::format("the shape has more than {} dimensions", kMostDimensions));
      }
      shape.push_back(ParseDimension());
      comma = Take(',');
    }
    if (shape.size() == 1 && !comma) throw Bad("a tuple: (n,), not (n)");
    return shape;
  }

  std::int64_t ParseDimension() {
    SkipSpace();
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    const std::size_t begin = at_;
    std::int64_t value = 0;
    for (; Peek() >= '0' && Peek() <= '9'; ++at_) {
      const int digit = text_[at_] - '0';
      if (value > (kMost - digit) / 10) {
        throw Error(ErrorCode::kBadFile, fmt::format("dimension {}... in the shape is over 2^63",
                                                     text_.substr(begin, at_ - begin)));
      }
      value = value * 10 + digit;
    }
    if (at_ == begin) throw Bad("a whole number of 0 or more");
    if (Peek() == 'L') ++at_;  // Python 2 wrote its long integers so
    return value;
  }

  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) {
      ++at_;
    }
  }
  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(char wanted) {
    SkipSpace();
    if (Peek() != wanted) return false;
    ++at_;
    return true;
  }
  void Expect(char wanted) {
    if (!Take(wanted)) throw Bad(fmt::format("'{}'", wanted));
  }
  Error Bad(std::string_view wanted, const char* file = __builtin_FILE(),
            int line = __builtin_LINE()) const {
    return Error(ErrorCode::kBadFile,
                 fmt::format("malformed npy header at byte {}: found {}, {} is needed", at_,
                             Quote(text_.substr(std::min(at_, text_.size()), 20)), wanted),
                 file, line);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::optional<std::string_view> descr_;
  std::optional<bool> fortran_order_;
  std::optional<Dims> shape_;
};

}  // namespace

NpyLayout ParseNpyHeader(std::string_view text) { return HeaderParser(text).Parse(); }

std::string NpyHeaderText(const NpyLayout& layout) {
  const auto* row = std::ranges::find(kTypes, layout.dtype, &TypeRow::dtype);
  if (row == std::end(kTypes)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("npy has no name for the element type {}; use a safetensors file",
                            DTypeName(layout.dtype)));
  }
  if (layout.shape.size() > kMostDimensions) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("an npy array has at most {} dimensions, not {}", kMostDimensions,
                            layout.shape.size()));
  }
  std::string shape;
  for (const std::int64_t dim : layout.shape) {
    shape += fmt::format("{}{}", shape.empty() ? "" : ", ", dim);
  }
  if (layout.shape.size() == 1) shape += ',';
  std::string text = fmt::format("{{'descr': '{}{}', 'fortran_order': {}, 'shape': ({}), }}",
                                 DTypeBits(layout.dtype) == 8 ? '|' : '<', row->name,
                                 layout.fortran_order ? "True" : "False", shape);
  if (!layout.shape.empty()) {
    // NumPy leaves room for the dimension that grows when rows are appended to reach 21 digits.
    constexpr std::size_t kGrowthDigits = 21;
    const std::int64_t growing = layout.fortran_order ? layout.shape.back() : layout.shape.front();
    text.append(kGrowthDigits - std::min(kGrowthDigits, fmt::to_string(growing).size()), ' ');
  }
  return text;
}

}  // namespace espalier::internal
