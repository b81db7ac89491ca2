#include "runtime/ops/elementwise_binary.h"

namespace espalier::runtime {

BinaryLoop BinaryTable::For(DType dtype) const {
  if (const BinaryLoop loop = loops[static_cast<std::size_t>(dtype)]) return loop;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("the operator does not run on {}", DTypeName(dtype)));
}

BinaryOp::BinaryOp(const OpBuild& build, const BinaryTable& table) : table_(table) {
  legacy_axis_ = build.node().domain.empty() && build.opset() < 7 &&
                 build.Int("broadcast", 0) != 0 && build.Has("axis");
  axis_ = build.Int("axis", 0);
}

void AlignLegacyAxis(const Dims& a, const Dims& b, std::int64_t axis, Dims* aligned) {
  const auto rank = static_cast<std::int64_t>(a.size());
  if (axis < 0) axis += rank;
  const auto b_rank = static_cast<std::int64_t>(b.size());
  if (axis < 0 || axis + b_rank > rank) {
    throw Error(ErrorCode::kBadFile,
                fmt::format("{} axes from axis {} of {} on", b_rank, axis, rank));
  }
  aligned->assign(b.begin(), b.end());
  aligned->resize(static_cast<std::size_t>(rank - axis), 1);
}

void RunLoop(const Broadcast& broadcast, int threads, BinaryLoop loop, const Value& a,
             const Value& b, Value& out) {
  const std::size_t a_bytes = ElementBytes(a.dtype);
  const std::size_t b_bytes = ElementBytes(b.dtype);
  const std::size_t out_bytes = ElementBytes(out.dtype);
  broadcast.Run(threads, [&](const auto& first, std::size_t begin, std::size_t count) {
    loop({broadcast.step(0), broadcast.step(1), count}, a.data + first[0] * a_bytes,
         b.data + first[1] * b_bytes, out.data + begin * out_bytes);
  });
}

void BinaryOp::RunFloat(OpContext& context) {
  const Value& a = context.Input(0);
  const Value& b = context.Input(1);
  CheckSameType(a, b);
  const BinaryLoop loop = table_.For(a.dtype);
  const Dims* b_dims = &b.dims;
  if (legacy_axis_) {
    AlignLegacyAxis(a.dims, b.dims, axis_, &aligned_);
    b_dims = &aligned_;
  }
  const Dims* const operands[] = {&a.dims, b_dims};
  broadcast_.Plan(operands);
  Value& out = context.Output(0, table_.bool_result ? DType::kBool : a.dtype, broadcast_.dims());
  RunLoop(broadcast_, context.threads(), loop, a, b, out);
}

}  // namespace espalier::runtime
