#!/usr/bin/env python3
"""What PyTorch does, for sparsifier_apex_test.cc and learning_rate_test.cc: apex's ASP re-implemented,
and learning rates.

    torch_reference.py steps FOLDER   trains from the weights in FOLDER, masks at a third of the steps
    torch_reference.py state FOLDER   loads FOLDER/ours.pt into a module with ASP's buffers, writes theirs.pt
    torch_reference.py rates FILE     learning rates of 100 steps by four schedulers, float64

Masks are those of apex.contrib.sparsity: m4n2_1d, the best of six by the sum of magnitudes; the
optimizer's step is grad * mask, step, weight * mask.
"""
import itertools
import pathlib
import sys

import torch
from torch import nn

STEPS = 12
SPARSE = ("conv", "fc")


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.conv = nn.Conv2d(16, 32, 3)
        self.fc = nn.Linear(32, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        features = torch.relu(self.conv(torch.relu(self.stem(x))))
        return self.head(torch.relu(self.fc(features.mean((2, 3)))))


def best_of_six(matrix):
    patterns = torch.tensor([[1.0 if i in kept else 0.0 for i in range(4)]
                             for kept in itertools.combinations(range(4), 2)])
    groups = matrix.reshape(-1, 4).abs()
    return patterns[torch.argmax(groups @ patterns.t(), dim=1)].reshape(matrix.shape).bool()


def mask_of(weight):
    if weight.dim() == 2:
        return best_of_six(weight)
    k, c, r, s = weight.shape
    flat = weight.permute(2, 3, 0, 1).contiguous().view(r * s * k, c)
    return best_of_six(flat).view(r, s, k, c).permute(2, 3, 0, 1).contiguous()


def make_optimizer(name, parameters):
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, foreach=False)
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-3,
                           nesterov=name == "nesterov", foreach=False)


def read(path, shape):
    return torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32).reshape(shape).clone()


def train(folder, name):
    net = SmallNet()
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            parameter.copy_(read(folder / f"{key}.in", parameter.shape))
    inputs, targets = read(folder / "input", (6, 3, 8, 8)), read(folder / "target", (6, 10))
    optimizer = make_optimizer(name, net.parameters())
    sparse = [[layer, getattr(net, layer).weight, None] for layer in SPARSE]
    for entry in sparse:
        entry[2] = torch.ones_like(entry[1]).bool()
    for step in range(STEPS):
        if step == STEPS // 3:
            with torch.no_grad():
                for entry in sparse:
                    entry[2] = mask_of(entry[1])
                    entry[1].mul_(entry[2])
        optimizer.zero_grad()
        nn.functional.mse_loss(net(inputs), targets).backward()
        with torch.no_grad():
            for _, weight, mask in sparse:
                weight.grad.mul_(mask)
        optimizer.step()
        with torch.no_grad():
            for _, weight, mask in sparse:
                weight.mul_(mask)
    out = folder / name
    out.mkdir()
    for key, parameter in net.named_parameters():
        value = parameter.detach()
        if key.split(".")[0] in SPARSE and key.endswith("weight"):
            value = value + 0.0  # apex leaves -0.0 where it drops a negative weight
        (out / f"{key}.out").write_bytes(value.contiguous().numpy().tobytes())
    for layer, _, mask in sparse:
        (out / f"{layer}.mask").write_bytes(mask.contiguous().numpy().tobytes())


def exchange(folder):
    state = torch.jit.load(str(folder / "ours.pt")).state_dict()
    net = SmallNet()
    for layer in SPARSE:
        module = getattr(net, layer)
        module.register_buffer("__weight_mma_mask", torch.ones_like(module.weight).bool())
        module.register_buffer("__weight_mma_pruned_p", torch.zeros_like(module.weight).cpu())
    net.load_state_dict(state, strict=True)
    for layer in SPARSE:
        module = getattr(net, layer)
        mask = module._buffers["__weight_mma_mask"]
        pruned = module._buffers["__weight_mma_pruned_p"]
        assert mask.dtype == torch.bool and mask.sum() * 2 == mask.numel(), layer
        assert not (pruned.bool() & mask).any() and pruned.bool().sum() * 2 == mask.numel(), layer
        assert torch.equal(mask, mask_of(module.weight + pruned)), layer
    torch.jit.script(net).save(str(folder / "theirs.pt"))


def rates(path):
    schedulers = torch.optim.lr_scheduler
    values = []
    for make in (lambda o: schedulers.CosineAnnealingLR(o, T_max=99, eta_min=0.01),
                 lambda o: schedulers.StepLR(o, step_size=30, gamma=0.3),
                 lambda o: schedulers.MultiStepLR(o, milestones=[20, 70], gamma=0.1),
                 lambda o: schedulers.LinearLR(o, start_factor=0.25, total_iters=40)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
        scheduler = make(optimizer)
        for _ in range(100):
            values.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    path.write_bytes(torch.tensor(values, dtype=torch.float64).numpy().tobytes())


def main():
    torch.set_num_threads(1)
    task, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if task == "rates":
        rates(folder)
        return
    if task == "state":
        exchange(folder)
        return
    for name in ("momentum", "nesterov", "adamw"):
        train(folder, name)


if __name__ == "__main__":
    main()
