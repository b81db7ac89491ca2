#include "runtime/ops/reduce_kernels.h"

#include <limits>

#include "espalier/base/thread_pool.h"

namespace espalier::runtime {
namespace {

struct Job {
  const ReducePlan& plan;
  ReduceEnd end;
  int threads;
};

// Splits the outputs between the threads: body(begin, end).
template <typename Body>
void SplitOutputs(const Job& job, const Body& body) {
  const std::size_t outputs = job.plan.outputs();
  const auto parts = static_cast<std::size_t>(job.threads);
  if (job.threads <= 1 || outputs < parts || outputs * job.plan.terms() < kParallelElements) {
    return body(std::size_t{0}, outputs);
  }
  ThreadPool::Shared().Run(job.threads, parts, [&](std::size_t i) {
    body(outputs * i / parts, outputs * (i + 1) / parts);
  });
}

template <template <typename> typename F, typename T>
void Reduce(const Job& job, const T* x, T* out) {
  if (job.plan.terms() == 0) {
    const typename F<T>::Total nothing = F<T>::kStart;
    std::fill_n(out, job.plan.outputs(), EndOf<T>(job.end, nothing, 0));
    return;
  }
  SplitOutputs(job, [&](std::size_t begin, std::size_t end) {
    if (job.plan.rows()) {
      ReduceRows<F<T>>(job.plan, job.end, x, begin, end, out);
    } else {
      ReduceColumns<F<T>>(job.plan, job.end, x, begin, end, out);
    }
  });
}

using SumTypes = TypeList<float, double, std::int32_t, std::int64_t, std::uint32_t, std::uint64_t>;
using OrderTypes = Join<SumTypes, TypeList<std::int8_t, std::uint8_t>>;

template <template <typename> typename F, typename Types>
void DispatchReduce(Types types, const Job& job, const Value& x, Value& out) {
  // The larger of two bools is that of their bytes.
  const DType dtype = x.dtype == DType::kBool ? DType::kUint8 : x.dtype;
  Dispatch(types, dtype, [&]<typename T>() { Reduce<F>(job, x.As<T>(), out.As<T>()); });
}

// log(sum(exp(x))) with the largest element taken out, so that nothing overflows.
template <typename T>
void LogSumExp(const Job& job, const T* x, T* out) {
  Reduce<MaxOf>({job.plan, ReduceEnd::kNone, job.threads}, x, out);
  SplitOutputs(job, [&](std::size_t begin, std::size_t end) {
    LoopWalk kept(job.plan.kept(), begin);
    for (std::size_t o = begin; o < end; ++o, kept.Next()) {
      const T largest = out[o];
      if (std::isinf(largest)) continue;
      double sum = 0;
      LoopWalk reduced(job.plan.reduced(), 0);
      for (std::size_t t = 0; t < job.plan.terms(); ++t, reduced.Next()) {
        sum += std::exp(x[kept.offset() + reduced.offset()] - largest);
      }
      out[o] = static_cast<T>(static_cast<double>(largest) + std::log(sum));
    }
  });
}

template <typename T>
T Saturated(double value) {
  constexpr auto kLow = static_cast<double>(std::numeric_limits<T>::lowest());
  constexpr auto kHigh = static_cast<double>(std::numeric_limits<T>::max());
  if (!(value > kLow)) return std::numeric_limits<T>::lowest();  // NaN too
  return value >= kHigh ? std::numeric_limits<T>::max() : static_cast<T>(value);
}

}  // namespace

void ReduceKernels::Run(ReduceKind kind, ReduceEnd end, const ReducePlan& plan, int threads,
                        const Value& x, Value& out) {
  const bool is_float = x.dtype == DType::kFloat32 || x.dtype == DType::kFloat64;
  if (!is_float && (end == ReduceEnd::kLog || end == ReduceEnd::kSqrt)) {
    return RunInDouble(kind, end, plan, threads, x, out);
  }
  const Job job = {plan, end, threads};
  switch (kind) {
    case ReduceKind::kSum:
      return DispatchReduce<SumOf>(SumTypes(), job, x, out);
    case ReduceKind::kAbsoluteSum:
      return DispatchReduce<AbsoluteSumOf>(SumTypes(), job, x, out);
    case ReduceKind::kSquareSum:
      return DispatchReduce<SquareSumOf>(SumTypes(), job, x, out);
    case ReduceKind::kExpSum:
      return Dispatch(FloatTypes(), x.dtype,
                      [&]<typename T>() { LogSumExp(job, x.As<T>(), out.As<T>()); });
    case ReduceKind::kProduct:
      return DispatchReduce<ProductOf>(SumTypes(), job, x, out);
    case ReduceKind::kMax:
      return DispatchReduce<MaxOf>(OrderTypes(), job, x, out);
    case ReduceKind::kMin:
      return DispatchReduce<MinOf>(OrderTypes(), job, x, out);
  }
}

void ReduceKernels::RunInDouble(ReduceKind kind, ReduceEnd end, const ReducePlan& plan, int threads,
                                const Value& x, Value& out) {
  Dispatch(TypeList<std::int32_t, std::int64_t, std::uint32_t, std::uint64_t>(), x.dtype,
           [&]<typename T>() {
             wide_x_.assign(x.As<T>(), x.As<T>() + x.Elements());
             wide_out_.resize(out.Elements());
             Value wide_x = {DType::kFloat64, {}, reinterpret_cast<std::byte*>(wide_x_.data())};
             Value wide_out = {DType::kFloat64, {}, reinterpret_cast<std::byte*>(wide_out_.data())};
             Run(kind, end, plan, threads, wide_x, wide_out);
             std::transform(wide_out_.begin(), wide_out_.end(), out.As<T>(), Saturated<T>);
           });
}

}  // namespace espalier::runtime
