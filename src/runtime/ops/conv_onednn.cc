#include "runtime/ops/conv_onednn.h"

#include <array>
#include <atomic>

#include "espalier/base/thread_pool.h"

namespace espalier::runtime {
namespace {

using dnnl::memory;

constexpr std::int64_t kMostElements = std::int64_t{1} << 31;  // oneDNN counts in int
constexpr std::int64_t kParallelWork = std::int64_t{1} << 20;  // products; about 40 us

std::size_t Aligned(std::size_t bytes) {
  return (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
}

memory::desc RowMajor(const memory::dims& dims) {
  memory::dims strides(dims.size(), 1);
  for (std::size_t i = dims.size() - 1; i > 0; --i) strides[i - 1] = strides[i] * dims[i];
  return {dims, memory::data_type::f32, strides};
}

memory::desc AnyFormat(const memory::desc& desc) {
  return {desc.dims(), memory::data_type::f32, memory::format_tag::any};
}

// What oneDNN can run and runs well: windows that touch the input, sizes that fit an int.
bool IsUsual(const ConvShape& shape) {
  for (const WindowAxis& axis : shape.axes) {
    if (axis.in < 1 || axis.out < 1 || axis.pad_begin >= axis.Extent() ||
        axis.pad_end >= axis.Extent() || axis.Extent() > axis.in + axis.pad_begin + axis.pad_end) {
      return false;
    }
  }
  const Window3d window = shape.Window();
  const std::int64_t inputs = shape.groups * shape.in_channels;
  const std::int64_t outputs = shape.groups * shape.out_channels;
  return shape.batch > 0 && inputs > 0 && outputs > 0 && inputs * window.In() < kMostElements &&
         outputs * window.Out() < kMostElements &&
         outputs * shape.in_channels * window.Kernel() < kMostElements;
}

std::int64_t Work(const ConvShape& shape) {
  const Window3d window = shape.Window();
  return shape.batch * shape.groups * shape.out_channels * shape.in_channels * window.Out() *
         window.Kernel();
}

bool SameShape(const ConvShape& a, const ConvShape& b) {
  if (a.batch != b.batch || a.groups != b.groups || a.in_channels != b.in_channels ||
      a.out_channels != b.out_channels || a.axes.size() != b.axes.size()) {
    return false;
  }
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    const WindowAxis& x = a.axes[i];
    const WindowAxis& y = b.axes[i];
    if (x.in != y.in || x.out != y.out || x.kernel != y.kernel || x.pad_begin != y.pad_begin) {
      return false;
    }
  }
  return true;
}

// Row-major, but the two channel axes are stored the other way round.
memory::desc SwappedChannels(const memory::dims& dims, std::size_t out_axis, std::int64_t kernel,
                             std::int64_t stored_outputs) {
  memory::dims strides(dims.size(), 1);
  for (std::size_t i = dims.size() - 1; i > out_axis + 2; --i) {
    strides[i - 1] = strides[i] * dims[i];
  }
  strides[out_axis] = kernel;
  strides[out_axis + 1] = stored_outputs * kernel;
  if (out_axis == 1) strides[0] = dims[2] * stored_outputs * kernel;
  return {dims, memory::data_type::f32, strides};
}

dnnl::primitive_attr UserScratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

}  // namespace

bool DenseConv::Prepare(const ConvShape& shape, bool bias, int threads) {
  if (ready_ && bias == bias_ && threads == threads_ && SameShape(shape, shape_)) return possible_;
  shape_ = shape;
  bias_ = bias;
  threads_ = threads;
  packed_ = false;
  ready_ = true;
  possible_ = IsUsual(shape);
  if (!possible_) return false;
  parts_ = 1;
  part_groups_ = shape.groups;
  part_outputs_ = shape.out_channels;
  if (threads > 1 && shape.batch < threads && Work(shape) >= kParallelWork) {
    if (shape.groups % threads == 0) {
      parts_ = threads;
      part_groups_ = shape.groups / threads;
    } else if (shape.groups == 1 && shape.out_channels % (8 * threads) == 0) {
      parts_ = threads;
      part_outputs_ = shape.out_channels / threads;
    }
  }
  const OneOpenMpThread one_thread;
  try {
    MakeConvolution(bias);
    MakeSlots(bias);
  } catch (const dnnl::error&) {
    possible_ = false;
  }
  return possible_;
}

void DenseConv::MakeConvolution(bool bias) {
  const std::int64_t groups = part_groups_;
  memory::dims x{1, groups * shape_.in_channels}, y{1, groups * part_outputs_};
  memory::dims w, strides, dilates, begins, ends;
  if (groups > 1) w.push_back(groups);
  w.insert(w.end(), {part_outputs_, shape_.in_channels});
  for (const WindowAxis& axis : shape_.axes) {
    x.push_back(shape_.transposed ? axis.out : axis.in);
    y.push_back(shape_.transposed ? axis.in : axis.out);
    w.push_back(axis.kernel);
    strides.push_back(axis.stride);
    dilates.push_back(axis.dilation - 1);
    begins.push_back(axis.pad_begin);
    // For the transposed one, minus the elements at the end that no window touches.
    const std::int64_t reached = (axis.out - 1) * axis.stride + axis.Extent() - axis.pad_begin;
    ends.push_back(shape_.transposed ? reached - axis.in : axis.pad_end);
  }
  plain_x_ = RowMajor(x);
  plain_y_ = RowMajor(y);
  plain_w_ = shape_.transposed ? SwappedChannels(w, groups > 1 ? 1 : 0, shape_.Window().Kernel(),
                                                 shape_.out_channels)
                               : RowMajor(w);
  bias_desc_ = bias ? RowMajor({groups * part_outputs_}) : memory::desc();
  const auto kind = dnnl::prop_kind::forward_inference;
  if (shape_.transposed) {
    MakePrimitive<dnnl::deconvolution_forward>(dnnl::deconvolution_forward::desc(
        kind, dnnl::algorithm::deconvolution_direct, AnyFormat(plain_x_), AnyFormat(plain_w_),
        bias_desc_, AnyFormat(plain_y_), strides, dilates, begins, ends));
  } else {
    MakePrimitive<dnnl::convolution_forward>(dnnl::convolution_forward::desc(
        kind, dnnl::algorithm::convolution_direct, AnyFormat(plain_x_), AnyFormat(plain_w_),
        bias_desc_, AnyFormat(plain_y_), strides, dilates, begins, ends));
  }
}

template <typename Primitive>
void DenseConv::MakePrimitive(const typename Primitive::desc& descriptor) {
  const dnnl::engine& engine = CpuEngine();
  const typename Primitive::primitive_desc primitive(descriptor, UserScratchpad(), engine);
  primitive_ = Primitive(primitive);
  kernel_ = primitive.impl_info_str();
  x_ = primitive.src_desc();
  y_ = primitive.dst_desc();
  w_ = primitive.weights_desc();
  scratchpad_ = primitive.scratchpad_desc();
  reorders_x_ = x_ != plain_x_;
  reorders_y_ = y_ != plain_y_;
  const auto reorder = [&](const memory::desc& from, const memory::desc& to) {
    return dnnl::reorder(
        dnnl::reorder::primitive_desc(engine, from, engine, to, dnnl::primitive_attr()));
  };
  reorder_w_ = reorder(plain_w_, w_);
  if (reorders_x_) reorder_x_ = reorder(plain_x_, x_);
  if (reorders_y_) reorder_y_ = reorder(y_, plain_y_);
}

void DenseConv::MakeSlots(bool bias) {
  const dnnl::engine& engine = CpuEngine();
  const auto object = [&](const memory::desc& desc) {
    return memory(desc, engine, DNNL_MEMORY_NONE);
  };
  const std::int64_t jobs = shape_.batch * parts_;
  slots_.clear();
  for (std::int64_t i = 0; i < std::min<std::int64_t>(threads_, jobs); ++i) {
    slots_.push_back({object(x_), object(y_), bias ? object(bias_desc_) : memory(),
                      object(plain_x_), object(plain_y_), object(w_), object(scratchpad_)});
    if (Work(shape_) < kParallelWork) break;
  }
  plain_weight_ = object(plain_w_);
}

// The weights of all parts in the layout of the primitive.
void DenseConv::PackWeights(const float* w) {
  const std::size_t bytes = Aligned(w_.get_size());
  std::byte* packed = weights_.Reserve(bytes * static_cast<std::size_t>(parts_));
  const std::int64_t kernel = shape_.Window().Kernel();
  const std::int64_t step = shape_.transposed && part_groups_ == 1 && shape_.groups == 1
                                ? part_outputs_ * kernel
                                : part_groups_ * part_outputs_ * shape_.in_channels * kernel;
  for (std::int64_t part = 0; part < parts_; ++part) {
    plain_weight_.set_data_handle(const_cast<float*>(w + part * step));
    slots_[0].weight.set_data_handle(packed + static_cast<std::size_t>(part) * bytes);
    const std::array<dnnl_exec_arg_t, 2> arguments = {{
        {DNNL_ARG_FROM, plain_weight_.get()},
        {DNNL_ARG_TO, slots_[0].weight.get()},
    }};
    if (!Execute(reorder_w_, arguments)) {
      throw Error(ErrorCode::kInternal, "oneDNN cannot reorder a weight");
    }
  }
}

std::size_t DenseConv::SlotBytes() const {
  return Aligned(scratchpad_.get_size()) + (reorders_x_ ? Aligned(x_.get_size()) : 0) +
         (reorders_y_ ? Aligned(y_.get_size()) : 0);
}

bool DenseConv::RunPart(std::int64_t job, Slot& slot, const Arguments& arguments,
                        std::byte* scratch) noexcept {
  const std::int64_t image = job / parts_;
  const std::int64_t part = job % parts_;
  const std::int64_t in_elements = shape_.InElements();
  const std::int64_t inputs = shape_.groups * shape_.in_channels;
  // Parts are groups, with inputs of their own, or output channels of the one group.
  const std::int64_t first_input = shape_.groups > 1 ? part * part_groups_ * shape_.in_channels : 0;
  const float* x = arguments.x + (image * inputs + first_input) * in_elements;
  float* y = arguments.y + job * PartOutputs();
  const std::size_t weight_bytes = Aligned(w_.get_size());

  slot.weight.set_data_handle(weights_.data() + static_cast<std::size_t>(part) * weight_bytes);
  slot.scratchpad.set_data_handle(scratch);
  scratch += Aligned(scratchpad_.get_size());
  slot.plain_x.set_data_handle(const_cast<float*>(x));
  slot.plain_y.set_data_handle(y);
  slot.x.set_data_handle(reorders_x_ ? static_cast<void*>(scratch) : const_cast<float*>(x));
  if (reorders_x_) scratch += Aligned(x_.get_size());
  slot.y.set_data_handle(reorders_y_ ? static_cast<void*>(scratch) : y);
  if (bias_) {
    slot.bias.set_data_handle(
        const_cast<float*>(arguments.bias + part * part_groups_ * part_outputs_));
  }

  const std::array<dnnl_exec_arg_t, 2> to_blocks = {
      {{DNNL_ARG_FROM, slot.plain_x.get()}, {DNNL_ARG_TO, slot.x.get()}}};
  const std::array<dnnl_exec_arg_t, 2> from_blocks = {
      {{DNNL_ARG_FROM, slot.y.get()}, {DNNL_ARG_TO, slot.plain_y.get()}}};
  const std::array<dnnl_exec_arg_t, 5> convolve = {{{DNNL_ARG_SRC, slot.x.get()},
                                                    {DNNL_ARG_WEIGHTS, slot.weight.get()},
                                                    {DNNL_ARG_DST, slot.y.get()},
                                                    {DNNL_ARG_SCRATCHPAD, slot.scratchpad.get()},
                                                    {DNNL_ARG_BIAS, slot.bias.get(true)}}};
  return (!reorders_x_ || Execute(reorder_x_, to_blocks)) &&
         Execute(primitive_, std::span(convolve).first(bias_ ? 5 : 4)) &&
         (!reorders_y_ || Execute(reorder_y_, from_blocks));
}

std::int64_t DenseConv::PartOutputs() const {
  return part_groups_ * part_outputs_ * shape_.OutElements();
}

void DenseConv::RunErased(const Arguments& arguments, OpContext& context, FinishCall call,
                          const void* finish) {
  if (!packed_ || !arguments.constant_weight) PackWeights(arguments.w);
  packed_ = arguments.constant_weight;
  const std::size_t slot_bytes = SlotBytes();
  std::byte* scratch = context.Scratch(slot_bytes * slots_.size());
  const auto jobs = static_cast<std::size_t>(shape_.batch * parts_);
  std::atomic<bool> failed{false};
  ThreadPool::Shared().Run(threads_, slots_.size(), [&](std::size_t i) {
    for (std::size_t job = i; job < jobs; job += slots_.size()) {
      const auto number = static_cast<std::int64_t>(job);
      if (!RunPart(number, slots_[i], arguments, scratch + i * slot_bytes)) failed = true;
      call(finish, number * PartOutputs(), PartOutputs());
    }
  });
  if (failed) throw Error(ErrorCode::kInternal, "oneDNN cannot run a convolution");
}

}  // namespace espalier::runtime
