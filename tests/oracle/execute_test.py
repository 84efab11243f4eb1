"""baechi-place run against PyTorch: the same models in Python give the same outputs and gradients, whatever the placement."""
import json
import os
import pathlib
import random
import subprocess

import pytest
import torch
from safetensors.torch import load_file

BIN = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"]) / "bin" / "baechi-place"
torch.set_num_threads(1)


class Residual(torch.nn.Module):
    """Convolutions, batch norm, writes in place, a shared layer, several outputs."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(inplace=True))
        self.body = torch.nn.ModuleList([torch.nn.Conv2d(8, 8, 3, padding=1) for _ in range(2)])
        self.shared = torch.nn.Linear(8, 8)
        self.drop = torch.nn.Dropout(0.3)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, image):
        x = self.stem(image)
        for layer in self.body:
            y = layer(x)
            y += x
            x = torch.relu_(y)
        pooled = torch.flatten(torch.nn.functional.adaptive_avg_pool2d(x, 1), 1)
        hidden = self.shared(torch.tanh(self.shared(pooled)))
        return self.head(self.drop(hidden)), hidden.mean(1)


class Attention(torch.nn.Module):
    """Embedding, attention with views and chunks, layer norm, tied output weights, control flow on shapes."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(50, 16)
        self.qkv = torch.nn.Linear(16, 48)
        self.norm = torch.nn.LayerNorm(16)
        self.register_buffer("scale", torch.tensor(0.25))

    def forward(self, ids):
        x = self.embedding(ids)
        for _ in range(2):
            q, k, v = self.qkv(x).view(x.size(0), x.size(1), 4, 12).transpose(1, 2).chunk(3, dim=-1)
            mask = torch.ones(ids.size(1), ids.size(1)).tril().eq(0)
            score = (q @ k.transpose(-2, -1) * self.scale).masked_fill(mask, -1e9)
            mixed = torch.softmax(score, -1) @ v
            x = self.norm(x + mixed.transpose(1, 2).reshape(x.size(0), x.size(1), -1))
        return x @ self.embedding.weight.t()


MODELS = {"residual": (Residual, lambda: torch.randn(2, 3, 8, 8), "2x3x8x8"),
          "attention": (Attention, lambda: torch.randint(50, (3, 7)), "3x7/i64:50")}


def write(kind, how, folder):
    torch.manual_seed(3)
    make, example, spec = MODELS[kind]
    model = make().eval()
    if how == "script":
        path = folder / "model.pt"
        torch.jit.script(model).save(path)
    elif how == "trace":
        path = folder / "model.ts"
        torch.jit.trace(model, example()).save(path)
    else:
        path = folder / "model.pt2"
        torch.export.save(torch.export.export(model, (example(),)), path)
    return model, path, spec


def orchard(*arguments):
    done = subprocess.run([BIN, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def random_placement(graph, devices, seed, path):
    """Devices at random, one for each set of operators that share a group."""
    draw, of_group = random.Random(seed), {}
    assign = {}
    for op in graph["ops"]:
        groups = op.get("groups", [])
        known = [of_group[g] for g in groups if g in of_group]
        assign[op["name"]] = known[0] if known else draw.randrange(devices)
        for group in groups:
            of_group[group] = assign[op["name"]]
    path.write_text(json.dumps({"assign": assign}))
    return path


def loss(outputs):
    """Gradients start from half the mean square of each output."""
    return sum(0.5 * (o * o).mean() if o.numel() > 1 else o.sum() for o in outputs)


@pytest.mark.parametrize("how", ["script", "trace", "export"])
@pytest.mark.parametrize("kind", MODELS)
def test_outputs_and_gradients_are_those_of_pytorch(kind, how, tmp_path):
    model, path, spec = write(kind, how, tmp_path)
    graph_path = tmp_path / "graph.json"
    orchard("profile", path, "-o", graph_path, "--input", spec, "--rounds", 1, "--warmup", 0, "--no-progress")
    graph = json.loads(graph_path.read_text())
    placement = random_placement(graph, 3, f"{kind} {how}", tmp_path / "placement.json")
    results = tmp_path / "results.safetensors"
    summary = json.loads(orchard("run", path, placement, "--graph", graph_path, "--input", spec, "--devices", 3, "--train", "sgd",
                                 "--steps", 1, "--warmup", 0, "--no-progress", "--results", results, "--json"))
    assert summary["passed"] and summary["one_device"]["same_bits"]
    tensors = load_file(results)
    outputs = model(tensors["input0"])
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for k, output in enumerate(outputs):
        assert torch.allclose(tensors[f"output{k}"], output, rtol=1e-5, atol=1e-6)
    loss(outputs).backward()
    for name, parameter in model.named_parameters():
        assert torch.allclose(tensors[f"gradient.{name}"], parameter.grad, rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("how", ["script", "trace", "export"])
def test_parameters_are_counted_once(how, tmp_path):
    model, path, spec = write("attention", how, tmp_path)
    graph_path = tmp_path / "graph.json"
    orchard("profile", path, "-o", graph_path, "--input", spec, "--rounds", 1, "--warmup", 0, "--no-progress")
    graph = json.loads(graph_path.read_text())
    trained = sum(4 * p.numel() for p in model.parameters())
    # The mask and the scale are state of 4 bytes to 200 bytes that each reader has.
    assert trained <= sum(op["perm"] for op in graph["ops"]) <= trained + 1000
