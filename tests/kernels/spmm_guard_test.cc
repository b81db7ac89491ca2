// Spmm() touches nothing outside of what it is given. A program of its own: its operator new can
// put the arrays of packed weights before or behind a page that cannot be touched.
#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <optional>

#include "gtest/gtest.h"
#include "tests/kernels/each_isa.h"
#include "tests/kernels/guarded_bytes.h"
#include "tests/kernels/spmm_case.h"

namespace espalier {
namespace {

std::optional<GuardSide> guard_new;  // set: operator new gives guarded memory
bool own_memory = false;             // the map below allocates

std::map<void*, std::unique_ptr<GuardedBytes>>& Guarded() {
  static auto* const guarded = new std::map<void*, std::unique_ptr<GuardedBytes>>();
  return *guarded;
}

void* Allocate(std::size_t bytes) {
  if (guard_new && !own_memory) {
    own_memory = true;
    auto memory = std::make_unique<GuardedBytes>(bytes, *guard_new);
    void* const data = memory->data();
    Guarded()[data] = std::move(memory);
    own_memory = false;
    return data;
  }
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void Free(void* memory) {
  if (!own_memory && Guarded().contains(memory)) {
    own_memory = true;
    Guarded().erase(memory);
    own_memory = false;
  } else {
    std::free(memory);
  }
}

}  // namespace
}  // namespace espalier

void* operator new(std::size_t bytes) { return espalier::Allocate(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return espalier::Allocate(bytes);
}
void operator delete(void* memory) noexcept { espalier::Free(memory); }
void operator delete(void* memory, std::size_t) noexcept { espalier::Free(memory); }

namespace espalier {
namespace {

char running[512];  // the case that a fault is to be blamed on

void ReportFault(int /*signal*/) {
  constexpr char kFault[] = "touched a guard page: ";
  if (write(STDERR_FILENO, kFault, sizeof(kFault) - 1) < 0 ||
      write(STDERR_FILENO, running, std::strlen(running)) < 0) {
    _exit(3);
  }
  _exit(2);
}

// Copies keep no spare room: every array ends where its last element does.
PackedMatrix GuardedCopy(const PackedMatrix& packed, GuardSide side) {
  guard_new = side;
  PackedMatrix copy = packed;
  guard_new.reset();
  return copy;
}

// Floats [begin, end) of `values`, guarded; data() is where the first of `values` would be, so that
// offsets stay what they are.
class GuardedPart {
 public:
  GuardedPart(const std::vector<float>& values, std::size_t begin, std::size_t end, GuardSide side)
      : bytes_((end - begin) * sizeof(float), side), begin_(begin) {
    std::copy(values.begin() + static_cast<std::ptrdiff_t>(begin),
              values.begin() + static_cast<std::ptrdiff_t>(end), first());
  }
  float* first() const { return static_cast<float*>(bytes_.data()); }
  float* data() const {
    return reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(first()) -
                                    begin_ * sizeof(float));
  }

 private:
  GuardedBytes bytes_;
  std::size_t begin_;
};

struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

// From the first to the last element of lines [lines.begin, lines.end), columns of `columns`.
Span Elements(Span lines, Span columns, std::size_t ld) {
  if (lines.begin == lines.end || columns.begin == columns.end) return {};
  return {lines.begin * ld + columns.begin, (lines.end - 1) * ld + columns.end};
}

Span InputElements(const SpmmCase& c, const SpmmBuffers& b, Span pixels) {
  if (c.input == SpmmInputKind::kPlanes) return Elements({0, c.cols}, pixels, b.input.ld);
  if (c.input == SpmmInputKind::kTokens) return Elements(pixels, {0, c.cols}, b.input.ld);
  return {0, b.x.size()};
}

// One range of a case, with all it reads and writes between guard pages.
void RunGuarded(const SpmmCase& c, const SpmmBuffers& b, const PackedMatrix& packed,
                const SpmmRange& range, const std::vector<float>& want, GuardSide side) {
  const Span pixels = {range.pixel_begin, range.pixel_end};
  const Span rows = {packed.row_begin[range.block_begin], packed.row_begin[range.block_end]};
  const Span in = InputElements(c, b, pixels);
  const Span out = c.output == SpmmOutputKind::kPlanes ? Elements(rows, pixels, b.y_ld)
                                                       : Elements(pixels, rows, b.y_ld);
  const PackedMatrix weights = GuardedCopy(packed, side);
  const GuardedPart x(b.x, in.begin, in.end, side);
  const GuardedPart bias(b.bias, rows.begin, rows.end, side);
  const GuardedPart residual(b.residual, out.begin, out.end, side);
  const GuardedPart y(c.in_place ? b.residual : std::vector<float>(b.y_size, 9.0f), out.begin,
                      out.end, side);
  const GuardedBytes scratch(SpmmScratchBytes(weights), side);
  SpmmInput input = b.input;
  input.x = x.data();
  SpmmOutput output = MakeOutput(c, b, y.data());
  if (c.bias) output.bias = bias.data();
  if (c.residual && !c.in_place) output.residual = residual.data();
  Spmm(weights, input, output, range, scratch.data());
  const Span lines = c.output == SpmmOutputKind::kPlanes ? rows : pixels;
  const Span columns = c.output == SpmmOutputKind::kPlanes ? pixels : rows;
  for (std::size_t line = lines.begin; line < lines.end; ++line) {
    for (std::size_t column = columns.begin; column < columns.end; ++column) {
      const std::size_t at = line * b.y_ld + column;
      ASSERT_NEAR(y.first()[at - out.begin], want[at], 1e-4) << line << ", " << column;
    }
  }
}

void ExpectStaysInside(const SpmmCase& c) {
  SCOPED_TRACE(c.ToString());
  SpmmBuffers b = MakeBuffers(c);
  b.input.x = b.x.data();
  const PackedMatrix packed = PackSparse(b.weights, c.rows, c.cols, c.pack);
  const std::vector<float> dense = UnpackSparse(packed);
  std::vector<float> want = c.in_place ? b.residual : std::vector<float>(b.y_size);
  SpmmReference(dense.data(), c.rows, c.cols, b.input, MakeOutput(c, b, want.data()), 0, c.pixels);
  for (const GuardSide side : {GuardSide::kBehind, GuardSide::kBefore}) {
    const std::string text =
        fmt::format("{} {}\n", side == GuardSide::kBehind ? "behind" : "before", c.ToString());
    text.copy(running, sizeof(running) - 1);
    running[std::min(text.size(), sizeof(running) - 1)] = 0;
    for (std::size_t part = 0; part < c.parts; ++part) {
      const std::size_t blocks = packed.row_blocks();
      RunGuarded(c, b, packed,
                 {c.pixels * part / c.parts, c.pixels * (part + 1) / c.parts,
                  blocks * part / c.parts, blocks * (part + 1) / c.parts},
                 want, side);
    }
  }
}

constexpr PackedKind kKinds[] = {PackedKind::kUnstructured, PackedKind::kNm,
                                 PackedKind::kRows2,        PackedKind::kRows4,
                                 PackedKind::kColumns4,     PackedKind::kDense};
constexpr SpmmOutputKind kOutputs[] = {SpmmOutputKind::kPlanes, SpmmOutputKind::kTokens};
constexpr PackedValue kValues[] = {PackedValue::kFloat32, PackedValue::kFloat16,
                                   PackedValue::kBFloat16};

// Calls body(case) for every kind, output and number format, with what else varies taking turns.
template <typename Body>
void ForEachPacking(const SpmmCase& base, const Body& body) {
  std::size_t turn = 0;
  for (const PackedKind kind : kKinds) {
    for (const SpmmOutputKind output : kOutputs) {
      for (const PackedValue value : kValues) {
        SpmmCase c = base;
        c.pack.kind = kind;
        c.pack.value = value;
        c.pack.k_block = turn % 2 == 0 ? 12 : 100;
        c.pack.tile_pixels = turn % 3 == 0 ? 24 : 64;
        c.output = output;
        c.spare_ld = turn % 2;
        c.residual = turn % 3 != 0;
        c.in_place = turn % 3 == 2;
        c.bias = turn % 5 != 0;
        c.activation = {turn % 4 == 0 ? ActivationKind::kRelu : ActivationKind::kNone, 0, 0};
        body(c);
        ++turn;
      }
    }
  }
}

class SpmmGuard : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    struct sigaction action = {};
    action.sa_handler = &ReportFault;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
  }
};

TEST_F(SpmmGuard, StaysInsidePlanesAndTokensOnEveryIsa) {
  OnEachIsa([] {
    for (const SpmmInputKind input : {SpmmInputKind::kPlanes, SpmmInputKind::kTokens}) {
      for (const std::size_t pixels : {1, 3, 7, 8, 9, 17, 31, 65}) {
        for (const std::size_t rows : {1, 5, 12}) {
          SpmmCase base;
          base.input = input;
          base.pixels = pixels;
          base.rows = rows;
          base.cols = pixels % 2 == 0 ? 16 : 2 * rows - 1;
          ForEachPacking(base, &ExpectStaysInside);
        }
      }
    }
  });
}

TEST_F(SpmmGuard, StaysInsideAThreadsRangeOnEveryIsa) {
  OnEachIsa([] {
    for (const SpmmInputKind input : {SpmmInputKind::kPlanes, SpmmInputKind::kTokens}) {
      for (const std::size_t pixels : {9, 50}) {
        SpmmCase base;
        base.input = input;
        base.pixels = pixels;
        base.rows = 29;
        base.cols = 19;
        base.parts = 3;
        base.pack.row_blocks = 3;
        ForEachPacking(base, &ExpectStaysInside);
      }
    }
  });
}

SpmmWindow Window(std::uint32_t size, std::uint32_t kernel, std::uint32_t stride,
                  std::uint32_t pad) {
  SpmmWindow w;
  w.channels = 2;
  w.height = size;
  w.width = size + 1;
  w.kernel_h = w.kernel_w = kernel;
  w.stride_h = w.stride_w = stride;
  w.dilation_h = w.dilation_w = 1 + size % 2;
  w.pad_top = w.pad_left = pad;
  const std::uint32_t reach = w.dilation_h * (kernel - 1) + 1;
  w.out_h = (w.height + 2 * pad - reach) / stride + 1;
  w.out_w = (w.width + 2 * pad - reach) / stride + 1;
  return w;
}

TEST_F(SpmmGuard, StaysInsideWindowsOnEveryIsa) {
  OnEachIsa([] {
    for (const std::uint32_t size : {4, 7, 18}) {
      for (const std::uint32_t kernel : {2, 3}) {
        for (const std::uint32_t stride : {1, 2, 3}) {
          for (const std::uint32_t pad : {0, 2}) {
            SpmmCase base = WithWindow({}, Window(size, kernel, stride, pad));
            base.rows = 5;
            base.parts = 1 + stride % 2;
            ForEachPacking(base, &ExpectStaysInside);
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace espalier
