#pragma once

#include <onnx/onnx_pb.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "espalier/io/atomic_file.h"
#include "espalier/io/file.h"

namespace espalier::internal {

using SharedBytes = std::shared_ptr<const std::vector<std::byte>>;

/// Reads values that a model keeps in files beside it.
class ExternalReader {
 public:
  explicit ExternalReader(const std::filesystem::path& model);

  /// The bytes that `proto` names; tensors that name the same bytes share them.
  /// @param needed  What dimensions and type need; nothing for a type of unknown size.
  /// @throws Error  kBadFile: a path that is absolute or leaves the model's folder, an offset or
  ///                length beyond the file or other than `needed`, overlapping ranges.
  SharedBytes Read(const onnx::TensorProto& proto, std::optional<std::uint64_t> needed);

  /// Files read, links resolved, sorted by name.
  std::vector<std::filesystem::path> Files() const;

 private:
  struct OpenFile {
    InputFile file;
    std::uint64_t bytes_read = 0;
  };
  OpenFile& Open(const std::string& location);

  std::filesystem::path folder_;
  std::map<std::filesystem::path, OpenFile> files_;  // by resolved path
  std::map<std::tuple<const OpenFile*, std::uint64_t, std::uint64_t>, SharedBytes> read_;
};

/// From this size on a tensor's values go into the data file; as onnx.save_model's size_threshold.
inline constexpr std::size_t kExternalBytes = 1024;

/// Lays values out in one data file beside a model, then writes it.
class ExternalWriter {
 public:
  explicit ExternalWriter(std::filesystem::path data_path) : path_(std::move(data_path)) {}

  const std::filesystem::path& path() const { return path_; }
  bool empty() const { return ranges_.empty(); }

  /// Gives `bytes` a place in the file and notes it in `proto`, whose own values are dropped.
  /// `bytes` must live until Write(); tensors that share bytes share the place.
  void Add(std::span<const std::byte> bytes, onnx::TensorProto* proto);

  /// Writes everything; the caller commits.
  /// @throws Error  as AtomicFile.
  AtomicFile Write(Overwrite overwrite) const;

 private:
  struct Range {
    std::uint64_t offset;
    std::span<const std::byte> bytes;
  };
  std::filesystem::path path_;
  std::uint64_t end_ = 0;
  std::vector<Range> ranges_;
  std::map<std::pair<const std::byte*, std::size_t>, std::uint64_t> offsets_;
};

}  // namespace espalier::internal
