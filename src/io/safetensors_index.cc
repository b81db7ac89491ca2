#include <fmt/format.h>

#include <set>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"
#include "espalier/io/safetensors.h"
#include "io/json_events.h"
#include "io/text.h"

namespace espalier {
namespace {

using internal::JsonPath;
using internal::Quote;

constexpr std::uint64_t kMostIndexBytes = 100'000'000;  // as for a header

void CheckShardName(const std::string& tensor, const std::string& shard) {
  const bool is_plain = !shard.empty() && shard != "." && shard != ".." &&
                        shard.find('/') == std::string::npos &&
                        shard.find('\0') == std::string::npos;
  if (is_plain) return;
  throw Error(ErrorCode::kBadFile,
              fmt::format("tensor {} is in shard {}, which is not a plain file name in the index's "
                          "own folder",
                          Quote(tensor), Quote(shard)));
}

// Keys beside "weight_map" pass, whatever they hold: "metadata" has no fixed content.
class IndexEvents : public internal::JsonEvents {
 public:
  void Object(const JsonPath& path) override {
    if (path.size() == 1 && path[0] == "weight_map") {
      has_weight_map = true;
    } else if (!path.empty()) {
      Refuse(path, "an object");
    }
  }
  void Array(const JsonPath& path) override { Refuse(path, "an array"); }
  void String(const JsonPath& path, std::string& value) override {
    if (path.size() == 2 && path[0] == "weight_map") {
      CheckShardName(path[1], value);
      weight_map.emplace(path[1], std::move(value));
    } else {
      Refuse(path, Quote(value));
    }
  }
  void Unsigned(const JsonPath& path, std::uint64_t value) override {
    Refuse(path, fmt::to_string(value));
  }
  void Other(const JsonPath& path, std::string_view text) override { Refuse(path, text); }

  bool has_weight_map = false;
  std::map<std::string, std::string> weight_map;

 private:
  static void Refuse(const JsonPath& path, std::string_view found) {
    if (path.empty()) {
      throw Error(ErrorCode::kBadFile, fmt::format("the index is {}, not an object", found));
    }
    if (path[0] != "weight_map") return;
    throw Error(ErrorCode::kBadFile,
                path.size() == 1
                    ? fmt::format("weight_map is {}, not an object", found)
                    : fmt::format("weight_map has {} for tensor {}; a shard's file name is needed",
                                  found, Quote(path[1])));
  }
};

}  // namespace

SafetensorsIndex ReadSafetensorsIndex(const std::filesystem::path& path) {
  const std::string text = ReadFile(path, kMostIndexBytes);
  IndexEvents events;
  try {
    internal::ParseJson(text, events);
    if (!events.has_weight_map) {
      throw Error(ErrorCode::kBadFile,
                  "the index has no \"weight_map\"; is it a model.safetensors.index.json?");
    }
  } catch (Error& error) {
    error.AddContext(fmt::format("reading the index {}", Quote(path.native())));
    throw;
  }
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : events.weight_map) shards.insert(shard);
  return {{shards.begin(), shards.end()}, std::move(events.weight_map)};
}

}  // namespace espalier
