#include "train/op_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "espalier/base/error.h"

namespace espalier::train {
namespace {

template <class T>
const T* Find(const Node& node, const std::string& name) {
  const auto found = node.attributes.find(name);
  if (found == node.attributes.end()) return nullptr;
  if (const T* value = std::get_if<T>(&found->second)) return value;
  throw Error(ErrorCode::kUnsupported,
              fmt::format("attribute '{}' of {} has another type than ONNX defines for it", name,
                          NodeText(node)));
}

std::vector<std::span<const OpEntry>> Parts() {
  return {ActivationOps(), ArithmeticOps(), ConvOps(), ControlOps(), IndexOps(),
          MatrixOps(),     MoveOps(),       NormOps(), PoolOps(),    RecurrentOps(),
          ReduceOps(),     ResizeOps(),     ShapeOps()};
}

}  // namespace

void ThrowMalformed(const Node& node, const std::string& problem) {
  throw Error(ErrorCode::kBadFile, fmt::format("{} {}", NodeText(node), problem));
}

const at::Tensor& OpInputs::operator[](std::size_t index) const {
  if (!Has(index)) ThrowMalformed(*node_, fmt::format("has no input {}", index));
  return tensors_[index];
}

at::TensorList OpInputs::All() const {
  for (std::size_t i = 0; i < size(); ++i) (*this)[i];
  return {tensors_.data(), tensors_.size()};
}

std::vector<std::int64_t> OpCall::RequiredInts(std::size_t index,
                                               const std::string& attribute) const {
  if (const auto values = IntsAt(index, attribute)) return *values;
  ThrowMalformed(node, fmt::format("has no {}", attribute));
}

std::int64_t OpCall::Int(const std::string& name, std::int64_t fallback) const {
  const auto* value = Find<std::int64_t>(node, name);
  return value == nullptr ? fallback : *value;
}

std::vector<std::int64_t> OpCall::Ints(const std::string& name,
                                       std::vector<std::int64_t> fallback) const {
  const auto* value = Find<std::vector<std::int64_t>>(node, name);
  return value == nullptr ? std::move(fallback) : *value;
}

double OpCall::Float(const std::string& name, double fallback) const {
  const auto* value = Find<float>(node, name);
  return value == nullptr ? fallback : *value;
}

std::string OpCall::Text(const std::string& name, const std::string& fallback) const {
  const auto* value = Find<std::string>(node, name);
  return value == nullptr ? fallback : *value;
}

std::optional<std::vector<std::int64_t>> OpCall::IntsAt(std::size_t index,
                                                        const std::string& attribute) const {
  if (Has(index)) return IntsOf(inputs[index]);
  const auto* value = Find<std::vector<std::int64_t>>(node, attribute);
  if (value == nullptr) return std::nullopt;
  return *value;
}

const OpEntry* FindOp(std::string_view domain, std::string_view op_type) {
  static const auto* const kByName = [] {
    auto* table = new std::map<std::pair<std::string_view, std::string_view>, const OpEntry*>;
    for (const OpEntry* entry : AllOps()) (*table)[{entry->domain, entry->op_type}] = entry;
    return table;
  }();
  const auto found = kByName->find({domain, op_type});
  return found == kByName->end() ? nullptr : found->second;
}

std::vector<const OpEntry*> AllOps() {
  std::vector<const OpEntry*> all;
  for (const std::span<const OpEntry> part : Parts()) {
    for (const OpEntry& entry : part) all.push_back(&entry);
  }
  return all;
}

std::vector<std::int64_t> IntsOf(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kCPU, at::kLong).contiguous();
  const auto* begin = flat.data_ptr<std::int64_t>();
  return {begin, begin + flat.numel()};
}

at::IntArrayRef SpatialSizes(const OpCall& call, const at::Tensor& x) {
  if (x.dim() < 3) ThrowMalformed(call.node, fmt::format("has an input of {} axes", x.dim()));
  return x.sizes().slice(2);
}

std::vector<std::int64_t> WindowPads(const OpCall& call, at::IntArrayRef sizes,
                                     at::IntArrayRef kernel, at::IntArrayRef strides,
                                     at::IntArrayRef dilations) {
  const std::size_t rank = sizes.size();
  for (const at::IntArrayRef list : {kernel, strides, dilations}) {
    if (list.size() != rank || std::any_of(list.begin(), list.end(), [](auto n) { return n < 1; }))
      ThrowMalformed(call.node, fmt::format("has a window that does not fit {} axes", rank));
  }
  const std::string automatic = call.Text("auto_pad", "NOTSET");
  if (automatic == "NOTSET") {
    const auto pads = call.Ints("pads", std::vector<std::int64_t>(2 * rank, 0));
    if (pads.size() != 2 * rank) ThrowMalformed(call.node, "has pads for other axes");
    return pads;
  }
  std::vector<std::int64_t> pads(2 * rank, 0);
  if (automatic == "VALID") return pads;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t out = (sizes[i] + strides[i] - 1) / strides[i];
    const std::int64_t reach = (kernel[i] - 1) * dilations[i] + 1;
    const std::int64_t total = std::max<std::int64_t>((out - 1) * strides[i] + reach - sizes[i], 0);
    const std::int64_t small = total / 2;
    pads[i] = automatic == "SAME_LOWER" ? total - small : small;
    pads[rank + i] = total - pads[i];
  }
  return pads;
}

std::vector<std::int64_t> TorchPads(at::IntArrayRef pads) {
  const std::size_t rank = pads.size() / 2;
  std::vector<std::int64_t> torch_pads;
  for (std::size_t i = rank; i-- > 0;) {
    torch_pads.push_back(pads[i]);
    torch_pads.push_back(pads[rank + i]);
  }
  return torch_pads;
}

bool SymmetricPads(at::IntArrayRef pads) {
  const std::size_t rank = pads.size() / 2;
  return std::equal(pads.begin(), pads.begin() + rank, pads.begin() + rank);
}

}  // namespace espalier::train
