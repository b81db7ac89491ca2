#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/byte_source.h"

namespace espalier {

/// Compressed bytes, as gzip, xz and zip have them.
std::string Gzip(std::string_view text);
std::string Xz(std::string_view text);
std::string RawDeflate(std::string_view text);

/// Fields of a tar header that tests change.
struct TarSpec {
  std::string name;
  char type = '0';
  std::string link;
  std::string prefix;
  std::string magic = std::string(
      "ustar\0"
      "00",
      8);
  std::string size;  ///< The field as it stands; empty: octal digits of the data's size.
};

/// Header with its checksum, data, and zeros to the next 512 bytes.
std::string TarEntryText(const TarSpec& spec, std::string_view data);
std::string TarFile(const std::string& name, std::string_view data);
std::string TarEnd();

/// "LENGTH key=value\n".
std::string PaxRecord(const std::string& key, const std::string& value);

/// What a test's zip file has.
struct ZipSpec {
  std::string name;
  std::string data;
  bool deflated = false;
  bool zip64 = false;  ///< Sizes and offset in the zip64 extra field.
};
std::string MakeZip(const std::vector<ZipSpec>& files, bool zip64_end = false);

/// A .npy of version 1.0; `descr` as "<f4", `shape` as "(2, 3)".
std::string MakeNpy(const std::string& descr, const std::string& shape, const std::string& data,
                    bool fortran = false);

/// IDX: magic 0x0000TTNN, big-endian sizes, data.
std::string MakeIdx(const std::vector<std::uint32_t>& shape, const std::string& data,
                    unsigned type = 8);

/// Little- and big-endian numbers of `count` bytes.
std::string Little(std::uint64_t value, int count);
std::string Big(std::uint64_t value, int count);

/// A text as a source, and back.
internal::SharedBytes Source(std::string_view text);
std::string TextOf(const internal::ByteSource& source);

}  // namespace espalier
