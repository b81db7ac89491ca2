#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "espalier/base/random.h"
#include "espalier/graph/layers.h"
#include "tests/graph/graph_builder.h"

// Weights, named nodes, and an oracle: what a consumer reads, element by element.
namespace espalier::testing {

/// A tensor of zeros.
inline Tensor Zeros(Dims dims, DType dtype = DType::kFloat32) {
  std::vector<std::byte> bytes(TensorByteCount(dtype, dims));
  return Tensor(dtype, std::move(dims), std::move(bytes));
}

inline Tensor Int8Vector(const std::vector<std::int8_t>& values) {
  return TensorOf(DType::kInt8, {static_cast<std::int64_t>(values.size())}, values);
}

/// A builder whose nodes have names.
class LayerGraph : public GraphBuilder {
 public:
  LayerGraph& Weight(const std::string& name, Dims dims, DType dtype = DType::kFloat32,
                     int scope = 0) {
    Constant(name, Zeros(std::move(dims), dtype), scope);
    return *this;
  }
  /// A node "op" called `name` with the single output "<name>.out".
  LayerGraph& Node(const std::string& name, const std::string& op, std::vector<std::string> inputs,
                   Attributes attributes = {}, int scope = 0) {
    Add(op, std::move(inputs), {name + ".out"}, std::move(attributes), scope);
    graph().scopes[scope].nodes.back().name = name;
    return *this;
  }
  LayerGraph& Input(const std::string& name, std::optional<Dims> dims) {
    GraphBuilder::Input(name, std::move(dims));
    return *this;
  }
  LayerGraph& Output(const std::string& name, int scope = 0) {
    GraphBuilder::Output(name, scope);
    return *this;
  }
  LayerGraph& Constant(const std::string& name, Tensor tensor, int scope = 0) {
    GraphBuilder::Constant(name, std::move(tensor), scope);
    return *this;
  }
  LayerGraph& Subgraph(const std::string& attribute, int subgraph, int scope = 0) {
    GraphBuilder::Subgraph(attribute, subgraph, scope);
    return *this;
  }
  std::vector<Layer> Layers() { return FindLayers(graph()); }
  /// The only layer; one with the refusal "none or several" if there is not exactly one.
  Layer OnlyLayer() {
    const auto layers = Layers();
    EXPECT_EQ(layers.size(), 1u);
    if (layers.size() == 1) return layers[0];
    Layer none;
    none.refusal = "none or several";
    return none;
  }
};

/// The numbers of the stored elements in the places where a node sees them.
struct NumberedArray {
  Dims dims;
  Dims elements;  ///< Row-major.
};

inline NumberedArray Numbered(const Dims& dims) {
  NumberedArray array{dims, Dims(static_cast<std::size_t>(ElementCount(dims)))};
  for (std::size_t i = 0; i < array.elements.size(); ++i) {
    array.elements[i] = static_cast<std::int64_t>(i);
  }
  return array;
}

/// Calls visit(index) for each index of `dims`, row-major.
inline void ForEachIndex(const Dims& dims, const std::function<void(const Dims&)>& visit) {
  Dims index(dims.size(), 0);
  for (std::int64_t left = ElementCount(dims); left > 0; --left) {
    visit(index);
    for (std::size_t i = dims.size(); i-- > 0;) {
      if (++index[i] < dims[i]) break;
      index[i] = 0;
    }
  }
}

inline std::int64_t At(const NumberedArray& array, const Dims& index) {
  std::int64_t at = 0;
  for (std::size_t i = 0; i < index.size(); ++i) at = at * array.dims[i] + index[i];
  return array.elements.at(static_cast<std::size_t>(at));
}

/// A copy with out[index] = array[map(index)].
inline NumberedArray Moved(const NumberedArray& array, const Dims& dims,
                           const std::function<Dims(const Dims&)>& map) {
  NumberedArray out{dims, {}};
  ForEachIndex(dims, [&](const Dims& index) { out.elements.push_back(At(array, map(index))); });
  return out;
}

inline NumberedArray NaiveTranspose(const NumberedArray& array, const Dims& perm) {
  Dims dims;
  for (const std::int64_t axis : perm) dims.push_back(array.dims[axis]);
  return Moved(array, dims, [&perm](const Dims& index) {
    Dims from(index.size());
    for (std::size_t i = 0; i < perm.size(); ++i) from[perm[i]] = index[i];
    return from;
  });
}

inline NumberedArray NaiveReshape(const NumberedArray& array, Dims dims) {
  EXPECT_EQ(ElementCount(dims), ElementCount(array.dims));
  return {std::move(dims), array.elements};
}

/// Whether element numbers grow by a constant step along each axis: what a strided view can say.
inline bool IsStrided(const NumberedArray& array) {
  if (array.elements.empty()) return true;
  Dims strides;
  for (std::size_t i = 0; i < array.dims.size(); ++i) {
    Dims index(array.dims.size(), 0);
    index[i] = array.dims[i] > 1 ? 1 : 0;
    strides.push_back(At(array, index) - array.elements[0]);
  }
  bool strided = array.elements[0] == 0;
  ForEachIndex(array.dims, [&](const Dims& index) {
    std::int64_t element = 0;
    for (std::size_t i = 0; i < index.size(); ++i) element += index[i] * strides[i];
    strided = strided && element == At(array, index);
  });
  return strided;
}

/// Elements in packed order [groups][rows][positions][channels], read through a view.
inline Dims PackedThrough(const WeightView& view) {
  Dims sizes, strides, packed;
  std::vector<Axis> axes = view.groups;
  axes.push_back(view.out);
  axes.insert(axes.end(), view.positions.begin(), view.positions.end());
  axes.push_back(view.in);
  for (const Axis& axis : axes) sizes.push_back(axis.size);
  ForEachIndex(sizes, [&](const Dims& index) {
    std::int64_t at = 0;
    for (std::size_t i = 0; i < index.size(); ++i) at += index[i] * axes[i].stride;
    packed.push_back(at);
  });
  return packed;
}

/// Packed order by the definition of Conv: out[k] += x[k / (K / groups) * C + c] * w[k, c, ...].
inline Dims PackedConv(const NumberedArray& w) {
  Dims perm = {0};
  for (std::size_t i = 2; i < w.dims.size(); ++i) perm.push_back(static_cast<std::int64_t>(i));
  perm.push_back(1);
  return NaiveTranspose(w, perm).elements;
}

/// Of ConvTranspose: out[g * Kg + k] += x[g * Cg + c] * w[g * Cg + c, k, ...].
inline Dims PackedConvTranspose(const NumberedArray& w, std::int64_t groups) {
  const std::int64_t channels = w.dims[0] / groups;
  const Dims kernel(w.dims.begin() + 2, w.dims.end());
  Dims packed;
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t k = 0; k < w.dims[1]; ++k) {
      ForEachIndex(kernel, [&](const Dims& position) {
        for (std::int64_t c = 0; c < channels; ++c) {
          Dims index = {g * channels + c, k};
          index.insert(index.end(), position.begin(), position.end());
          packed.push_back(At(w, index));
        }
      });
    }
  }
  return packed;
}

/// Of a matrix product whose weight is [..., K, N]: one row for each batch and n.
inline Dims PackedRightOperand(const NumberedArray& w) {
  if (w.dims.size() < 2) return w.elements;
  Dims perm;
  for (std::size_t i = 0; i < w.dims.size(); ++i) perm.push_back(static_cast<std::int64_t>(i));
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return NaiveTranspose(w, perm).elements;
}

/// Of a weight [..., M, K]: stored rows are output channels.
inline Dims PackedLeftOperand(const NumberedArray& w) { return w.elements; }

/// A whole number 0..most, the same in every run.
inline std::int64_t Draw(std::uint64_t seed, std::uint64_t* index, std::int64_t most) {
  return static_cast<std::int64_t>(RandomAt(seed, (*index)++) %
                                   static_cast<std::uint64_t>(most + 1));
}

}  // namespace espalier::testing
