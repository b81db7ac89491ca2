#include "espalier/runtime/compare.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "espalier/base/error.h"

namespace espalier {
namespace {

OutputDifference Difference(const std::string& name, const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims()) {
    throw Error(ErrorCode::kShapeMismatch,
                fmt::format("output '{}' is {} [{}] in the first model and {} [{}] in the second",
                            name, DTypeName(a.dtype()), fmt::join(a.dims(), ", "),
                            DTypeName(b.dtype()), fmt::join(b.dims(), ", ")));
  }
  const std::vector<double> x = a.AsDoubles();
  const std::vector<double> y = b.AsDoubles();
  OutputDifference difference;
  difference.name = name;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!std::isnan(x[i])) difference.max_abs = std::max(difference.max_abs, std::abs(x[i]));
    double apart = std::abs(x[i] - y[i]);
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) apart = 0;
    if (std::isnan(apart)) apart = std::numeric_limits<double>::infinity();
    if (apart > difference.max_abs_diff) {
      difference.max_abs_diff = apart;
      difference.at = i;
    }
  }
  return difference;
}

}  // namespace

double OutputDifference::Relative() const {
  if (max_abs_diff == 0) return 0;
  return max_abs == 0 ? std::numeric_limits<double>::infinity() : max_abs_diff / max_abs;
}

std::vector<OutputDifference> CompareOutputs(const std::map<std::string, Tensor>& first,
                                             const std::map<std::string, Tensor>& second,
                                             const std::vector<std::string>& first_order,
                                             const std::vector<std::string>& second_order) {
  if (first_order.size() != second_order.size()) {
    throw Error(ErrorCode::kShapeMismatch,
                fmt::format("the first model has {} outputs, the second {}", first_order.size(),
                            second_order.size()));
  }
  bool same_names = true;
  for (const std::string& name : first_order) same_names = same_names && second.contains(name);
  std::vector<OutputDifference> differences;
  for (std::size_t i = 0; i < first_order.size(); ++i) {
    const std::string& other = same_names ? first_order[i] : second_order[i];
    differences.push_back(Difference(first_order[i], first.at(first_order[i]), second.at(other)));
  }
  return differences;
}

}  // namespace espalier
