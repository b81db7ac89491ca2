"""What PyTorch writes and reads, for pth_torch_test.cc.

    pth_torch.py write FOLDER   files, raw bytes of their tensors, and a list of both
    pth_torch.py zeros FOLDER   that flat.pth and flat.old have zeros for "transposed" in new.pth and new.old
    pth_torch.py check FILE...  prints what torch.load() finds, once with weights_only where it is known
"""
import inspect
import pathlib
import sys
import zipfile

import torch


def raw(tensor):
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def tensors():
    torch.manual_seed(1)
    base = torch.randn(6, 8)
    found = {"matrix": base, "transposed": base.t(), "slice": base[1:5:2, 3:], "scalar": base[2, 3],
             "expanded": base[:, :1].expand(6, 4), "permuted": torch.randn(2, 3, 4, 5).permute(3, 1, 0, 2),
             "channels_last": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
             "empty": torch.empty(0, 3), "parameter": torch.nn.Parameter(torch.randn(3))}
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int16,
                  torch.int32, torch.int64, torch.bool, torch.complex64, torch.complex128):
        found[str(dtype)[6:]] = (torch.randn(5) * 9).to(dtype)
    return found


def write(folder):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    flat = tensors()
    nested = {"epoch": 3, "lr": 0.1, "big": 2**70, "negative": -5, "long": 2**40, "none": None,
              "arch": "r\u00e9snet", "flag": True, "size": torch.Size([1, 2]), "dtype": torch.float32,
              "device": torch.device("cpu"), "set": {1}, "bytes": b"ab\xff",
              "state_dict": model.state_dict(), "optimizer": optimizer.state_dict(),
              "list": [flat["matrix"], (flat["slice"], 1)]}
    lines = []

    def note(file, place, value):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            if isinstance(item, torch.Tensor):
                path = folder / f"{len(lines)}.raw"
                path.write_bytes(raw(item))
                shape = "x".join(str(side) for side in item.shape) or "scalar"
                lines.append(f"{file}|{'/'.join(place)}|{name}|{str(item.dtype)[6:]}|{shape}|{path.name}")
            elif isinstance(item, (dict, list, tuple)):
                note(file, place + [str(name)], item)

    for file, value, options in (
            ("flat.pth", flat, {}), ("nested.pth", nested, {}), ("four.pth", nested, {"pickle_protocol": 4}),
            ("flat.old", flat, {"_use_new_zipfile_serialization": False}),
            ("nested.old", nested, {"_use_new_zipfile_serialization": False})):
        torch.save(value, folder / file, **options)
        note(file, [], value)
    torch.jit.script(model).save(folder / "script.pt")
    torch.save(model, folder / "model.pth")
    torch.save({"w": torch.eye(3).to_sparse()}, folder / "sparse.pth")
    (folder / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def check(files):
    ways = [{}]
    if "weights_only" in inspect.signature(torch.load).parameters:
        ways = [{"weights_only": True}, {"weights_only": False}]
    for file in files:
        for way in ways:
            for name, tensor in torch.load(file, **way).items():
                assert not tensor.requires_grad and tensor.is_contiguous()
                print(name, str(tensor.dtype)[6:], "x".join(map(str, tensor.shape)), raw(tensor).hex())


def zeros(folder):
    assert zipfile.ZipFile(folder / "new.pth").testzip() is None
    for kind in ("pth", "old"):
        was, now = torch.load(folder / f"flat.{kind}"), torch.load(folder / f"new.{kind}")
        assert list(was) == list(now)
        for name, tensor in now.items():
            if name in ("matrix", "transposed", "slice", "scalar", "expanded"):  # one storage
                assert not tensor.any(), name
            else:
                assert raw(tensor) == raw(was[name]), name


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(pathlib.Path(sys.argv[2]))
    elif sys.argv[1] == "zeros":
        zeros(pathlib.Path(sys.argv[2]))
    else:
        check(sys.argv[2:])
