#pragma once

#include "cli/training_options.h"

namespace espalier::cli {

/// `finetune` and `train`. SIGTERM and SIGINT end them after a step, with a checkpoint if one was
/// asked for.
int RunTraining(const TrainingOptions& options, const CommonOptions& common,
                const Streams& streams);

}  // namespace espalier::cli
