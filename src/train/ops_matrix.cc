#include "train/op_table.h"

namespace espalier::train {
namespace {

Outputs MatMul(const OpCall& call) { return {at::matmul(call.inputs[0], call.inputs[1])}; }

Outputs Gemm(const OpCall& call) {
  const at::Tensor a = call.Int("transA", 0) != 0 ? call.inputs[0].t() : call.inputs[0];
  const at::Tensor b = call.Int("transB", 0) != 0 ? call.inputs[1].t() : call.inputs[1];
  const double alpha = call.Float("alpha", 1);
  if (!call.Has(2)) {
    const at::Tensor product = at::mm(a, b);
    return {alpha == 1 ? product : product * alpha};
  }
  return {at::addmm(call.inputs[2], a, b, call.Float("beta", 1), alpha)};
}

Outputs Einsum(const OpCall& call) {
  return {at::einsum(call.Text("equation", ""), call.inputs.All())};
}

constexpr OpEntry kOps[] = {
    {"MatMul", &MatMul},
    {"Gemm", &Gemm},
    {"Einsum", &Einsum},
};

}  // namespace

std::span<const OpEntry> MatrixOps() { return kOps; }

}  // namespace espalier::train
