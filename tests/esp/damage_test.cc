#include "esp/layout.h"
#include "esp/read.h"
#include "esp/wire.h"
#include "tests/esp/esp_case.h"

namespace espalier {
namespace {

using internal::Header;
using internal::SectionEntry;

// A file with each encoding, small.
Graph SmallGraph() {
  Graph graph = RichGraph();
  const auto add = [&graph](const std::string& name, Dims dims, const std::vector<float>& values) {
    graph.constants.push_back({name, 0, TensorOf(DType::kFloat32, std::move(dims), values)});
  };
  add("raw", {8, 9}, SparseFloats(72, 0));
  add("fill", {10, 10}, std::vector<float>(100, 0.5f));
  add("bitmap", {10, 13}, SparseFloats(130, 0.4));
  add("gaps", {500}, SparseFloats(500, 0.95));
  std::vector<float> single = SparseFloats(96, 0);
  for (std::size_t i = 0; i < 96; ++i) {
    if (i % 4 != i / 4 % 3) single[i] = 0;
  }
  add("choice", {96}, single);
  return graph;
}

TEST(EspDamage, TheSmallFileHasEachEncoding) {
  EspReport report;
  WriteEspToBytes(SmallGraph(), {}, &report);
  std::string encodings;
  for (const EspConstantReport& constant : report.constants) encodings += constant.encoding + "; ";
  for (const char* encoding : {"none", "inline", "raw", "fill", "bitmap", "gaps", "1 of 4"}) {
    EXPECT_NE(encodings.find(encoding), std::string::npos) << encodings;
  }
}

TEST(EspDamage, EachChangedBitIsAnError) {
  std::vector<std::byte> bytes = ToBytes(SmallGraph());
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    const auto mask = static_cast<std::byte>(1u << bit % 8);
    bytes[bit / 8] ^= mask;
    EXPECT_THROW(ReadEspFromBytes(bytes), Error) << "byte " << bit / 8 << ", bit " << bit % 8;
    bytes[bit / 8] ^= mask;
  }
  EXPECT_NO_THROW(ReadEspFromBytes(bytes));
}

TEST(EspDamage, EachLengthButTheRightOneIsAnError) {
  std::vector<std::byte> bytes = ToBytes(SmallGraph());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    ExpectError(ErrorCode::kBadFile, "header, byte",
                [&] { ReadEspFromBytes(std::span(bytes).first(length)); });
  }
  bytes.resize(bytes.size() + 64);
  ExpectError(ErrorCode::kBadFile, "its header says", [&] { ReadEspFromBytes(bytes); });
}

// Without checksums the same flips reach the parsers and the expansion: an Error or a graph, and
// with a sanitizer no access out of bounds.
TEST(EspDamage, ChangedBytesBehindTheChecksumsCauseNoHarm) {
  std::vector<std::byte> bytes = ToBytes(SmallGraph());
  int read = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::byte original = bytes[i];
    for (const unsigned value : {0x00u, 0x01u, 0x7Fu, 0x80u, 0xFFu}) {
      bytes[i] = static_cast<std::byte>(value);
      try {
        internal::ParseEsp(internal::SourceOf(bytes), 1, internal::Checks::kNoChecksums);
        ++read;
      } catch (const Error& error) {
        const bool expected =
            error.code() == ErrorCode::kBadFile || error.code() == ErrorCode::kUnsupported;
        EXPECT_TRUE(expected) << error.what();
      }
    }
    bytes[i] = original;
  }
  EXPECT_GT(read, 0);
}

class EspHeader : public testing::Test {
 protected:
  EspHeader() : bytes_(ToBytes(SmallGraph())) {
    std::memcpy(&header_, bytes_.data(), sizeof header_);
    table_.resize(header_.sections);
    std::memcpy(table_.data(), bytes_.data() + sizeof header_, 32 * table_.size());
  }

  // The file with `header_` and `table_` and a right checksum.
  std::vector<std::byte> Sealed() const {
    std::vector<std::byte> block =
        internal::HeaderBlock(header_.file_bytes, header_.dense_bytes, table_);
    std::vector<std::byte> bytes = bytes_;
    std::copy(block.begin(), block.end(), bytes.begin());
    return bytes;
  }
  void ExpectBad(std::string_view text) const {
    ExpectError(ErrorCode::kBadFile, text, [this] { ReadEspFromBytes(Sealed()); });
  }

  std::vector<std::byte> bytes_;
  Header header_;
  std::vector<SectionEntry> table_;
};

TEST_F(EspHeader, ALaterVersionIsUnsupported) {
  bytes_[8] = std::byte{2};
  ExpectError(ErrorCode::kUnsupported, "format version 2.0", [this] { ReadEspFromBytes(bytes_); });
}

