#pragma once

#include <vector>

#include "espalier/graph/graph.h"
#include "train/trainable_program.h"

namespace espalier::train {

/// What training does with a constant.
enum class ConstantRole {
  kFixed,   ///< Nothing.
  kBuffer,  ///< Running statistics: measured, not trained.
  kVector,  ///< Trained without weight decay: biases, scales, slopes, tokens, positions.
  kWeight,  ///< Trained with weight decay: the matrices of layers.
};

/// Tells parameters from other constants; one role for each of Graph::constants.
///
/// Only float constants are trained. They are
/// - what stands where an operator's definition has a weight: Conv and ConvTranspose (weight,
///   bias), Gemm and MatMul (either side; Gemm's C), Einsum, RNN, GRU and LSTM (W, R, B,
///   peepholes), scale and bias of Batch-, Instance-, Layer- and GroupNormalization, PRelu's slope.
///   Mean and variance of BatchNormalization are buffers;
/// - operands of Add, Sub, Mul and Div, and constants that Concat, Expand, Tile or Gather put into
///   the network (tokens, positions, embeddings), of more than one element, if a layer comes before
///   them (not for Gather, Expand and Tile) and one after. So mean and deviation at the input, and
///   the anchors and strides that a detector's end decodes with, stay what they are;
/// - without a layer after: what Add adds right after a layer or a trained scale, and what Mul
///   multiplies right after a normalization, as long as it is a vector;
/// - constants that reach such a place through nodes that compute with constants only (Transpose,
///   Reshape, Cast, Concat, Mul, ...).
///
/// Not trained: single elements but in the places above (1/sqrt(d), epsilon), and operands that are
/// masks: with an infinity or a value of -10000 or less, or of two values only that are 0 and 1, or
/// 0 and -100 or less.
std::vector<ConstantRole> FindConstantRoles(const Graph& graph, const TrainProgram& program);

/// For each slot whether it follows from constants alone, whatever the inputs are.
std::vector<bool> FindConstantSlots(const TrainProgram& program);

/// For each slot whether a layer (Conv, MatMul, Gemm, ... with a trained weight) comes after it.
std::vector<bool> FindSlotsBeforeLayers(const TrainProgram& program);

}  // namespace espalier::train
