#pragma once

#include <c10/util/Exception.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "espalier/base/error.h"

namespace espalier::train {

/// Bounds libtorch's threads and those of OpenBLAS below it, which at::set_num_threads does not.
/// @param threads  At least 1.
void SetTorchThreads(int threads);

/// The BLAS that matrix products run on, for the user: "OpenBLAS 0.3.21", or "libblas.so.3 is not
/// OpenBLAS: training is several times slower; install libopenblas0-pthread".
std::string BlasText();

/// Calls `work` and returns what it returns.
/// @param what    What is being done, as "step 12" or "Conv 'conv1'": begins the message.
/// @throws Error  `code` with libtorch's message, without its backtrace, if libtorch throws.
template <class Work>
auto WithTorchErrors(ErrorCode code, const std::string& what, Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const c10::Error& error) {
    throw Error(code, what + ": " + error.what_without_backtrace());
  } catch (const std::runtime_error& error) {  // some checks of sizes throw it; ours is no child
    throw Error(code, what + ": " + error.what());
  }
}

}  // namespace espalier::train
