#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "espalier/data/image.h"
#include "espalier/io/npy.h"

namespace espalier {

/// One input with its label. It has either an image or a tensor.
struct Sample {
  std::string name;         ///< For messages: a path in the data set, or "image 17".
  std::int64_t label = -1;  ///< Index of the class, from 0; -1 if the data have no labels.
  Image image;              ///< Without pixels if the sample is a tensor.
  NpyArray tensor;          ///< One sample, without the batch's dimension; row-major.

  bool HasImage() const { return !image.pixels.empty(); }
};

/// Labelled samples on disk, read one by one.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// Number of samples, at least 1.
  virtual std::size_t size() const noexcept = 0;

  /// Names by label; empty if the data have none.
  virtual const std::vector<std::string>& class_names() const noexcept = 0;

  /// What was opened, for the user: "cifar10.tar.xz, folder cifar10/test: 5000 images, 10 classes".
  virtual std::string Description() const = 0;

  /// Reads and decodes sample `index`. Any order; safe from several threads at once.
  /// @throws Error  kBadFile, naming the sample, if its bytes cannot be read or decoded;
  ///                kInvalidArgument if `index` is not below size().
  virtual Sample Read(std::size_t index) const = 0;
};

/// Formats of data sets that OpenDataset() knows.
enum class DataFormat {
  kDetect,
  kImages,  ///< JPEG and PNG files in a folder or tar archive.
  kIdx,     ///< MNIST's format.
  kCifar,   ///< CIFAR-10's and CIFAR-100's binary version.
  kNumpy,   ///< .npy and .npz.
};

/// "detect", "images", "idx", "cifar" or "numpy".
/// @throws Error  kInvalidArgument with the list, for another name.
DataFormat ParseDataFormat(std::string_view name);

struct DatasetOptions {
  DataFormat format = DataFormat::kDetect;
  /// Labels: a CSV `file,label` for images, a file of the data's own format for IDX and npy.
  /// Empty: the folders' names, or the file that lies beside the images.
  std::filesystem::path labels;
  /// Part of the data, as "test" or "cifar10/train". Empty: the only one, else the one for tests.
  std::string split;
  /// Names by label, for labels that are names. Empty: the names that occur, in byte order.
  std::vector<std::string> class_names;
  /// False: data without labels are welcome, too, their labels are -1.
  bool need_labels = true;
  /// Most bytes that a compressed archive or array may unpack to.
  std::uint64_t max_unpacked = std::uint64_t{1} << 36;
};

/// Opens labelled data. What `path` holds is seen from its content and the names in it:
///
/// - A folder or tar archive of JPEG and PNG files. Without options.labels, the label is the index
/// of
///   the file's class folder among its sisters, in byte order of their names; further folders above
///   are passed as long as each is alone. Of several splits (train, test, ...), options.split names
///   one by its path or the end of it; otherwise the first of test, val, valid, validation is
///   taken. With options.labels, a CSV with the header `file,label` (further columns are ignored),
///   the data are its rows, in their order. A file is found by its path, else by its name alone.
///   Labels are numbers from 0, or all of them names.
/// - IDX: a folder or tar archive with train-images-idx3-ubyte and so on (split "train" or "test",
///   default "test"), or one file of images, whose labels lie beside it or in options.labels.
/// - CIFAR's binary version: a folder or tar archive with data_batch_*.bin and test_batch.bin or
///   with train.bin and test.bin (split "train" or "test", default "test"), or one such file.
/// - NumPy: an .npz with the arrays `inputs`, `x` or `images`, and `labels` or `y`; or an .npy, or
/// a
///   folder of them with such names. Sample i is inputs[i]. uint8 arrays [N, H, W], [N, H, W, 1 or
///   3] or [N, 1 or 3, H, W] are images, all others tensors, which no preprocessing changes.
///
/// tar archives may be ustar, pax or GNU; they and IDX files may be compressed by gzip or xz. What
/// is compressed is unpacked once: up to 64 MiB in memory, above in an unnamed file in TMPDIR.
///
/// @throws Error  kBadFile, with the place, for files that cannot be read or contradict themselves;
///                kInvalidArgument if options and data do not fit, with what there is to choose;
///                kUnsupported for what a format allows but is not read (named); kWriteFailed if
///                TMPDIR is full.
/// @cost    Lists the folder, or reads the archive's headers; images are read by Dataset::Read().
std::unique_ptr<Dataset> OpenDataset(const std::filesystem::path& path,
                                     const DatasetOptions& options = {});

}  // namespace espalier
