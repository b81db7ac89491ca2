#include "esp/read.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "esp/checksum.h"
#include "esp/constant_section.h"
#include "esp/decode.h"
#include "esp/graph_check.h"
#include "esp/graph_section.h"
#include "esp/memory.h"
#include "espalier/base/error.h"
#include "espalier/base/parallel.h"
#include "espalier/io/file.h"
#include "io/text.h"

namespace espalier {
namespace internal {
namespace {

bool StoredAsItIs(const Packing& packing) {
  return packing.encoding == Encoding::kRaw && packing.values == ValueType::kExact;
}

class Parser {
 public:
  Parser(const ByteSource& source, Checks checks) : source_(source), checks_(checks) {}

  EspFile Parse(int threads) {
    ReadTable();
    EspFile file;
    ReadMeta(&file);
    {
      const std::vector<std::byte> bytes = ReadSection(kGraphSection);
      ByteReader in = ReaderOf(kGraphSection, bytes);
      ReadGraphSection(&in, &file.graph);
    }
    ReadConstants(threads, &file.graph);
    const std::string problem = GraphProblem(file.graph);
    if (!problem.empty()) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("section GRPH, byte {}: {}", Entry(kGraphSection).offset, problem));
    }
    return file;
  }

 private:
  void ReadTable() {
    std::vector<std::byte> block(std::min<std::uint64_t>(source_.size, kHeaderBytes));
    source_.read(0, block);
    header_ = ParseHeader(block, source_.size);
    block.resize(HeaderBlockBytes(header_.sections));
    source_.read(0, block);
    sections_ = ParseTable(header_, block, checks_);
  }

  const SectionEntry& Entry(std::uint32_t kind) const {
    return *std::ranges::find(sections_, kind, &SectionEntry::kind);
  }

  std::vector<std::byte> ReadSection(std::uint32_t kind) const {
    const SectionEntry& entry = Entry(kind);
    std::vector<std::byte> bytes(Aligned(entry.bytes));
    source_.read(entry.offset, bytes);
    if (checks_ == Checks::kAll && Checksum(bytes) != entry.checksum) {
      throw Error(ErrorCode::kBadFile,
                  fmt::format("section {}, byte {}: the checksum is wrong: the file is damaged",
                              SectionName(kind), entry.offset));
    }
    bytes.resize(entry.bytes);
    return bytes;
  }

  ByteReader ReaderOf(std::uint32_t kind, std::span<const std::byte> bytes) const {
    return ByteReader(bytes, SectionName(kind), Entry(kind).offset);
  }

  void ReadMeta(EspFile* file) const {
    const std::vector<std::byte> bytes = ReadSection(kMetaSection);
    ByteReader in = ReaderOf(kMetaSection, bytes);
    for (std::size_t left = in.Count(2, "metadata"); left > 0; --left) {
      std::string key = in.Text();
      file->metadata.insert_or_assign(std::move(key), in.Text());
    }
    file->hints.resize(in.Count(3, "hints"));
    for (KernelHint& hint : file->hints) {
      hint.node = in.Text();
      hint.isa = in.Text();
      hint.kernel = in.Text();
    }
    in.ExpectEnd();
  }

  void ReadConstants(int threads, Graph* graph) const {
    const std::vector<std::byte> bytes = ReadSection(kConstantsSection);
    ByteReader in = ReaderOf(kConstantsSection, bytes);
    std::vector<ConstantEntry> entries =
        ReadConstantSection(&in, header_.dense_bytes, Aligned(Entry(kDataSection).bytes));
    std::vector<std::uint64_t> sizes;
    std::uint64_t work_bytes = 0;
    for (const ConstantEntry& entry : entries) {
      const bool own = entry.packing.encoding > Encoding::kInline;
      sizes.push_back(own ? entry.dense_bytes : 0);
      if (!StoredAsItIs(entry.packing)) {
        work_bytes = std::max(work_bytes, WorkBytes(entry.packing, entry.payload_bytes));
      }
    }
    const std::vector<Memory> memory = ZeroedPieces(sizes);
    graph->constants.resize(entries.size());
    std::atomic<std::size_t> next{0};
    ParallelFor(threads, static_cast<std::size_t>(std::max(threads, 1)), [&](std::size_t) {
      const Memory work = ZeroedPieces({&work_bytes, 1}).front();
      for (std::size_t i = next++; i < entries.size(); i = next++) {
        Tensor tensor = ReadTensor(&entries[i], memory[i], work.bytes);
        graph->constants[i] = {std::move(entries[i].name), entries[i].scope, std::move(tensor)};
      }
    });
  }

