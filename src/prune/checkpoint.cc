#include "espalier/prune/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "espalier/base/error.h"
#include "espalier/base/parallel.h"

namespace espalier {

struct CheckpointWeights::Shard {
  InputFile input;
  std::optional<AtomicFile> output;
};

namespace {

// Copies go in pieces of this size, so that threads share them and progress moves.
constexpr std::uint64_t kCopyBytes = 16u << 20;

// A file beside an index that is larger than this is not configuration.
constexpr std::uint64_t kMostSideFileBytes = 64u << 20;

struct Gap {
  std::size_t shard;
  std::uint64_t begin, end;
};

bool IsIndex(const std::filesystem::path& path) { return path.extension() == ".json"; }

// Weights in other formats would contradict the pruned ones.
bool IsSideFile(const std::filesystem::directory_entry& entry) {
  static const std::set<std::string> kWeights = {".safetensors", ".bin",  ".pt",      ".pth",
                                                 ".gguf",        ".onnx", ".msgpack", ".h5"};
  const std::string name = entry.path().filename().string();
  return entry.is_regular_file() && !name.starts_with('.') && !name.ends_with(".index.json") &&
         !kWeights.contains(entry.path().extension().string()) &&
         entry.file_size() <= kMostSideFileBytes;
}

}  // namespace

CheckpointWeights::~CheckpointWeights() = default;

CheckpointWeights::CheckpointWeights(const std::filesystem::path& path) {
  if (!IsIndex(path)) {
    AddShard(path, nullptr);
    return;
  }
  index_path_ = path;
  const SafetensorsIndex index = ReadSafetensorsIndex(path);
  for (const std::string& shard : index.shards) {
    try {
      AddShard(path.parent_path() / shard, &index);
    } catch (Error& error) {
      error.AddContext(fmt::format("reading the files of '{}'", path.string()));
      throw;
    }
  }
}

void CheckpointWeights::AddShard(const std::filesystem::path& path, const SafetensorsIndex* index) {
  shards_.push_back(std::make_unique<Shard>(Shard{InputFile(path), std::nullopt}));
  const SafetensorsHeader header = ReadSafetensorsHeader(shards_.back()->input);
  const std::string name = path.filename().string();
  std::set<std::string_view> present;
  for (const SafetensorsEntry& entry : header.entries) {
    present.insert(entry.name);
    if (index != nullptr) {
      const auto mapped = index->weight_map.find(entry.name);
      if (mapped == index->weight_map.end() || mapped->second != name) continue;
    }
    if (auto layer = LayerOfCheckpointTensor(entry)) {
      layers_.push_back(std::move(*layer));
      places_.push_back({shards_.size() - 1, entry.begin, entry.end});
    } else if (IsFloatDType(entry.dtype)) {
      other_parameters_ += ElementCount(entry.shape);
    }
  }
  if (index == nullptr) return;
  for (const auto& [tensor, shard] : index->weight_map) {
    if (shard == name && !present.contains(tensor)) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("the index says that '{}' holds the tensor '{}', but it does not",
                              name, tensor));
    }
  }
}

void CheckpointWeights::OpenOutput(const std::filesystem::path& path, Overwrite overwrite) {
  for (const auto& shard : shards_) {
    const std::filesystem::path target =
        index_path_.empty() ? path : path / shard->input.path().filename();
    shard->output.emplace(target, overwrite, shard->input.size());
  }
  if (!index_path_.empty()) OpenSideFiles(path, overwrite);
}

void CheckpointWeights::OpenSideFiles(const std::filesystem::path& folder, Overwrite overwrite) {
  std::error_code ignored;
  std::filesystem::path source = index_path_.parent_path();
  if (source.empty()) source = ".";
  std::vector<std::filesystem::path> names;
  if (!std::filesystem::equivalent(source, folder, ignored)) {
    for (const auto& entry : std::filesystem::directory_iterator(source, ignored)) {
      if (IsSideFile(entry)) names.push_back(entry.path().filename());
    }
    std::ranges::sort(names);
  }
  names.push_back(index_path_.filename());  // last: with the index the checkpoint is complete
  for (const std::filesystem::path& name : names) {
    const InputFile input(source / name);
    AtomicFile output(folder / name, overwrite, input.size());
    output.CopyFrom(input, 0, 0, input.size());
    side_files_.push_back(std::move(output));
  }
}

void CheckpointWeights::Commit() {
  for (const auto& shard : shards_) shard->output->Commit();
  for (AtomicFile& file : side_files_) file.Commit();
}

void CheckpointWeights::Read(std::size_t layer, std::int64_t first,
                             std::span<std::byte> out) const {
  const Place& place = places_[layer];
  const std::uint64_t offset = first * DTypeBits(layers_[layer].dtype) / 8;
  shards_[place.shard]->input.ReadAt(place.begin + offset, out);
}

void CheckpointWeights::Write(std::size_t layer, std::int64_t first,
                              std::span<const std::byte> bytes) {
  const Place& place = places_[layer];
  const std::uint64_t offset = first * DTypeBits(layers_[layer].dtype) / 8;
  shards_[place.shard]->output->WriteAt(place.begin + offset, bytes);
}

void CheckpointWeights::BeginWrites(const std::vector<std::size_t>& layers, int threads,
                                    const AdvanceFunction& advance) {
  std::vector<std::vector<Place>> written(shards_.size());
  for (const std::size_t layer : layers) written[places_[layer].shard].push_back(places_[layer]);
  std::vector<Gap> gaps;
  for (std::size_t s = 0; s < shards_.size(); ++s) {
    std::ranges::sort(written[s], {}, &Place::begin);
    const std::uint64_t size = shards_[s]->input.size();
    written[s].push_back({s, size, size});
    std::uint64_t begin = 0;
    for (const Place& place : written[s]) {
      for (; begin < place.begin; begin = gaps.back().end) {
        gaps.push_back({s, begin, std::min(place.begin, begin + kCopyBytes)});
      }
      begin = place.end;
    }
  }
  ParallelFor(threads, gaps.size(), [&](std::size_t i) {
    const Gap& gap = gaps[i];
    Shard& shard = *shards_[gap.shard];
    shard.output->CopyFrom(shard.input, gap.begin, gap.begin, gap.end - gap.begin);
    if (advance) advance(gap.end - gap.begin);
  });
}

std::uint64_t CheckpointWeights::BytesToCopy(const std::vector<std::size_t>& layers) const {
  std::uint64_t bytes = 0;
  for (const auto& shard : shards_) bytes += shard->input.size();
  for (const std::size_t layer : layers) bytes -= places_[layer].end - places_[layer].begin;
  return bytes;
}

}  // namespace espalier
