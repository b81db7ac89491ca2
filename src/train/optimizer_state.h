#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace torch::optim {
class Optimizer;
}

namespace espalier::train {

/// What an optimizer remembers of each element of a parameter: SGD's momentum_buffer, the exp_avg
/// and exp_avg_sq (and AMSGrad's max_exp_avg_sq) of Adam and AdamW, RMSprop's and Adagrad's sums.
/// @return  Handles, no copies; empty before the first step and for other optimizers.
std::vector<at::Tensor> StateTensors(torch::optim::Optimizer& optimizer,
                                     const at::Tensor& parameter);

}  // namespace espalier::train
