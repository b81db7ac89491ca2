#include "train/torch_runtime.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <fmt/format.h>

namespace espalier::train {

void SetTorchThreads(int threads) {
  at::set_num_threads(threads);
  using Setter = void (*)(int);
  if (auto* set = reinterpret_cast<Setter>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) {
    set(threads);
  }
}

std::string BlasText() {
  using Getter = char* (*)();
  if (auto* config = reinterpret_cast<Getter>(dlsym(RTLD_DEFAULT, "openblas_get_config"))) {
    return config();
  }
  return "libblas.so.3 is not OpenBLAS: training is several times slower; install "
         "libopenblas0-pthread";
}

}  // namespace espalier::train
