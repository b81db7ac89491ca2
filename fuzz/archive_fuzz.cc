// Opens any bytes as a data set (gzip, xz, tar, IDX, npy, npz; CIFAR by force) and reads its first
// and last sample: an Error, or a sample that can be preprocessed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "espalier/base/error.h"
#include "espalier/data/dataset.h"
#include "espalier/data/preprocess.h"
#include "fuzz/memory_file.h"

namespace espalier {
namespace {

// Writes the right checksum into each block that looks like a tar header, or mutations of the other
// fields would never be read.
void MendTar(std::vector<std::uint8_t>& bytes) {
  constexpr std::size_t kBlock = 512, kChecksum = 148;
  for (std::size_t at = 0; at + kBlock <= bytes.size(); at += kBlock) {
    std::uint8_t* const block = bytes.data() + at;
    if (std::string_view(reinterpret_cast<const char*>(block) + 257, 5) != "ustar") continue;
    std::fill_n(block + kChecksum, 8, std::uint8_t{' '});
    unsigned sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) sum += block[i];
    for (std::size_t i = 6; i-- > 0; sum /= 8) {
      block[kChecksum + i] = static_cast<std::uint8_t>('0' + sum % 8);
    }
    block[kChecksum + 6] = 0;
  }
}

void RequireReasonable(const Error& error) {
  Require(error.code() != ErrorCode::kInternal && error.code() != ErrorCode::kWriteFailed);
}

void FuzzSample(const Sample& sample) {
  const Image& image = sample.image;
  Require(sample.label >= -1);
  Require(image.pixels.size() == static_cast<std::size_t>(image.width) *
                                     static_cast<std::size_t>(image.height) *
                                     static_cast<std::size_t>(image.channels));
  // A sample of 65,500 pixels a side would be scaled for seconds.
  if (image.pixels.size() > (1 << 20)) return;
  const Preprocess preprocess = FindPreprocess("unit");
  const Dims input =
      sample.HasImage() ? Dims{-1, 3, 4, 4} : Dims(sample.tensor.shape.size() + 1, -1);
  const Dims shape = SampleShape(preprocess, input, sample);
  std::vector<float> out(static_cast<std::size_t>(ElementCount(shape)));
  PreprocessSample(preprocess, sample, shape, out);
}

void Fuzz(const MemoryFile& memory, DatasetOptions options) {
  options.max_unpacked = 1 << 20;
  try {
    const auto data = OpenDataset(memory.path(), options);
    Require(data->size() > 0 && !data->Description().empty());
    for (const std::size_t index : {std::size_t{0}, data->size() - 1}) {
      try {
        FuzzSample(data->Read(index));
      } catch (const Error& error) {
        RequireReasonable(error);
      }
    }
  } catch (const Error& error) {
    RequireReasonable(error);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const espalier::MemoryFile memory;
  std::vector<std::uint8_t> bytes(data, data + size);
  espalier::MendTar(bytes);
  memory.Set(bytes.data(), bytes.size());
  espalier::DatasetOptions options;
  espalier::Fuzz(memory, options);
  options.need_labels = false;
  espalier::Fuzz(memory, options);
  options.format = espalier::DataFormat::kCifar;
  espalier::Fuzz(memory, options);
  return 0;
}
