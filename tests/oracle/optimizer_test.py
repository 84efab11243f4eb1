"""AdamW, SGD and clipping against torch.optim and torch.nn.utils.clip_grad_norm_."""

import os
import subprocess

import pytest
import torch

COUNT, STEPS = 97, 30
DRIVER = os.path.join(os.environ["ORCHARD_BUILD_DIR"], "tests", "orchard-optimize")


def ours(kind, dtype):
    text = subprocess.run([DRIVER, kind, dtype, str(STEPS)], check=True, capture_output=True, text=True).stdout
    rows = torch.tensor([[float(x) for x in line.split()] for line in text.splitlines()], dtype=torch.float64)
    return rows[:, 0], rows[:, 1:]


def peer(kind, dtype):
    index = torch.arange(COUNT, dtype=torch.float64)
    w = torch.nn.Parameter(((index * 13).remainder(31) / 8 - 2).to(dtype))
    if kind == "adamw":
        optimizer = torch.optim.AdamW([w], lr=1.0, weight_decay=0.05)
    else:
        optimizer = torch.optim.SGD([w], lr=1.0, momentum=0.9, weight_decay=0.05, nesterov=kind == "nesterov")
    norms, weights = [], []
    for step in range(1, STEPS + 1):
        w.grad = ((index * 37 + step * 101).remainder(89) / 16 - 2.5).to(dtype)
        norms.append(torch.nn.utils.clip_grad_norm_([w], 10.0).double())
        optimizer.param_groups[0]["lr"] = 0.01 / step
        optimizer.step()
        weights.append(w.detach().double().clone())
    return torch.stack(norms), torch.stack(weights)


@pytest.mark.parametrize("kind", ["adamw", "sgd", "nesterov"])
@pytest.mark.parametrize("dtype, tolerance", [("f64", 1e-13), ("f32", 2e-6)])
def test_steps_equal_those_of_torch(kind, dtype, tolerance):
    norms, weights = ours(kind, dtype)
    peer_norms, peer_weights = peer(kind, torch.float64 if dtype == "f64" else torch.float32)
    assert (weights[-1] - weights[0]).abs().max() > 0.01
    torch.testing.assert_close(norms, peer_norms, rtol=tolerance, atol=0)
    torch.testing.assert_close(weights, peer_weights, rtol=0, atol=tolerance)
