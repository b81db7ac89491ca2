"""An independent account of which weights a pattern drops, in plain numpy.

Nothing here follows the program's code: where a weight's channels lie is found by sending an array
of element numbers through the nodes between the constant and the operator.
"""

import itertools

import numpy as np
import onnx
from onnx import numpy_helper

MOVES = {"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast",
         "DequantizeLinear", "QuantizeLinear"}
RECURRENT = ("LSTM", "GRU", "RNN")


class Constant:
    """A tensor of the model: an initializer or the value of a Constant node."""

    def __init__(self, name, tensor):
        self.name, self.tensor = name, tensor

    def array(self):
        return numpy_helper.to_array(self.tensor)


class Scope:
    def __init__(self, graph, parent=None):
        self.graph, self.parent = graph, parent
        self.constants, self.makers = {}, {}
        for tensor in graph.initializer:
            self.constants[tensor.name] = Constant(tensor.name, tensor)
        for node in graph.node:
            for output in node.output:
                self.makers[output] = node
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    self.constants[node.output[0]] = Constant(node.output[0], attribute.t)

    def find(self, value):
        """(constant, numbers of its elements as the reader sees them), or None."""
        scope = self
        while scope:
            if value in scope.constants:
                constant = scope.constants[value]
                dims = tuple(constant.tensor.dims)
                return constant, np.arange(np.prod(dims, dtype=int)).reshape(dims)
            if value in scope.makers:
                return scope.through(scope.makers[value])
            scope = scope.parent
        return None

    def concatenated(self, node):
        """Parts of one constant in another order, as PyTorch's exporter makes of LSTM and GRU."""
        parts = [self.find(value) for value in node.input]
        if any(part is None or part[0] is not parts[0][0] for part in parts):
            return None
        return parts[0][0], np.concatenate([part[1] for part in parts], node.attribute[0].i)

    def sliced(self, node):
        found = [self.find(value) for value in node.input]
        if len(found) < 4 or None in found or len(found) > 4 and found[4][0].array()[0] != 1:
            return None
        begin, end, axis = (int(f[0].array()[0]) for f in found[1:4])
        part = (slice(None),) * (axis % found[0][1].ndim) + (slice(begin, end),)
        return found[0][0], found[0][1][part]

    def through(self, node):
        if node.op_type == "Concat":
            return self.concatenated(node)
        if node.op_type == "Slice":
            return self.sliced(node)
        found = self.find(node.input[0]) if node.op_type in MOVES else None
        if found is None:
            return None
        constant, numbers = found
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Transpose":
            numbers = numbers.transpose(attributes.get("perm"))
        elif node.op_type == "Reshape":
            numbers = numbers.reshape(self.find(node.input[1])[0].array())
        elif node.op_type == "Flatten":
            numbers = numbers.reshape(np.prod(numbers.shape[:attributes.get("axis", 1)], dtype=int),
                                      -1)
        elif node.op_type in ("Squeeze", "Unsqueeze"):
            axes = attributes.get("axes")
            axes = tuple(self.find(node.input[1])[0].array() if axes is None else axes)
            change = np.squeeze if node.op_type == "Squeeze" else np.expand_dims
            numbers = change(numbers, axes)
        return constant, numbers


def scopes_of(graph, parent=None):
    scope = Scope(graph, parent)
    yield scope
    for node in graph.node:
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.HasField("g") else list(attribute.graphs)):
                yield from scopes_of(body, scope)


def weight_inputs(node):
    if node.op_type in ("Conv", "ConvTranspose", "ConvInteger"):
        return [(1, "")]
    if node.op_type == "QLinearConv":
        return [(3, "")]
    if node.op_type in ("Gemm", "MatMul", "MatMulInteger"):
        return [(1, ""), (0, "")]
    if node.op_type == "QLinearMatMul":
        return [(3, ""), (0, "")]
    if node.op_type in RECURRENT:
        return [(1, ":W"), (2, ":R")]
    return []


