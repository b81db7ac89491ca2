"""Writes labelled images for the demo: 16x16, gray, a stroke in one of four directions, and noise.

    make_example_data.py FOLDER [TRAINING_IMAGES [TEST_IMAGES]]    default 2000 and 500

Makes FOLDER/train.npz and FOLDER/test.npz with the arrays `images` and `labels`. Python's standard
library only; the same bytes on every run.
"""
import array
import io
import pathlib
import random
import struct
import sys
import zipfile

SIDE = 16
# A step along the stroke, by label: to the right, down, and along the diagonals.
DIRECTIONS = ((1, 0), (0, 1), (1, 1), (1, -1))
LENGTH = 7


def image(rng, label):
    pixels = bytearray(rng.randrange(0, 160) for _ in range(SIDE * SIDE))
    step_x, step_y = DIRECTIONS[label]
    x = rng.randrange(0, SIDE - (LENGTH - 1) * abs(step_x))
    y = rng.randrange(0, SIDE - (LENGTH - 1) * abs(step_y)) + (LENGTH - 1 if step_y < 0 else 0)
    ink = rng.randrange(110, 220)
    for i in range(LENGTH):
        at = (y + i * step_y) * SIDE + x + i * step_x
        pixels[at] = min(255, pixels[at] + ink)
    return bytes(pixels)


def npy(kind, shape, data):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def write(path, count, seed):
    rng = random.Random(seed)
    labels = array.array("q", (rng.randrange(len(DIRECTIONS)) for _ in range(count)))
    images = b"".join(image(rng, label) for label in labels)
    if sys.byteorder == "big":
        labels.byteswap()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in (("images", npy("|u1", (count, SIDE, SIDE), images)),
                           ("labels", npy("<i8", (count,), labels.tobytes()))):
            archive.writestr(zipfile.ZipInfo(name + ".npy"), data)
    path.write_bytes(buffer.getvalue())


def main():
    if len(sys.argv) not in (2, 3, 4):
        sys.exit("usage: make_example_data.py FOLDER [TRAINING_IMAGES [TEST_IMAGES]]")
    folder = pathlib.Path(sys.argv[1])
    counts = [int(a) for a in sys.argv[2:]] + [2000, 500][len(sys.argv) - 2:]
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.npz", counts[0], seed=1)
    write(folder / "test.npz", counts[1], seed=2)


if __name__ == "__main__":
    main()
