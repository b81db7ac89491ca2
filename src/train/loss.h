#pragma once

#include <ATen/ATen.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "espalier/train/train.h"

namespace espalier::train {

/// What the loss reads of one batch.
struct LossInputs {
  const std::map<std::string, at::Tensor>& student;  ///< Outputs and inner values.
  const std::map<std::string, at::Tensor>& teacher;  ///< Empty without one.
  at::Tensor labels;                                 ///< int64 [samples]; undefined without.
};

/// The loss of a network's outputs, and the names of the values that it reads.
class Loss {
 public:
  /// @param graph       The network; the Softmax at its end is left out, for the numbers' sake.
  /// @param output      That labels judge; empty: the only one.
  /// @param teacher     The teacher's network; null without one.
  /// @throws Error  kInvalidArgument for values out of range, an unknown or ambiguous output, inner
  ///                values without a teacher.
  Loss(const Graph& graph, const Graph* teacher, const LossOptions& options,
       const std::string& output);

  /// Inner values that Forward() has to return beside the outputs.
  const std::vector<std::string>& wanted() const { return wanted_; }
  /// The same of the teacher.
  const std::vector<std::string>& teacher_wanted() const { return teacher_wanted_; }

  bool NeedsLabels() const { return label_weight_ > 0; }

  /// A scalar with gradients.
  /// @throws Error  kInvalidArgument for a label without a class; kShapeMismatch for outputs that
  ///                the loss cannot judge, or that are not those of the teacher.
  at::Tensor operator()(const LossInputs& inputs) const;

  /// Right answers among the samples; nothing without labels or if the output is no [samples,
  /// classes].
  std::optional<std::int64_t> CountRight(const std::map<std::string, at::Tensor>& outputs,
                                         const at::Tensor& labels) const;

 private:
  struct Judged {
    std::string output;
    std::string logits;  ///< What the Softmax reads; the output itself without one.
    std::string teacher_logits;
  };

  at::Tensor LabelLoss(const at::Tensor& logits, const at::Tensor& labels) const;
  void FindJudged(const Graph& graph, const Graph* teacher, const std::string& output);
  at::Tensor TeacherLoss(const at::Tensor& student, const at::Tensor& teacher) const;
  at::Tensor AllTeacherLosses(const LossInputs& inputs) const;
  at::Tensor InnerLoss(const LossInputs& inputs) const;
  LossKind KindFor(const at::Tensor& output) const;

  LossOptions options_;
  double label_weight_ = 0;
  std::vector<Judged> judged_;  ///< With a teacher all float outputs, else the one for labels.
  std::size_t label_output_ = 0;
  std::vector<std::string> wanted_, teacher_wanted_;
};

}  // namespace espalier::train
