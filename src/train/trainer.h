#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "espalier/train/train.h"
#include "train/checkpoint.h"
#include "train/loss.h"
#include "train/mask_keeper.h"
#include "train/optimizer.h"
#include "train/trainable.h"

namespace espalier::train {

/// One training, from the graph to the graph; what Train() does.
class Trainer {
 public:
  Trainer(Graph* graph, const Graph* teacher, const TrainData& data, const TrainOptions& options);

  /// Call once.
  TrainReport Run();

 private:
  using Clock = std::chrono::steady_clock;
  using Values = std::map<std::string, at::Tensor>;

  // Sums since the epoch began.
  struct Sums {
    double loss = 0;  // times samples
    std::int64_t samples = 0;
    std::int64_t right = 0;
    std::int64_t judged = 0;  // samples that `right` counts among
  };

  // Before the first step.
  void InsertNormalizations();
  void SetUpMasks();
  void HoldPresentZeros();
  void SetUpSparsity();
  void SetUpSchedules();

  // Steps.
  bool RunEpoch(std::int64_t epoch, std::size_t first_batch);
  void RunStep(Batch& batch);
  void UpdateMasks();
  at::Tensor ForwardLoss(Batch& batch);
  Values Feed(const at::Tensor& inputs) const;
  void CheckFinite(double loss) const;
  void CheckWeights() const;
  std::string LastCheckpoint() const;
  bool ShouldStop() const;
  bool Done() const;

  // After them.
  bool JudgeHeldOut(TrainFigures* figures);
  TrainFigures Figures() const;
  void Finish(TrainReport* report);
  void CheckZeros() const;

  // Checkpoints.
  void SaveIfDue(bool now);
  void Save();
  void Resume();
  std::map<std::string, std::string> Terms() const;

  Graph* graph_;
  std::uint64_t graph_print_ = 0, teacher_print_ = 0;  // fingerprints
  TrainData data_;
  TrainOptions options_;
  Trainable net_;
  std::optional<Trainable> teacher_;
  std::string input_, teacher_input_;
  Dims sample_shape_;
  std::unique_ptr<BatchLoader> loader_;
  Loss loss_;
  std::unique_ptr<MaskKeeper> keeper_;
  std::vector<std::pair<std::size_t, std::size_t>> held_;  // held weight, parameter
  std::optional<SparsitySchedule> schedule_;
  std::optional<LearningRate> learning_rate_;
  std::unique_ptr<NetOptimizer> optimizer_;
  TrainReport report_;
  Sums sums_;
  std::int64_t step_ = 0;
  std::int64_t steps_ = 0;
  std::int64_t epoch_ = 0;  // from 0
  Clock::time_point began_, epoch_began_, saved_;
  std::int64_t epoch_samples_here_ = 0;  // of this process, for the speed
};

}  // namespace espalier::train