  // `work` is for one constant after the other: fresh memory costs more than reading.
  Tensor ReadTensor(ConstantEntry* entry, const Memory& memory, std::span<std::byte> work) const {
    const DType dtype = entry->type.dtype;
    Dims dims = std::move(entry->type.dims);
    const Packing& packing = entry->packing;
    if (packing.encoding == Encoding::kNone) return Tensor::WithoutBytes(dtype, std::move(dims));
    if (packing.encoding == Encoding::kInline) {
      return Tensor(dtype, std::move(dims), std::move(entry->inline_bytes));
    }
    const std::span<std::byte> out = memory.bytes.first(entry->dense_bytes);
    if (packing.encoding == Encoding::kFill) {
      Expand(packing, dtype, {}, out);
    } else if (StoredAsItIs(packing)) {
      ReadPayload(*entry, memory.bytes);
    } else {
      ReadPayload(*entry, work.first(Aligned(entry->payload_bytes)));
      const std::span<std::byte> room = work.first(WorkBytes(packing, entry->payload_bytes));
      const char* problem = Expand(packing, dtype, room, out);
      if (problem != nullptr) FailConstant(*entry, problem);
    }
    return Tensor(dtype, std::move(dims), out, memory.owner);
  }

  void ReadPayload(const ConstantEntry& entry, std::span<std::byte> out) const {
    source_.read(Entry(kDataSection).offset + entry.offset, out);
    if (checks_ == Checks::kAll && Checksum(out) != entry.packing.checksum) {
      FailConstant(entry, "the checksum is wrong: the file is damaged");
    }
  }

  [[noreturn]] void FailConstant(const ConstantEntry& entry, const char* problem) const {
    throw Error(ErrorCode::kBadFile,
                fmt::format("section DATA, byte {}, constant {}: {}",
                            Entry(kDataSection).offset + entry.offset, Quote(entry.name), problem));
  }

  const ByteSource& source_;
  Checks checks_;
  Header header_;
  std::vector<SectionEntry> sections_;
};

}  // namespace

EspFile ParseEsp(const ByteSource& source, int threads, Checks checks) {
  return Parser(source, checks).Parse(threads);
}

ByteSource SourceOf(std::span<const std::byte> bytes) {
  return {bytes.size(), [bytes](std::uint64_t offset, std::span<std::byte> out) {
            std::ranges::copy(bytes.subspan(offset, out.size()), out.begin());
          }};
}

}  // namespace internal

EspFile ReadEsp(const std::filesystem::path& path, int threads) {
  const InputFile file(path);
  try {
    const internal::ByteSource source{
        file.size(),
        [&file](std::uint64_t offset, std::span<std::byte> out) { file.ReadAt(offset, out); }};
    return internal::ParseEsp(source, threads, internal::Checks::kAll);
  } catch (Error& error) {
    error.AddContext(fmt::format("reading compressed model {}", internal::Quote(path.native())));
    throw;
  }
}

EspFile ReadEspFromBytes(std::span<const std::byte> bytes, int threads) {
  return internal::ParseEsp(internal::SourceOf(bytes), threads, internal::Checks::kAll);
}

bool LooksLikeEsp(std::span<const std::byte> bytes) noexcept {
  return bytes.size() >= internal::kMagic.size() &&
         std::ranges::equal(bytes.first(internal::kMagic.size()),
                            std::as_bytes(std::span(internal::kMagic)));
}

bool LooksLikeEsp(const std::filesystem::path& path) {
  try {
    const InputFile file(path);
    std::vector<std::byte> begin(std::min<std::uint64_t>(file.size(), internal::kMagic.size()));
    file.ReadAt(0, begin);
    return LooksLikeEsp(begin);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace espalier
