"""`--algo accelerate` against the library whose rule it is: get_balanced_memory and infer_auto_device_map of PyPI accelerate.

An operator is a leaf module of a class of its own, which must not be split, with as many bytes of parameters as the operator has. Where the
library leaves a module to the CPU, the rule keeps it on the last device."""
import json
import os
import pathlib
import random
import subprocess

import pytest
import torch
from accelerate import infer_auto_device_map
from accelerate.utils import get_balanced_memory

ALLOCATION = 512  # bytes; what baechi-place rounds memory up to, and accelerate does not
BIN = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"]) / "bin" / "baechi-place"


def model_of(sizes):
    """Leaf modules m0, m1, ... in the order of definition, on no device."""
    model = torch.nn.Module()
    for i, size in enumerate(sizes):
        leaf = type(f"Leaf{i}", (torch.nn.Module,), {})()
        if size:
            leaf.weight = torch.nn.Parameter(torch.empty(size, dtype=torch.int8, device="meta"), requires_grad=False)
        model.add_module(f"m{i}", leaf)
    return model


def theirs(sizes, devices, memory):
    model = model_of(sizes)
    classes = [f"Leaf{i}" for i in range(len(sizes))]
    limits = get_balanced_memory(model, {**{d: memory for d in range(devices)}, "cpu": 2**60}, no_split_module_classes=classes)
    device_map = infer_auto_device_map(model, limits, no_split_module_classes=classes, clean_result=False)
    return [devices - 1 if device_map[f"m{i}"] == "cpu" else device_map[f"m{i}"] for i in range(len(sizes))]


def ours(folder, sizes, devices, memory):
    """None where the placement does not fit."""
    graph = {"format": "baechi-graph", "version": 1, "meta": {},
             "ops": [{"name": f"m{i}", "us": 1, "perm": size, "out": [0]} for i, size in enumerate(sizes)],
             "edges": [{"src": f"m{i - 1}", "dst": f"m{i}", "tensor": f"m{i - 1}:0", "bytes": 0} for i in range(1, len(sizes))]}
    (folder / "g.json").write_text(json.dumps(graph))
    done = subprocess.run([BIN, "place", folder / "g.json", "-o", folder / "p.json", "--force", "--algo", "accelerate", "--group", "none", "--no-fuse",
                           "--devices", str(devices), "--memory", str(memory), "--json", "--no-progress"], capture_output=True, text=True)
    if done.returncode == 4:
        return None
    assert done.returncode == 0, done.stderr
    placement = json.loads((folder / "p.json").read_text())
    return [int(placement["assign"][f"m{i}"].removeprefix("device")) for i in range(len(sizes))]


@pytest.mark.parametrize("kind", ["equal", "uniform", "one large", "many empty", "growing"])
def test_random_models_are_divided_as_accelerate_divides_them(tmp_path, kind):
    rng = random.Random(kind)
    compared = used = 0
    for _ in range(25):
        modules = rng.randrange(1, 30)
        sizes = {"equal": [100] * modules,
                 "uniform": [rng.randrange(1, 1000) for _ in range(modules)],
                 "one large": [rng.randrange(1, 50) for _ in range(modules)] + [rng.randrange(300, 900)],
                 "many empty": [rng.choice([0, 0, rng.randrange(1, 1000)]) for _ in range(modules)] + [7],
                 "growing": [1 + 10 * i for i in range(modules)]}[kind]
        sizes = [ALLOCATION * size for size in sizes]
        devices = rng.randrange(1, 6)
        total = sum(sizes)
        memory = rng.choice([10 * total, total, int(total / devices * 1.5) + max(sizes), int(total / devices) + max(sizes) // 2])
        if (placed := ours(tmp_path, sizes, devices, memory)) is None:
            continue
        assert placed == theirs(sizes, devices, memory), (sizes, devices, memory)
        compared += 1
        used += len(set(placed)) > 1
    assert compared >= 15 and used >= 3
