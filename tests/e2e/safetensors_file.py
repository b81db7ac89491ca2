"""A reader and writer of safetensors files that shares nothing with the program's."""

import json
import struct

import numpy as np

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16,
          "I64": np.int64, "I32": np.int32, "I8": np.int8, "U8": np.uint8, "BOOL": np.bool_,
          "F8_E4M3": np.uint8}


def write(path, tensors, metadata=None, pad=0):
    """`tensors`: name -> (dtype name, array)."""
    header, end = {}, 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, array) in tensors.items():
        assert array.dtype == DTYPES[dtype]
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode() + b" " * pad
    path.write_bytes(struct.pack("<Q", len(text)) + text
                     + b"".join(array.tobytes() for _, array in tensors.values()))
    return path


def read_header(path):
    """(header bytes, parsed header, where the data begins)"""
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        text = file.read(length)
    assert len(text) == length
    return text, json.loads(text), 8 + length


def read(path):
    """name -> array; every byte after the header must belong to one tensor."""
    _, header, data = read_header(path)
    header.pop("__metadata__", None)
    tensors, covered = {}, 0
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = np.memmap(path, DTYPES[entry["dtype"]], "r", data + begin, tuple(entry["shape"]))
        assert array.nbytes == end - begin, name
        covered += array.nbytes
        tensors[name] = array
    assert covered == path.stat().st_size - data
    return tensors


def as_float(array):
    """bfloat16 bits as float32; other floats unchanged."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array