def packed(node, which, numbers):
    """The element numbers in the order [groups, outputs, kernel positions, input channels]."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    groups = attributes.get("group", 1)
    if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
        k, c = numbers.shape[:2]
        return numbers.reshape(groups, k // groups, c, -1).transpose(0, 1, 3, 2)
    if node.op_type == "ConvTranspose":
        c, k = numbers.shape[:2]
        return numbers.reshape(groups, c // groups, k, -1).transpose(0, 2, 3, 1)
    if node.op_type in RECURRENT:
        return numbers[:, :, None, :]
    is_left = which == 0
    if attributes.get("transA" if is_left else "transB", 0):
        numbers = numbers.T
    matrices = numbers.reshape(-1, *numbers.shape[-2:])
    if not is_left:
        matrices = matrices.transpose(0, 2, 1)
    return matrices[:, :, None, :]


class Layer:
    def __init__(self, name, node, constant, order):
        self.name, self.node, self.constant, self.order = name, node, constant, order


def layers_of(model):
    """All weights of operators, in file order; a constant that two operators read comes twice."""
    for scope in scopes_of(model.graph):
        for node in scope.graph.node:
            for which, suffix in weight_inputs(node):
                if which >= len(node.input):
                    continue
                found = scope.find(node.input[which])
                if found is None or found[1].ndim < 2:
                    continue
                constant, numbers = found
                name = node.name + suffix if node.name else constant.name
                yield Layer(name, node, constant, packed(node, which, numbers))


def nearest(ratio, count):
    return int(np.floor(ratio * count + 0.5))


def nm_keep(scores, n, m):
    """[..., C] scores -> keep; the highest n of each m, of equal ones the first."""
    channels = scores.shape[-1]
    lines = scores.reshape(-1, channels)
    padding = -channels % m
    padded = np.pad(lines.astype(np.float64), ((0, 0), (0, padding)), constant_values=-1)
    groups = padded.reshape(len(lines), -1, m)
    order = np.argsort(-groups, axis=-1, kind="stable")
    keep = np.zeros(groups.shape, bool)
    np.put_along_axis(keep, order[..., :n], True, -1)
    return keep.reshape(len(lines), -1)[:, :channels].reshape(scores.shape)


def transposable_masks():
    rows = [m for m in itertools.product((0, 1), repeat=4) if sum(m) == 2]
    tiles = np.array(list(itertools.product(rows, repeat=4)))
    return tiles[(tiles.sum(1) == 2).all(1)]


def tiles_of(scores):
    """[G, K, P, C] -> 4x4 tiles [n, 4, 4] of each group and position, zeros at the edges."""
    groups, k, positions, c = scores.shape
    padded = np.zeros((groups, positions, k + -k % 4, c + -c % 4))
    padded[:, :, :k, :c] = scores.transpose(0, 2, 1, 3)
    split = padded.reshape(groups * positions, padded.shape[2] // 4, 4, padded.shape[3] // 4, 4)
    return split.transpose(0, 1, 3, 2, 4).reshape(-1, 4, 4)


def best_transposable(scores):
    """The greatest score that each tile can keep."""
    masks = transposable_masks().reshape(-1, 16)
    assert len(masks) == 90
    return (tiles_of(scores).reshape(-1, 16) @ masks.T).max(1)


def blocks_of(scores, rows, columns):
    """[G, K, P, C] -> sums of blocks [G, bands, P, columns]; blocks at the edges are smaller."""
    groups, k, positions, c = scores.shape
    padded = np.zeros((groups, k + -k % rows, positions, c + -c % columns))
    padded[:, :k, :, :c] = scores
    split = padded.reshape(groups, -1, rows, positions, padded.shape[3] // columns, columns)
    return split.sum((2, 5))


def lowest(scores, count):
    """Marks the `count` lowest; of equal ones the last goes first."""
    order = np.lexsort((-np.arange(scores.size), scores))
    drop = np.zeros(scores.size, bool)
    drop[order[:count]] = True
    return drop


def global_counts(layers, floors, count):
    """How many of each array of scores go if `count` go of all, but each keeps floors[i]."""
    limits = [max(0, scores.size - floor) for scores, floor in zip(layers, floors)]
    result = [0] * len(layers)
    open_ = list(range(len(layers)))
    while open_ and count > 0:
        count = min(count, sum(limits[i] for i in open_))
        drop = lowest(np.concatenate([layers[i] for i in open_]), count)
        at, over = 0, []
        for i in open_:
            result[i] = int(drop[at:at + layers[i].size].sum())
            at += layers[i].size
            if result[i] > limits[i]:
                over.append(i)
        for i in over:
            result[i] = limits[i]
            count -= limits[i]
            open_.remove(i)
        if not over:
            break
    return result
