#include "data/unpack.h"

#include <fmt/format.h>
#include <lzma.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "espalier/base/error.h"

namespace espalier::internal {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 18;  // 256 KiB: at most a few in memory
constexpr std::uint64_t kMostXzMemory = std::uint64_t{128} << 20;

// The packed bytes, a chunk at a time.
class Chunks {
 public:
  explicit Chunks(const ByteSource& source) : source_(source), bytes_(kChunk) {}
  bool AtEnd() const { return offset_ == source_.size(); }
  std::span<const std::byte> Next() {
    const std::uint64_t count = std::min<std::uint64_t>(kChunk, source_.size() - offset_);
    const auto chunk = std::span(bytes_).first(count);
    source_.ReadAt(offset_, chunk);
    offset_ += count;
    return chunk;
  }
  std::uint64_t offset() const { return offset_; }

 private:
  const ByteSource& source_;
  std::vector<std::byte> bytes_;
  std::uint64_t offset_ = 0;
};

[[noreturn]] void ThrowCorrupt(std::string_view format, std::uint64_t at, std::string_view reason) {
  throw Error(ErrorCode::kBadFile,
              fmt::format("the {} data are corrupt near packed byte {}: {}", format, at, reason));
}

[[noreturn]] void ThrowTruncated(std::string_view format, std::uint64_t size) {
  throw Error(ErrorCode::kBadFile,
              fmt::format("the {} data end after {} bytes, in the middle; they are truncated",
                          format, size));
}

class Inflater {
 public:
  explicit Inflater(Wrapping wrapping) {
    constexpr int kGzipBits = 16;  // zlib: added to the window's bits
    const int bits = wrapping == Wrapping::kRaw ? -MAX_WBITS : kGzipBits + MAX_WBITS;
    ESPALIER_CHECK(inflateInit2(&stream_, bits) == Z_OK);
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

class XzDecoder {
 public:
  XzDecoder() {
    ESPALIER_CHECK(lzma_stream_decoder(&stream_, kMostXzMemory, LZMA_CONCATENATED) == LZMA_OK);
  }
  ~XzDecoder() { lzma_end(&stream_); }
  XzDecoder(const XzDecoder&) = delete;
  XzDecoder& operator=(const XzDecoder&) = delete;
  lzma_stream& stream() { return stream_; }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

void CheckXz(lzma_ret result, const Chunks& chunks) {
  if (result == LZMA_OK || result == LZMA_STREAM_END || result == LZMA_BUF_ERROR) return;
  if (result == LZMA_MEMLIMIT_ERROR) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("the xz data need more than {} MiB of memory to unpack; pack them "
                            "with xz -9 or less",
                            kMostXzMemory >> 20));
  }
  if (result == LZMA_OPTIONS_ERROR) {
    throw Error(ErrorCode::kUnsupported, "the xz data use a filter that this liblzma lacks");
  }
  ThrowCorrupt("xz", chunks.offset(), fmt::format("liblzma's code {}", static_cast<int>(result)));
}

}  // namespace

SharedBytes Inflate(const ByteSource& packed, Wrapping wrapping, std::uint64_t most) {
  const std::string_view format = wrapping == Wrapping::kRaw ? "deflate" : "gzip";
  Inflater inflater(wrapping);
  z_stream& stream = inflater.stream();
  Chunks chunks(packed);
  Spool spool(most);
  std::vector<std::byte> out(kChunk);
  for (bool ended = false; !ended;) {
    if (stream.avail_in == 0 && !chunks.AtEnd()) {
      const auto chunk = chunks.Next();
      // zlib's API is not const, but does not write.
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(chunk.data()));
      stream.avail_in = static_cast<uInt>(chunk.size());
    }
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    spool.Write(std::span(out).first(out.size() - stream.avail_out));
    if (result == Z_STREAM_END) {
      ended = stream.avail_in == 0 && chunks.AtEnd();
      if (!ended && wrapping == Wrapping::kRaw) {
        ThrowCorrupt(format, chunks.offset() - stream.avail_in, "bytes follow the end");
      }
      // Another member of a gzip file follows.
      if (!ended) ESPALIER_CHECK(inflateReset(&stream) == Z_OK);
    } else if (result == Z_BUF_ERROR && stream.avail_in == 0 && chunks.AtEnd()) {
      // No progress although all is given: zlib waits for bytes that do not come.
      ThrowTruncated(format, packed.size());
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      ThrowCorrupt(format, chunks.offset() - stream.avail_in,
                   stream.msg != nullptr ? stream.msg : "no reason given");
    }
  }
  return spool.Finish();
}

SharedBytes UnpackXz(const ByteSource& packed, std::uint64_t most) {
  XzDecoder decoder;
  lzma_stream& stream = decoder.stream();
  Chunks chunks(packed);
  Spool spool(most);
  std::vector<std::byte> out(kChunk);
  for (lzma_ret result = LZMA_OK; result != LZMA_STREAM_END;) {
    if (stream.avail_in == 0 && !chunks.AtEnd()) {
      const auto chunk = chunks.Next();
      stream.next_in = reinterpret_cast<const std::uint8_t*>(chunk.data());
      stream.avail_in = chunk.size();
    }
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream.avail_out = out.size();
    const bool finish = chunks.AtEnd();
    result = lzma_code(&stream, finish ? LZMA_FINISH : LZMA_RUN);
    CheckXz(result, chunks);
    // No progress although all is given: liblzma waits for bytes that do not come.
    if (result == LZMA_BUF_ERROR && finish) ThrowTruncated("xz", packed.size());
    spool.Write(std::span(out).first(out.size() - stream.avail_out));
  }
  return spool.Finish();
}

SharedBytes Unpacked(SharedBytes source, std::uint64_t most) {
  const std::vector<std::byte> head = ReadHead(*source, 6);
  const std::string_view magic(reinterpret_cast<const char*>(head.data()), head.size());
  if (magic.starts_with("\x1f\x8b")) return Inflate(*source, Wrapping::kGzip, most);
  if (magic.starts_with(std::string_view("\xfd"
                                         "7zXZ\0",
                                         6))) {
    return UnpackXz(*source, most);
  }
  return source;
}

}  // namespace espalier::internal
