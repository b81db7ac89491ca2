#include "tests/data/make_files.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <zlib.h>

#include <cstring>

namespace espalier {
namespace {

std::string Deflate(std::string_view text, int window_bits) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void Put(std::string& block, std::size_t at, std::string_view text) {
  std::memcpy(block.data() + at, text.data(), text.size());
}

}  // namespace

std::string Gzip(std::string_view text) { return Deflate(text, 15 + 16); }
std::string RawDeflate(std::string_view text) { return Deflate(text, -15); }

std::string Xz(std::string_view text) {
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  std::size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr,
                                    reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                                    reinterpret_cast<std::uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

std::string TarEntryText(const TarSpec& spec, std::string_view data) {
  std::string block(512, '\0');
  Put(block, 0, spec.name);
  Put(block, 100, "0000644");
  Put(block, 124, spec.size.empty() ? fmt::format("{:011o}", data.size()) : spec.size);
  Put(block, 148, "        ");
  block[156] = spec.type;
  Put(block, 157, spec.link);
  Put(block, 257, spec.magic);
  Put(block, 345, spec.prefix);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  Put(block, 148, fmt::format("{:06o}", sum));
  block[154] = '\0';
  block.append(data);
  block.resize((block.size() + 511) / 512 * 512);
  return block;
}

std::string TarFile(const std::string& name, std::string_view data) {
  TarSpec spec;
  spec.name = name;
  return TarEntryText(spec, data);
}

std::string TarEnd() { return std::string(1024, '\0'); }

std::string PaxRecord(const std::string& key, const std::string& value) {
  const std::string rest = fmt::format(" {}={}\n", key, value);
  std::size_t length = rest.size() + 1;
  while (fmt::format("{}", length).size() + rest.size() != length) ++length;
  return fmt::format("{}{}", length, rest);
}

std::string MakeZip(const std::vector<ZipSpec>& files, bool zip64_end) {
  std::string text, directory;
  for (const ZipSpec& file : files) {
    const std::string packed = file.deflated ? RawDeflate(file.data) : file.data;
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(file.data.data()),
                           static_cast<uInt>(file.data.size()));
    const std::uint64_t at = text.size();
    const auto size32 = [&](std::uint64_t size) { return file.zip64 ? 0xFFFFFFFF : size; };
    const std::string common = Little(0, 2) + Little(file.deflated ? 8 : 0, 2) + Little(0, 4) +
                               Little(crc, 4) + Little(size32(packed.size()), 4) +
                               Little(size32(file.data.size()), 4) + Little(file.name.size(), 2);
    text += "PK\3\4" + Little(20, 2) + common + Little(0, 2) + file.name + packed;
    const std::string extra = !file.zip64 ? ""
                                          : Little(9, 2) + Little(1, 2) + "?" + Little(1, 2) +
                                                Little(24, 2) + Little(file.data.size(), 8) +
                                                Little(packed.size(), 8) + Little(at, 8);
    directory += "PK\1\2" + Little(20, 2) + Little(20, 2) + common + Little(extra.size(), 2) +
                 Little(0, 2) + Little(0, 2) + Little(0, 2) + Little(0, 4) + Little(size32(at), 4) +
                 file.name + extra;
  }
  const std::uint64_t at = text.size();
  text += directory;
  if (zip64_end) {
    const std::uint64_t end64 = text.size();
    text += "PK\6\6" + Little(44, 8) + Little(45, 2) + Little(45, 2) + Little(0, 8) +
            Little(files.size(), 8) + Little(files.size(), 8) + Little(directory.size(), 8) +
            Little(at, 8);
    text += "PK\6\7" + Little(0, 4) + Little(end64, 8) + Little(1, 4);
  }
  const auto in32 = [&](std::uint64_t value) { return zip64_end ? 0xFFFFFFFF : value; };
  text += "PK\5\6" + Little(0, 4) + Little(files.size(), 2) + Little(files.size(), 2) +
          Little(in32(directory.size()), 4) + Little(in32(at), 4) + Little(3, 2) + "end";
  return text;
}

std::string MakeNpy(const std::string& descr, const std::string& shape, const std::string& data,
                    bool fortran) {
  const std::string header = fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n",
                                         descr, fortran ? "True" : "False", shape);
  return std::string("\x93NUMPY\1\0", 8) + Little(header.size(), 2) + header + data;
}

std::string MakeIdx(const std::vector<std::uint32_t>& shape, const std::string& data,
                    unsigned type) {
  std::string text = Big(type << 8 | shape.size(), 4);
  for (const std::uint32_t size : shape) text += Big(size, 4);
  return text + data;
}

std::string Little(std::uint64_t value, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += static_cast<char>(value >> (8 * i));
  return text;
}

std::string Big(std::uint64_t value, int count) {
  const std::string text = Little(value, count);
  return {text.rbegin(), text.rend()};
}

internal::SharedBytes Source(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return internal::MakeBytes({bytes.begin(), bytes.end()});
}

std::string TextOf(const internal::ByteSource& source) {
  std::string text(source.size(), '\0');
  source.ReadAt(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace espalier