TEST_F(EspHeader, ALaterSectionIsSkippedUnlessRequired) {
  // Room for a table of five entries: the same 192 + 64 bytes, sections move back by 64.
  const std::uint64_t old_head = internal::HeaderBlockBytes(4);
  const std::uint64_t new_head = internal::HeaderBlockBytes(5);
  std::vector<SectionEntry> table = table_;
  for (SectionEntry& section : table) section.offset += new_head - old_head;
  const std::uint64_t file_bytes = bytes_.size() + new_head - old_head + 64;
  table.push_back({internal::SectionKind("NEW!"), 0, file_bytes - 64, 5, 0});
  const auto build = [&] {
    std::vector<std::byte> bytes = internal::HeaderBlock(file_bytes, header_.dense_bytes, table);
    bytes.insert(bytes.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(old_head), bytes_.end());
    bytes.resize(file_bytes);
    return bytes;
  };
  EXPECT_EQ(GraphDifference(SmallGraph(), ReadEspFromBytes(build()).graph), "");
  table.back().required = 1;
  ExpectError(ErrorCode::kUnsupported, "section NEW!", [&] { ReadEspFromBytes(build()); });
}

TEST_F(EspHeader, RefusesMoreMemoryThanTheFileIsWorth) {
  header_.dense_bytes = std::uint64_t{1} << 40;
  ExpectBad("1099511627776 bytes of constants in a file of");
}

TEST_F(EspHeader, RefusesSectionsOutOfPlace) {
  table_[1].offset += 64;
  ExpectBad("section GRPH begins at byte");
}

TEST_F(EspHeader, RefusesSectionsThatDoNotFit) {
  table_[3].bytes = ~std::uint64_t{0} - 10;
  ExpectBad("section DATA has 18446744073709551605 bytes");
}

TEST_F(EspHeader, RefusesMissingAndDoubleSections) {
  table_[1].kind = internal::kMetaSection;
  ExpectBad("2 sections META instead of 1");
}

TEST_F(EspHeader, RefusesConstantsThatDoNotFillTheirSection) {
  header_.dense_bytes += 4;
  ExpectBad("are declared");
  header_.dense_bytes -= 8;
  ExpectBad("the header allows for");
}

TEST(EspHostile, ATinyFileCannotDeclareATerabyte) {
  Graph graph = GraphOf({});
  const std::uint64_t most = internal::MostDenseBytes(4096);
  EXPECT_LT(most, std::uint64_t{1} << 27);
  // 64 MiB and a bit of zeros: a file of under 1 KB, expanded without touching most of the pages.
  graph.constants.push_back(
      {"z", 0, Tensor(DType::kUint8, {1 << 26}, std::vector<std::byte>(1 << 26))});
  const std::vector<std::byte> bytes = ToBytes(graph);
  EXPECT_LT(bytes.size(), 1024u);
  EXPECT_EQ(GraphDifference(graph, ReadEspFromBytes(bytes).graph), "");
  graph.constants.push_back(
      {"y", 0, Tensor(DType::kUint8, {1 << 26}, std::vector<std::byte>(1 << 26))});
  ExpectError(ErrorCode::kInvalidArgument, "readers refuse", [&] { ToBytes(graph); });
}

TEST(EspWire, IntegersComeBack) {
  internal::ByteWriter out;
  const std::vector<std::uint64_t> values = {0, 1, 127, 128, 16383, 16384, 1ull << 63, ~0ull};
  for (const std::uint64_t value : values) {
    out.Unsigned(value);
    out.Signed(static_cast<std::int64_t>(value));
  }
  internal::ByteReader in(out.bytes(), "TEST", 0);
  for (const std::uint64_t value : values) {
    EXPECT_EQ(in.Unsigned(), value);
    EXPECT_EQ(in.Signed(), static_cast<std::int64_t>(value));
  }
  EXPECT_NO_THROW(in.ExpectEnd());
}

TEST(EspWire, FailuresSayWhere) {
  const std::vector<std::byte> ones(11, std::byte{0xFF});
  ExpectError(ErrorCode::kBadFile, "section TEST, byte 1010: an integer of more than 64 bits",
              [&] { internal::ByteReader(ones, "TEST", 1000).Unsigned(); });
  ExpectError(ErrorCode::kBadFile, "needs 1 bytes, 0 are left",
              [&] { internal::ByteReader(std::span(ones).first(3), "TEST", 0).Unsigned(); });
  const std::vector<std::byte> long_text = {std::byte{9}, std::byte{'a'}};
  ExpectError(ErrorCode::kBadFile, "9 characters do not fit into the 1 bytes",
              [&] { internal::ByteReader(long_text, "TEST", 0).Text(); });
  ExpectError(ErrorCode::kBadFile, "2 bytes are left over",
              [&] { internal::ByteReader(long_text, "TEST", 0).ExpectEnd(); });
}

}  // namespace
}  // namespace espalier
