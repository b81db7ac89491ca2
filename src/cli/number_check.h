#pragma once

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <cstdint>
#include <string>

namespace espalier::cli {

/// A check that the whole text is a number that T can hold.
template <class T>
CLI::Validator IsNumber(const char* what) {
  const auto check = [what](const std::string& text) {
    T value{};
    const char* end = text.data() + text.size();
    const auto [stop, status] = std::from_chars(text.data(), end, value);
    const bool good = status == std::errc() && stop == end && value - value == T{};
    return good ? std::string() : fmt::format("'{}' is not {}", text, what);
  };
  return CLI::Validator(check, "");
}

inline CLI::Validator FiniteNumber() { return IsNumber<double>("a finite number"); }
inline CLI::Validator CountNumber() {
  return IsNumber<std::uint64_t>("a whole number from 0 to 2^64 - 1");
}

}  // namespace espalier::cli
