#include <cstdint>
#include <cstring>
#include <iostream>
#include <vector>

#include "espalier/base/isa.h"
#include "espalier/kernels/nm_mask.h"
#if ESPALIER_HAS_ONNX
#include "espalier/base/error.h"
#include "espalier/onnx/onnx_file.h"
#endif

namespace {

// A kernel (needs Highway at link time).
bool Prunes() {
  std::vector<float> weight = {1, -4, 3, 2};
  std::vector<std::uint32_t> bits(4);
  std::memcpy(bits.data(), weight.data(), 16);
  espalier::PruneNm(bits.data(), 1, 4, 2, 4);
  std::memcpy(weight.data(), bits.data(), 16);
  return weight == std::vector<float>{0, -4, 3, 0};
}

// The ONNX reader (needs protobuf and onnx at link time).
bool RefusesWhatIsNotOnnx() {
#if ESPALIER_HAS_ONNX
  try {
    espalier::ReadOnnx("CMakeCache.txt");
    return false;
  } catch (const espalier::Error& error) {
    return error.code() == espalier::ErrorCode::kBadFile;
  }
#else
  return true;
#endif
}

}  // namespace

int main() {
  std::cout << "instruction set " << espalier::ActiveIsa() << '\n';
  if (!Prunes()) std::cerr << "2:4 of 1 -4 3 2 is not 0 -4 3 0\n";
  if (!RefusesWhatIsNotOnnx()) std::cerr << "CMakeCache.txt was read as ONNX\n";
  return Prunes() && RefusesWhatIsNotOnnx() ? 0 : 1;
}
