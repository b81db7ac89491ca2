#include "runtime/ops/elementwise_binary.h"

namespace espalier::runtime {
namespace {

template <bool kSignlessValue>
struct Functor {
  static constexpr bool kSignless = kSignlessValue;
};

struct EqualOf : Functor<true> {
  template <typename T>
  static Bool Of(T a, T b) {
    return Bool(a == b);
  }
};
struct LessOf : Functor<false> {
  template <typename T>
  static Bool Of(T a, T b) {
    return Bool(a < b);
  }
};
struct GreaterOf : Functor<false> {
  template <typename T>
  static Bool Of(T a, T b) {
    return Bool(a > b);
  }
};
struct LessOrEqualOf : Functor<false> {
  template <typename T>
  static Bool Of(T a, T b) {
    return Bool(a <= b);
  }
};
struct GreaterOrEqualOf : Functor<false> {
  template <typename T>
  static Bool Of(T a, T b) {
    return Bool(a >= b);
  }
};

struct AndOf : Functor<false> {
  static Bool Of(Bool a, Bool b) { return Bool(a && b); }
};
struct OrOf : Functor<false> {
  static Bool Of(Bool a, Bool b) { return Bool(a || b); }
};
struct XorOf : Functor<false> {
  static Bool Of(Bool a, Bool b) { return Bool(bool(a) != bool(b)); }
};

struct BitAndOf : Functor<true> {
  template <typename T>
  static T Of(T a, T b) {
    return a & b;
  }
};
struct BitOrOf : Functor<true> {
  template <typename T>
  static T Of(T a, T b) {
    return a | b;
  }
};
struct BitXorOf : Functor<true> {
  template <typename T>
  static T Of(T a, T b) {
    return a ^ b;
  }
};

// A shift by the width or more leaves nothing.
template <bool kLeft>
struct ShiftOf : Functor<false> {
  template <typename T>
  static T Of(T a, T b) {
    if (b >= 8 * sizeof(T)) return 0;
    const auto bits = static_cast<std::uint64_t>(a);
    return static_cast<T>(kLeft ? bits << b : bits >> b);
  }
};

using EqualTypes = Join<NumberTypes, TypeList<Bool>>;
constexpr BinaryTable kEqual = MakeBinaryTable<EqualOf>(EqualTypes());
constexpr BinaryTable kLess = MakeBinaryTable<LessOf>(NumberTypes());
constexpr BinaryTable kGreater = MakeBinaryTable<GreaterOf>(NumberTypes());
constexpr BinaryTable kLessOrEqual = MakeBinaryTable<LessOrEqualOf>(NumberTypes());
constexpr BinaryTable kGreaterOrEqual = MakeBinaryTable<GreaterOrEqualOf>(NumberTypes());
constexpr BinaryTable kAnd = MakeBinaryTable<AndOf>(TypeList<Bool>());
constexpr BinaryTable kOr = MakeBinaryTable<OrOf>(TypeList<Bool>());
constexpr BinaryTable kXor = MakeBinaryTable<XorOf>(TypeList<Bool>());
constexpr BinaryTable kBitAnd = MakeBinaryTable<BitAndOf>(IntTypes());
constexpr BinaryTable kBitOr = MakeBinaryTable<BitOrOf>(IntTypes());
constexpr BinaryTable kBitXor = MakeBinaryTable<BitXorOf>(IntTypes());
constexpr BinaryTable kShiftLeft = MakeBinaryTable<ShiftOf<true>>(UnsignedTypes());
constexpr BinaryTable kShiftRight = MakeBinaryTable<ShiftOf<false>>(UnsignedTypes());

std::unique_ptr<Op> MakeShift(const OpBuild& build) {
  const std::string direction = build.String("direction", "");
  if (direction == "LEFT") return std::make_unique<BinaryOp>(build, kShiftLeft);
  if (direction == "RIGHT") return std::make_unique<BinaryOp>(build, kShiftRight);
  build.Refuse(fmt::format("the direction '{}'", direction));
}

constexpr OpEntry kEntries[] = {
    {"", "Equal", &MakeBinary<kEqual>},
    {"", "Less", &MakeBinary<kLess>},
    {"", "Greater", &MakeBinary<kGreater>},
    {"", "LessOrEqual", &MakeBinary<kLessOrEqual>},
    {"", "GreaterOrEqual", &MakeBinary<kGreaterOrEqual>},
    {"", "And", &MakeBinary<kAnd>},
    {"", "Or", &MakeBinary<kOr>},
    {"", "Xor", &MakeBinary<kXor>},
    {"", "BitwiseAnd", &MakeBinary<kBitAnd>},
    {"", "BitwiseOr", &MakeBinary<kBitOr>},
    {"", "BitwiseXor", &MakeBinary<kBitXor>},
    {"", "BitShift", &MakeShift},
};

}  // namespace

std::span<const OpEntry> ComparisonOps() { return kEntries; }

}  // namespace espalier::runtime
