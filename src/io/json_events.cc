#include "io/json_events.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "espalier/base/error.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

constexpr std::size_t kMostLevels = 32;

// The interface that nlohmann::json::sax_parse() calls; each function returns true to go on. Names
// and signatures are the library's.
class SaxAdapter {
 public:
  explicit SaxAdapter(JsonEvents& events) : events_(events) {}

  bool null() { return Other("null"); }
  bool boolean(bool value) { return Other(value ? "true" : "false"); }
  bool number_integer(std::int64_t value) { return Other(fmt::to_string(value)); }
  bool number_unsigned(std::uint64_t value) {
    events_.Unsigned(path_, value);
    return true;
  }
  bool number_float(double, const std::string& text) { return Other(text); }
  bool string(std::string& value) {
    events_.String(path_, value);
    return true;
  }
  bool binary(nlohmann::json::binary_t&) { return Other("binary"); }

  bool start_object(std::size_t) {
    events_.Object(path_);
    keys_.emplace_back();
    return Enter();
  }
  bool key(std::string& name) {
    if (!keys_.back().insert(name).second) {
      path_.pop_back();
      throw Error(ErrorCode::kBadFile,
                  fmt::format("key {} appears twice in {}", Quote(name),
                              path_.empty() ? "the top-level object" : Quote(path_.back())));
    }
    path_.back() = std::move(name);
    return true;
  }
  bool end_object() {
    keys_.pop_back();
    path_.pop_back();
    return true;
  }
  bool start_array(std::size_t) {
    events_.Array(path_);
    return Enter();
  }
  bool end_array() {
    path_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& e) {
    // The library's text begins with "[json.exception.parse_error.101] parse error at ...: ".
    std::string_view reason = e.what();
    if (const std::size_t colon = reason.find(": "); colon != reason.npos) {
      reason.remove_prefix(colon + 2);
    }
    throw Error(ErrorCode::kBadFile,
                fmt::format("malformed JSON at byte {}: {}", position, Quote(reason)));
  }

 private:
  bool Other(std::string_view text) {
    events_.Other(path_, text);
    return true;
  }
  bool Enter() {
    path_.emplace_back();
    if (path_.size() > kMostLevels) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("JSON is nested deeper than {} levels", kMostLevels));
    }
    return true;
  }

  JsonEvents& events_;
  JsonPath path_;
  std::vector<std::unordered_set<std::string>> keys_;  // of each open object
};

}  // namespace

void ParseJson(std::string_view text, JsonEvents& events) {
  // The library takes a NUL for the end of the text and would let anything follow it.
  if (const std::size_t nul = text.find('\0'); nul != text.npos) {
    throw Error(ErrorCode::kBadFile, fmt::format("malformed JSON at byte {}: NUL", nul + 1));
  }
  SaxAdapter adapter(events);
  nlohmann::json::sax_parse(text, &adapter);
}

}  // namespace espalier::internal
