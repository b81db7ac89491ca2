#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace espalier::internal {

/// Where a value stands: its keys from the outermost inwards; the elements of an array have key "".
using JsonPath = std::vector<std::string>;

/// Told about each value of a JSON text, in order. An object or array is told when it begins.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void Object(const JsonPath& path) = 0;
  virtual void Array(const JsonPath& path) = 0;
  virtual void String(const JsonPath& path, std::string& value) = 0;
  virtual void Unsigned(const JsonPath& path, std::uint64_t value) = 0;
  /// null, true, false, and numbers with a sign, a fraction, an exponent or over 64 bits.
  virtual void Other(const JsonPath& path, std::string_view text) = 0;
};

/// Reads untrusted JSON without recursion and without building a tree.
/// @throws Error  kBadFile for malformed text (with the byte), a key that stands twice in one
/// object,
///                or more than 32 levels; whatever `events` throws passes through.
void ParseJson(std::string_view text, JsonEvents& events);

}  // namespace espalier::internal
