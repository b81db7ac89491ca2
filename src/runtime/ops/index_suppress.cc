#include <algorithm>
#include <cmath>

#include "runtime/ops/index.h"

namespace espalier::runtime {
namespace {

struct Box {
  float top, left, bottom, right;
  float Area() const { return (bottom - top) * (right - left); }
};

// Whether two boxes share more than `threshold` of the area that both cover.
bool Overlap(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (!(height > 0 && width > 0)) return false;
  const float shared = height * width;
  const float covered = a.Area() + b.Area() - shared;
  return covered > 0 && shared / covered > threshold;
}

Box MakeBox(const float* x, bool center) {
  if (center) {  // x, y, width, height
    return {x[1] - x[3] / 2, x[0] - x[2] / 2, x[1] + x[3] / 2, x[0] + x[2] / 2};
  }
  // y, x of two corners of any diagonal
  return {std::min(x[0], x[2]), std::min(x[1], x[3]), std::max(x[0], x[2]), std::max(x[1], x[3])};
}

class NonMaxSuppressionOp final : public Op {
 public:
  explicit NonMaxSuppressionOp(const OpBuild& build)
      : center_(build.Int("center_point_box", 0) != 0) {}

  void Run(OpContext& context) override {
    const Value& boxes = InputOf(context, 0, DType::kFloat32);
    const Value& scores = InputOf(context, 1, DType::kFloat32);
    CheckDims(boxes, scores);
    const std::int64_t limit = context.HasInput(2) ? ReadInt(context, 2) : 0;
    limit_ = limit < 0 ? 0 : static_cast<std::size_t>(limit);
    iou_ = context.HasInput(3) ? static_cast<float>(ReadNumber(context.Input(3))) : 0;
    has_score_ = context.HasInput(4);
    if (has_score_) score_ = static_cast<float>(ReadNumber(context.Input(4)));
    selected_.clear();
    if (limit_ > 0 && scores.Elements() > 0) {
      for (std::int64_t batch = 0; batch < boxes.dims[0]; ++batch) {
        RunBatch(boxes, scores, batch);
      }
    }
    dims_.assign({static_cast<std::int64_t>(selected_.size() / 3), 3});
    auto* out = context.Out<std::int64_t>(0, DType::kInt64, dims_);
    std::copy(selected_.begin(), selected_.end(), out);
  }

 private:
  static void CheckDims(const Value& boxes, const Value& scores) {
    if (boxes.rank() == 3 && scores.rank() == 3 && boxes.dims[2] == 4 &&
        boxes.dims[0] == scores.dims[0] && boxes.dims[1] == scores.dims[2]) {
      return;
    }
    throw Error(ErrorCode::kBadFile,
                fmt::format("boxes {} with scores {}, expected [n, boxes, 4] and [n, classes, "
                            "boxes]",
                            DimsText(boxes.dims), DimsText(scores.dims)));
  }

  void RunBatch(const Value& boxes, const Value& scores, std::int64_t batch) {
    const auto count = static_cast<std::size_t>(boxes.dims[1]);
    const float* corners = boxes.As<float>() + static_cast<std::size_t>(batch) * count * 4;
    boxes_.resize(count);
    for (std::size_t i = 0; i < count; ++i) boxes_[i] = MakeBox(corners + i * 4, center_);
    const std::int64_t classes = scores.dims[1];
    for (std::int64_t c = 0; c < classes; ++c) {
      const auto row = static_cast<std::size_t>(batch * classes + c);
      Select(scores.As<float>() + row * count, count);
      for (const std::size_t box : chosen_) {
        selected_.insert(selected_.end(), {batch, c, static_cast<std::int64_t>(box)});
      }
    }
  }

  // Sets chosen_ to the boxes of one class, best first. A NaN is no score.
  void Select(const float* scores, std::size_t count) {
    candidates_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      if (has_score_ ? scores[i] > score_ : !std::isnan(scores[i])) candidates_.push_back(i);
    }
    std::sort(candidates_.begin(), candidates_.end(), [scores](std::size_t a, std::size_t b) {
      return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
    chosen_.clear();
    for (const std::size_t i : candidates_) {
      if (chosen_.size() == limit_) return;
      const bool hidden = std::any_of(chosen_.begin(), chosen_.end(), [&](std::size_t better) {
        return Overlap(boxes_[better], boxes_[i], iou_);
      });
      if (!hidden) chosen_.push_back(i);
    }
  }

  const bool center_;
  std::size_t limit_ = 0;
  float iou_ = 0;
  float score_ = 0;
  bool has_score_ = false;
  std::vector<Box> boxes_;
  Offsets candidates_;
  Offsets chosen_;
  std::vector<std::int64_t> selected_;
  Dims dims_;
};

constexpr OpEntry kEntries[] = {{"", "NonMaxSuppression", &MakeOp<NonMaxSuppressionOp>}};

}  // namespace

std::span<const OpEntry> SuppressOps() { return kEntries; }

}  // namespace espalier::runtime
