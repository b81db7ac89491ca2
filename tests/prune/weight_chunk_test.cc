#include "prune/weight_chunk.h"

#include <gtest/gtest.h>

#include "espalier/base/isa.h"
#include "espalier/pattern/registry.h"
#include "tests/prune/matrix_case.h"

namespace espalier {
namespace {

// One element of the layer through its view, by the definition of WeightView.
float Through(const WeightView& view, const std::vector<float>& stored, std::int64_t group,
              std::int64_t out, std::int64_t position, std::int64_t in) {
  const auto offset = [](const std::vector<Axis>& axes, std::int64_t index) {
    std::int64_t sum = 0;
    for (std::size_t i = axes.size(); i-- > 0; index /= axes[i].size) {
      sum += index % axes[i].size * axes[i].stride;
    }
    return sum;
  };
  return stored[offset(view.groups, group) + out * view.out.stride +
                offset(view.positions, position) + in * view.in.stride];
}

struct ViewCase {
  const char* what;
  WeightView view;
};

const ViewCase kCases[] = {
    {"linear", {{}, {6, 5}, {5, 1}, {}}},
    {"linear, input first", {{}, {6, 1}, {5, 6}, {}}},
    {"conv 3x2", {{}, {4, 30}, {5, 6}, {{3, 2}, {2, 1}}}},
    {"grouped conv", {{{3, 40}}, {4, 10}, {5, 2}, {{2, 1}}}},
    {"grouped transposed conv", {{{3, 40}}, {4, 2}, {5, 8}, {{2, 1}}}},
    {"depthwise", {{{700, 9}}, {1, 9}, {1, 9}, {{9, 1}}}},
    {"large linear", {{}, {300, 700}, {700, 1}, {}}},
    {"large conv", {{}, {90, 900}, {100, 9}, {{3, 3}, {3, 1}}}},
    {"large grouped conv", {{{2, 180000}}, {200, 900}, {100, 9}, {{9, 1}}}},
};

TEST(WeightChunk, ReadsPackedOrderAndWritesItBack) {
  for (const ViewCase& c : kCases) {
    for (const char* spec : {"2:4", "block:8x2", "channel", "unstructured"}) {
      SCOPED_TRACE(std::string(c.what) + " " + spec);
      const auto pattern = PatternRegistry::BuiltIn().Make(spec);
      Layer layer = LayerOfTensor("w", DType::kFloat32, {1, 1});
      layer.view = c.view;
      const std::int64_t elements = layer.view.Elements();
      std::vector<float> values(elements);
      for (std::int64_t i = 0; i < elements; ++i) values[i] = static_cast<float>(i);
      MemoryWeights store;
      store.Add(layer, BytesOf(values));

      const ChunkPlan plan = PlanChunks(layer, *pattern);
      EXPECT_EQ(plan.flat, pattern->IsElementwise());
      std::int64_t seen = 0;
      WeightChunk chunk;
      for (const ChunkRange& range : plan.ranges) {
        ReadChunk(store, 0, layer, plan, range, &chunk);
        ASSERT_EQ(chunk.first_element, seen);
        std::vector<float> packed = FloatsOf(chunk.bytes);
        if (!plan.flat) {
          const std::int64_t in_group = chunk.first_row % layer.view.out.size;
          EXPECT_EQ(in_group % pattern->RowsPerBand(), 0) << "band cut";
        }
        for (std::size_t i = 0; i < packed.size(); ++i, ++seen) {
          std::int64_t at = seen;
          const std::int64_t in = at % layer.view.in.size;
          at /= layer.view.in.size;
          const std::int64_t position = at % layer.view.PositionCount();
          at /= layer.view.PositionCount();
          const float want = plan.flat ? values[seen]
                                       : Through(layer.view, values, at / layer.view.out.size,
                                                 at % layer.view.out.size, position, in);
          ASSERT_EQ(packed[i], want) << "element " << seen;
          packed[i] = -want;
        }
        chunk.bytes = BytesOf(packed);
        WriteChunk(store, 0, plan, &chunk);
      }
      EXPECT_EQ(seen, elements);
      const std::vector<float> after = store.Values(0);
      for (std::int64_t i = 0; i < elements; ++i) ASSERT_EQ(after[i], -values[i]);
    }
  }
}

}  // namespace
}  // namespace espalier
