"""Writes a small image classifier as ONNX, for the demo on a machine without models.

    make_example_model.py OUTPUT.onnx            about 3 MB, 64x64 RGB, random weights
    make_example_model.py OUTPUT.onnx --small    70 KB, any number of 16x16 gray images, to be trained

Python's standard library only: the few protobuf messages are encoded by hand. Field numbers are
those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""
import array
import math
import random
import sys

FLOAT = 1  # TensorProto.DataType
ATTRIBUTE_INT, ATTRIBUTE_INTS = 2, 7


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    """One protobuf field: an int as varint, text and bytes length-delimited."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name, value):
    if isinstance(value, int):
        return field(1, name) + field(3, value) + field(20, ATTRIBUTE_INT)
    return field(1, name) + b"".join(field(8, v) for v in value) + field(20, ATTRIBUTE_INTS)


def value_info(name, dims):
    shape = b"".join(field(1, field(2 if isinstance(d, str) else 1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


class Network:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.nodes = []
        self.initializers = []

    def weight(self, name, dims, fan_in):
        # Each output channel has a scale of its own, so that magnitudes differ between channels.
        values = array.array("f")
        for _ in range(dims[0]):
            sigma = math.sqrt(2 / fan_in) * self.random.uniform(0.3, 1.7)
            values.extend(self.random.gauss(0, sigma) for _ in range(math.prod(dims[1:])))
        if sys.byteorder == "big":
            values.byteswap()
        self.initializers.append(b"".join(field(1, d) for d in dims) + field(2, FLOAT) +
                                 field(8, name) + field(9, values.tobytes()))
        return name

    def node(self, op, name, inputs, **attributes):
        text = b"".join(field(1, i) for i in inputs) + field(2, name) + field(3, name)
        text += field(4, op) + b"".join(field(5, attribute(*a)) for a in attributes.items())
        self.nodes.append(text)
        return name

    def conv(self, x, name, shape, stride=1, group=1, relu=True):
        outputs, inputs, kernel, _ = shape
        weight = self.weight(name + ".weight", shape, inputs * kernel * kernel)
        bias = self.weight(name + ".bias", [outputs], 100)
        y = self.node("Conv", name, [x, weight, bias], group=group, kernel_shape=[kernel, kernel],
                      pads=[kernel // 2] * 4, strides=[stride, stride])
        return self.node("Relu", name + ".relu", [y]) if relu else y

    def separable(self, x, name, inputs, outputs, stride):
        x = self.conv(x, name + ".depthwise", [inputs, 1, 3, 3], stride, group=inputs)
        return self.conv(x, name + ".pointwise", [outputs, inputs, 1, 1])

    def residual(self, x, name, channels):
        y = self.conv(x, name + ".conv1", [channels, channels, 3, 3])
        y = self.conv(y, name + ".conv2", [channels, channels, 3, 3], relu=False)
        return self.node("Relu", name, [self.node("Add", name + ".add", [x, y])])

    def head(self, x, channels, classes):
        x = self.node("GlobalAveragePool", "pool", [x])
        x = self.node("Flatten", "flat", [x], axis=1)
        weight = self.weight("classifier.weight", [classes, channels], channels)
        bias = self.weight("classifier.bias", [classes], 100)
        self.node("Gemm", "scores", [x, weight, bias], transB=1)


def large(net):
    """Returns the dimensions of `image` and `scores`."""
    x = net.conv("image", "stem", [32, 3, 3, 3], stride=2)
    x = net.separable(x, "stage1", 32, 64, stride=1)
    x = net.separable(x, "stage2", 64, 128, stride=2)
    x = net.residual(x, "stage3", 128)
    x = net.separable(x, "stage4", 128, 256, stride=2)
    x = net.conv(x, "stage5", [160, 256, 3, 3])
    net.head(x, 160, 100)
    return [1, 3, 64, 64], [1, 100]


def small(net):
    x = net.conv("image", "stem", [16, 1, 3, 3])
    x = net.conv(x, "stage1", [32, 16, 3, 3], stride=2)
    x = net.conv(x, "stage2", [32, 32, 3, 3], stride=2)
    net.head(x, 32, 4)
    return ["N", 1, 16, 16], ["N", 4]


def model_bytes(build):
    net = Network(seed=1)
    image, scores = build(net)
    graph = b"".join(field(1, n) for n in net.nodes) + field(2, "example")
    graph += b"".join(field(5, t) for t in net.initializers)
    graph += field(11, value_info("image", image))
    graph += field(12, value_info("scores", scores))
    opset = field(1, "") + field(2, 13)
    return field(1, 8) + field(2, "espalier example") + field(7, graph) + field(8, opset)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--small"]
    if len(arguments) != 1:
        sys.exit("usage: make_example_model.py OUTPUT.onnx [--small]")
    with open(arguments[0], "wb") as file:
        file.write(model_bytes(small if "--small" in sys.argv else large))


if __name__ == "__main__":
    main()
