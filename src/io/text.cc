#include "io/text.h"

#include <fmt/format.h>

#include <cstddef>
#include <system_error>

namespace espalier::internal {
namespace {

constexpr std::size_t kMostQuotedBytes = 200;

unsigned char ByteAt(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

// Bytes of the printable UTF-8 character at `i`; 0 for a control character (C0, DEL, C1) or a byte
// that starts no well-formed sequence. Overlong forms and surrogates pass: they only get printed.
std::size_t PrintableLength(std::string_view text, std::size_t i) {
  const unsigned char lead = ByteAt(text, i);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7F ? 1 : 0;
  const std::size_t length = lead >= 0xC2 && lead < 0xE0   ? 2
                             : lead >= 0xE0 && lead < 0xF0 ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 0;
  if (length == 0 || i + length > text.size()) return 0;
  for (std::size_t j = 1; j < length; ++j) {
    if ((ByteAt(text, i + j) & 0xC0) != 0x80) return 0;
  }
  if (lead == 0xC2 && ByteAt(text, i + 1) < 0xA0) return 0;
  return length;
}

}  // namespace

std::string Quote(std::string_view text) {
  std::string quoted = "'";
  std::size_t i = 0;
  while (i < text.size() && i < kMostQuotedBytes) {
    if (const std::size_t length = PrintableLength(text, i); length != 0) {
      quoted += text.substr(i, length);
      i += length;
    } else {
      quoted += fmt::format("\\x{:02x}", ByteAt(text, i++));
    }
  }
  quoted += i < text.size() ? "...'" : "'";
  return quoted;
}

std::string SystemReason(int error) { return std::generic_category().message(error); }

}  // namespace espalier::internal
