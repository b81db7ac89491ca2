#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "espalier/graph/graph.h"
#include "espalier/io/atomic_file.h"

namespace espalier {

/// How a runtime ran one layer best on one kind of machine; stored so that loading needs no tuning.
/// Free text to the file format.
struct KernelHint {
  std::string node;    ///< Name of the layer or node.
  std::string isa;     ///< The machine it was measured on, such as "AVX2".
  std::string kernel;  ///< The choice.
  bool operator==(const KernelHint&) const = default;
};

/// Type in which a compressed file keeps float32 weights. Reading gives float32 again.
enum class EspValues { kFloat32, kFloat16, kBFloat16 };

struct EspOptions {
  /// kFloat32 keeps every bit. Else float32 weights that layers read (FindLayers()), of two or more
  /// dimensions, are rounded to nearest even; biases, scales, tables and integers stay exact.
  EspValues values = EspValues::kFloat32;
  std::int64_t min_elements = 1024;  ///< Smaller weights stay exact, too.
  Overwrite overwrite = Overwrite::kNo;
  int threads = 1;  ///< The bytes do not depend on it.
  std::map<std::string, std::string> metadata;
  std::vector<KernelHint> hints;
};

/// What became of one constant.
struct EspConstantReport {
  std::string name;
  int scope = 0;         ///< Index in Graph::scopes.
  std::string encoding;  ///< "raw", "fill", "bitmap float16", "2 of 4", "gaps of 3 bits", ...
  std::uint64_t bytes_before = 0;  ///< Bytes of the tensor.
  std::uint64_t bytes_after = 0;   ///< Bytes of its values and positions in the file.
  double max_error = 0;            ///< Largest |stored - original|.
  std::string note;  ///< Why it was not rounded although it is a weight; mostly empty.
};

struct EspReport {
  std::vector<EspConstantReport> constants;  ///< In the graph's order.
  std::uint64_t file_bytes = 0;
};

struct EspFile {
  Graph graph;  ///< Equal to what was written, except Constant::modified, which is false.
  std::map<std::string, std::string> metadata;
  std::vector<KernelHint> hints;
};

/// Writes a graph with its constants compressed, whole or not at all. Bytes: docs/esp-format.md.
///
/// Each constant takes the smallest (within 0.2 %, the quicker to read) of: its bytes; one repeated
/// value; the values that differ from the most frequent one with their positions as a bit an
/// element, as N-of-M choices or as gaps.
/// @throws Error  as AtomicFile; kInvalidArgument if the graph is not one that ReadEsp() accepts
///                (an index out of range, a name defined twice), or compresses so well that
///                ReadEsp() would take the file for a hostile one.
/// @cost   Memory: the compressed constants. 10 to 30 ns an element on one thread.
EspReport WriteEsp(const Graph& graph, const std::filesystem::path& path,
                   const EspOptions& options = {});

/// The same bytes in memory, for tests and fuzzers.
/// @param report  May be null.
/// @throws Error  kInvalidArgument as WriteEsp().
std::vector<std::byte> WriteEspToBytes(const Graph& graph, const EspOptions& options,
                                       EspReport* report);

/// Reads a file that WriteEsp() wrote and checks all of it: checksums, sizes and the graph's
/// indices and names. Tensors of more than 256 bytes are aligned to 64 and share blocks of up to
/// 16 MiB; a block lives as long as the last tensor in it.
/// @param threads  Constants are expanded on that many.
/// @throws Error  kBadFile with section and byte: not such a file, truncated, damaged, or constants
///                that take more than 64 MiB and 2048 times the file's size;
///                kUnsupported if a later version of Espalier wrote it.
/// @cost   Memory: the dense constants and, a thread, the largest compressed one. About 0.4 ns a
///         dense byte with a warm page cache (docs/esp-format.md).
EspFile ReadEsp(const std::filesystem::path& path, int threads = 1);

/// Same as ReadEsp from memory, for tests and fuzzers. `bytes` need not outlive the call.
/// @throws Error  as ReadEsp.
EspFile ReadEspFromBytes(std::span<const std::byte> bytes, int threads = 1);

/// Whether bytes, or a file's first bytes, are those of a compressed model of any version. False
/// also for a path that cannot be read.
bool LooksLikeEsp(std::span<const std::byte> bytes) noexcept;
bool LooksLikeEsp(const std::filesystem::path& path);

}  // namespace espalier
