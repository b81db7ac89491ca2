#!/usr/bin/env python3
"""Writes a synthetic safetensors checkpoint with the tensor names and shapes of a language model.

    tools/make_checkpoint.py OUT --bytes 2G --dtype bf16              # one file OUT
    tools/make_checkpoint.py OUT --bytes 2G --dtype bf16 --shards 4   # a folder OUT with an index

Values are finite, bell-shaped (deviation about 0.03), and the same in each run of the same
arguments. Norm weights are ones.
Needs only the standard library. Suffixes: K, M, G are powers of 1024; KB, MB, GB of 1000.
"""

import argparse
import json
import os
import random
import re
import statistics
import struct
import sys

SEED = 20240214
BLOCK_BYTES = 1 << 25  # tensors are cut from one random block, each from its own place
STEP_BYTES = 7919 * 64  # how far apart those places are; 7919 is prime, so that they do not repeat
DEVIATION = 0.02
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
# safetensors name, bytes of an element, struct letter (bf16 is the upper half of an f32)
DTYPES = {"bf16": ("BF16", 2, "f"), "f16": ("F16", 2, "e"), "f32": ("F32", 4, "f")}


def parse_bytes(text):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(K|M|G|KB|MB|GB|)", text.upper())
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is no size; say 2G, 500M or 1000000")
    return int(float(match[1]) * UNITS[match[2]])


def layer_shapes(width, inner):
    square, up, down = [width, width], [inner, width], [width, inner]
    return {
        "input_layernorm.weight": [width],
        "mlp.down_proj.weight": down,
        "mlp.gate_proj.weight": up,
        "mlp.up_proj.weight": up,
        "post_attention_layernorm.weight": [width],
        "self_attn.k_proj.weight": square,
        "self_attn.o_proj.weight": square,
        "self_attn.q_proj.weight": square,
        "self_attn.v_proj.weight": square,
    }


def count(shape):
    product = 1
    for size in shape:
        product *= size
    return product


def plan(elements):
    """(width, inner, layers, vocabulary) of a Llama-like model with about `elements` weights."""
    best = None
    for step in range(1, 257):
        width = 16 * step if step < 16 else 64 * (step - 12)
        inner = width * 43 // 16 // 16 * 16  # 11008 / 4096, as in Llama
        vocabulary = min(32000, 16 * width)
        per_layer = sum(count(shape) for shape in layer_shapes(width, inner).values())
        rest = elements - 2 * vocabulary * width - width
        layers = rest // per_layer
        # Llama has 93 to 128 channels of width a layer; a small model may be deeper for its width.
        if not max(1, width // 256) <= layers <= max(8, width // 77):
            continue
        rows = (rest - layers * per_layer) // (2 * width)  # what is left goes to the vocabulary
        if best is None or (rows * width, -width) < best[0]:
            best = (rows * width, -width), (width, inner, layers, vocabulary + rows)
    if best is None:
        sys.exit("make_checkpoint: too small for a model; take at least 32K")
    return best[1]


def model_shapes(elements):
    width, inner, layers, vocabulary = plan(elements)
    shapes = {"model.embed_tokens.weight": [vocabulary, width]}
    for layer in range(layers):
        for name, shape in layer_shapes(width, inner).items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    shapes["model.norm.weight"] = [width]
    shapes["lm_head.weight"] = [vocabulary, width]
    return shapes


def random_block(size, letter, wanted):
    """Up to `wanted` random bytes; the top byte of each element has a sign and a likely exponent."""
    normal = statistics.NormalDist(0, DEVIATION)
    top = bytes(struct.pack(">" + letter, normal.inv_cdf((i + 0.5) / 256))[0] for i in range(256))
    block = bytearray(random.Random(SEED).randbytes(min(BLOCK_BYTES, -(-wanted // 2**20) * 2**20)))
    block[size - 1 :: size] = block[size - 1 :: size].translate(top)
    return memoryview(bytes(block))


def ones(shape, dtype):
    one = struct.pack("<e" if dtype == "f16" else "<f", 1.0)
    return (one[2:] if dtype == "bf16" else one) * count(shape)


def write_tensor(file, index, name, shape, dtype, block):
    if name.endswith("norm.weight"):
        file.write(ones(shape, dtype))
        return
    left = count(shape) * DTYPES[dtype][1]
    at = index * STEP_BYTES % len(block)
    while left > 0:
        part = block[at : at + left]
        file.write(part)
        left -= len(part)
        at = 0


def write_file(path, shapes, dtype, block):
    """Returns the tensors' bytes in all."""
    name_in_file, size, _ = DTYPES[dtype]
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + count(shape) * size
        header[name] = {"dtype": name_in_file, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb", buffering=0) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for index, (name, shape) in enumerate(shapes.items()):
            write_tensor(file, index, name, shape, dtype, block)
    return end


def split(shapes, shards):
    """The tensors in order, in `shards` parts of about equal size, none empty."""
    if shards > len(shapes):
        sys.exit(f"make_checkpoint: {shards} shards for {len(shapes)} tensors")
    total, done, parts = sum(map(count, shapes.values())), 0, [{}]
    for i, (name, shape) in enumerate(shapes.items()):
        full = parts[-1] and done >= total * len(parts) / shards
        if len(parts) < shards and (full or len(shapes) - i <= shards - len(parts)):
            parts.append({})
        parts[-1][name] = shape
        done += count(shape)
    return parts


def write_shards(folder, shapes, shards, dtype, block):
    os.makedirs(folder, exist_ok=True)
    weight_map, total = {}, 0
    for i, part in enumerate(split(shapes, shards), 1):
        shard = f"model-{i:05}-of-{shards:05}.safetensors"
        total += write_file(os.path.join(folder, shard), part, dtype, block)
        weight_map.update(dict.fromkeys(part, shard))
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump(index, file, indent=2, sort_keys=True)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out", help="file, or with --shards the folder")
    parser.add_argument("--bytes", type=parse_bytes, default="100M", help="size in all, about")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--shards", type=int, default=0, help="files beside an index; 0: one file")
    args = parser.parse_args()
    _, size, letter = DTYPES[args.dtype]
    shapes = model_shapes(args.bytes // size)
    block = random_block(size, letter, args.bytes)
    if args.shards > 0:
        write_shards(args.out, shapes, args.shards, args.dtype, block)
    else:
        write_file(args.out, shapes, args.dtype, block)


if __name__ == "__main__":
    main()
