#pragma once

#include <memory>
#include <string_view>

#include "espalier/pattern/pattern.h"

namespace espalier {

/// N kept of every M consecutive input channels, for each output channel and kernel position. A
/// last group of fewer than M channels is treated as if padded with zeros: it keeps at most N. Of
/// equal scores the lower channel stays.
/// @return  Nothing if `spec` is not "<digits>:<digits>".
/// @throws Error  kInvalidArgument unless 1 <= N < M <= 65536.
/// @source  Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, section 3.
std::unique_ptr<Pattern> ParseNm(std::string_view spec);

/// The best of the 90 masks with two kept per row and column of each 4x4 tile of the [output,
/// input] matrix, so that the weight and its transpose are both 2:4. Tiles over the edge count the
/// missing weights as zero.
/// @return  Nothing if `spec` is not "2:4-transposable".
/// @source  Hubara et al., "Accelerated Sparse Neural Training", NeurIPS 2021, section 3; apex ASP
///          m4n2_2d_best.
std::unique_ptr<Pattern> ParseTransposable(std::string_view spec);

}  // namespace espalier
