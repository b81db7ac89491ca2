#include "espalier/train/train.h"

#include "train/torch_runtime.h"
#include "train/trainer.h"

namespace espalier::train {

TrainReport Train(Graph* graph, const Graph* teacher, const TrainData& data,
                  const TrainOptions& options) {
  return WithTorchErrors(ErrorCode::kUnsupported, "libtorch",
                         [&] { return Trainer(graph, teacher, data, options).Run(); });
}

}  // namespace espalier::train
