#include "train/loss.h"

#include <fmt/format.h>

#include "espalier/base/error.h"
#include "train/check_range.h"

namespace espalier::train {
namespace {

[[noreturn]] void Refuse(const std::string& text, ErrorCode code = ErrorCode::kInvalidArgument) {
  throw Error(code, text);
}

void Check(const LossOptions& options, bool has_teacher) {
  CheckRange("the label smoothing", options.label_smoothing,
             options.label_smoothing >= 0 && options.label_smoothing < 1, "0 or more and below 1");
  CheckRange("the teacher's weight", options.teacher_weight,
             options.teacher_weight >= 0 && options.teacher_weight <= 1, "from 0 to 1");
  CheckRange("the temperature", options.temperature, options.temperature > 0, "above 0");
  CheckRange("the weight of inner values", options.inner_weight, options.inner_weight >= 0,
             "0 or more");
  if (!options.inner.empty() && !has_teacher) {
    Refuse("inner values are compared with a teacher's; there is no teacher");
  }
}

// What the Softmax at the network's end reads, if it is over the classes.
std::string LogitsOf(const Scope& scope, const std::string& output) {
  for (const Node& node : scope.nodes) {
    if (node.op_type != "Softmax" || node.outputs.empty() || node.outputs[0] != output) continue;
    const std::int64_t axis = IntAttribute(node, "axis", -1).value_or(0);
    if (axis == 1 || axis == -1) return node.inputs[0];
  }
  return output;
}

// [samples, classes] whatever further dimensions of 1 there are; undefined for anything else.
at::Tensor Classes(const at::Tensor& values) {
  if (values.dim() < 2) return {};
  for (std::int64_t d = 2; d < values.dim(); ++d) {
    if (values.size(d) != 1) return {};
  }
  return values.flatten(1);
}

std::string ShapeText(const at::Tensor& tensor) {
  return fmt::format("[{}]", fmt::join(tensor.sizes(), ", "));
}

}  // namespace

LossKind ParseLossKind(std::string_view text) {
  if (text == "cross-entropy") return LossKind::kCrossEntropy;
  if (text == "mse") return LossKind::kMse;
  Refuse(fmt::format("there is no loss '{}'; there are cross-entropy and mse", text));
}

Loss::Loss(const Graph& graph, const Graph* teacher, const LossOptions& options,
           const std::string& output)
    : options_(options) {
  Check(options, teacher != nullptr);
  label_weight_ = teacher != nullptr ? 1 - options.teacher_weight : 1;
  FindJudged(graph, teacher, output);
  wanted_.insert(wanted_.end(), options.inner.begin(), options.inner.end());
  teacher_wanted_.insert(teacher_wanted_.end(), options.inner.begin(), options.inner.end());
}

void Loss::FindJudged(const Graph& graph, const Graph* teacher, const std::string& output) {
  const std::vector<ValueInfo>& outputs = graph.scopes[0].outputs;
  bool found = false;
  std::vector<std::string> names;
  for (const ValueInfo& info : outputs) {
    names.push_back(info.name);
    const bool chosen = output.empty() ? outputs.size() == 1 : info.name == output;
    found = found || chosen;
    if (!chosen && teacher == nullptr) continue;
    if (chosen) label_output_ = judged_.size();
    judged_.push_back({info.name, LogitsOf(graph.scopes[0], info.name),
                       teacher ? LogitsOf(teacher->scopes[0], info.name) : info.name});
    wanted_.push_back(judged_.back().logits);
    teacher_wanted_.push_back(judged_.back().teacher_logits);
  }
  if (!found && (label_weight_ > 0 || !output.empty())) {
    Refuse(fmt::format("{}; the model's outputs are {}: choose one with --output-name",
                       output.empty() ? "which output do the labels judge?"
                                      : fmt::format("there is no output '{}'", output),
                       fmt::join(names, ", ")));
  }
}

LossKind Loss::KindFor(const at::Tensor& output) const {
  if (options_.kind) return *options_.kind;
  return Classes(output).defined() && output.size(1) > 1 ? LossKind::kCrossEntropy : LossKind::kMse;
}

at::Tensor Loss::LabelLoss(const at::Tensor& logits, const at::Tensor& labels) const {
  const at::Tensor values = Classes(logits);
  if (!values.defined()) {
    Refuse(
        fmt::format("labels judge an output [samples, classes]; this one is {}", ShapeText(logits)),
        ErrorCode::kShapeMismatch);
  }
  if (values.size(0) != labels.size(0)) {
    Refuse(fmt::format("{} labels for an output of {}", labels.size(0), ShapeText(logits)),
           ErrorCode::kShapeMismatch);
  }
  const std::int64_t least = labels.min().item<std::int64_t>();
  const std::int64_t most = labels.max().item<std::int64_t>();
  if (least < 0 || most >= values.size(1)) {
    Refuse(fmt::format("the data have a label {} and the output has {} classes, 0 to {}",
                       least < 0 ? least : most, values.size(1), values.size(1) - 1));
  }
  if (KindFor(values) == LossKind::kMse) {
    return at::mse_loss(values, at::one_hot(labels, values.size(1)).to(values.scalar_type()));
  }
  return at::cross_entropy_loss(values, labels, {}, at::Reduction::Mean, -100,
                                options_.label_smoothing);
}

// Cross-entropy against the teacher's probabilities, less their entropy, so that its least value
// is 0; times the squared temperature, which keeps gradients as large as those of the labels
// (Hinton et al., arXiv 1503.02531, section 2).
at::Tensor Loss::TeacherLoss(const at::Tensor& student, const at::Tensor& teacher) const {
  if (student.sizes() != teacher.sizes()) {
    Refuse(
        fmt::format("an output is {} and the teacher's {}", ShapeText(student), ShapeText(teacher)),
        ErrorCode::kShapeMismatch);
  }
  if (KindFor(student) == LossKind::kMse) {
    const at::Tensor scale = teacher.numel() > 1 ? teacher.var(false) : at::ones_like(teacher);
    return at::mse_loss(student, teacher) / (scale.mean() + 1e-12);
  }
  const at::Tensor values = Classes(student);
  if (!values.defined()) {
    Refuse(fmt::format("cross-entropy judges an output [samples, classes]; this one is {}: take "
                       "mse",
                       ShapeText(student)),
           ErrorCode::kShapeMismatch);
  }
  const double t = options_.temperature;
  const at::Tensor log_student = at::log_softmax(values / t, 1);
  const at::Tensor log_teacher = at::log_softmax(Classes(teacher) / t, 1);
  const at::Tensor apart = log_teacher.exp() * (log_teacher - log_student);
  return apart.sum() * (t * t / static_cast<double>(values.size(0)));
}

at::Tensor Loss::InnerLoss(const LossInputs& inputs) const {
  at::Tensor sum;
  for (const std::string& name : options_.inner) {
    const at::Tensor& own = inputs.student.at(name);
    const at::Tensor& other = inputs.teacher.at(name);
    if (own.sizes() != other.sizes()) {
      Refuse(fmt::format("the inner value '{}' is {} and the teacher's {}", name, ShapeText(own),
                         ShapeText(other)),
             ErrorCode::kShapeMismatch);
    }
    const at::Tensor apart = at::mse_loss(own, other) / (other.var(false) + 1e-12);
    sum = sum.defined() ? sum + apart : apart;
  }
  return sum;
}

at::Tensor Loss::AllTeacherLosses(const LossInputs& inputs) const {
  std::int64_t compared = 0;
  at::Tensor sum;
  for (const Judged& judged : judged_) {
    const at::Tensor& own = inputs.student.at(judged.logits);
    if (!own.is_floating_point()) continue;
    const at::Tensor part = TeacherLoss(own, inputs.teacher.at(judged.teacher_logits));
    sum = sum.defined() ? sum + part : part;
    ++compared;
  }
  if (compared == 0) Refuse("the network has no float output to compare with the teacher's");
  return sum / compared;
}

at::Tensor Loss::operator()(const LossInputs& inputs) const {
  at::Tensor total;
  const auto add = [&](const at::Tensor& part, double weight) {
    if (weight == 0) return;
    const at::Tensor weighted = weight == 1 ? part : part * weight;
    total = total.defined() ? total + weighted : weighted;
  };
  if (label_weight_ > 0) {
    add(LabelLoss(inputs.student.at(judged_[label_output_].logits), inputs.labels), label_weight_);
  }
  if (label_weight_ < 1) add(AllTeacherLosses(inputs), 1 - label_weight_);
  if (!options_.inner.empty()) add(InnerLoss(inputs), options_.inner_weight);
  return total;
}

std::optional<std::int64_t> Loss::CountRight(const std::map<std::string, at::Tensor>& outputs,
                                             const at::Tensor& labels) const {
  if (!labels.defined() || judged_.empty()) return std::nullopt;
  const at::Tensor values = Classes(outputs.at(judged_[label_output_].logits));
  if (!values.defined() || values.size(0) != labels.size(0) ||
      labels.min().item<std::int64_t>() < 0) {
    return std::nullopt;
  }
  return (values.argmax(1) == labels).sum().item<std::int64_t>();
}

}  // namespace espalier::train
