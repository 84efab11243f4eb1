"""The language models of cser-train against transformers' GPT-2: the same loss on the test text, and the same steps of training."""

import json
import os
import subprocess

import numpy as np
import pytest
import torch
import transformers as tf
from safetensors.torch import load_file

PROGRAM = os.path.join(os.environ["ORCHARD_BUILD_DIR"], "bin", "cser-train")
CONTEXT, WINDOWS = 16, 24


WORDS = b"the old orchard stands behind the house and the apples of the orchard are red ".split()


def text(size):
    count = size // 4
    return b" ".join(WORDS[(i * i // 7 + i) % len(WORDS)] for i in range(count))[:size]


def train(folder, data, *more):
    path = folder / "text"
    path.write_bytes(data)
    command = [PROGRAM, "simulate", "--kind", "text", "--path", path, "--context", CONTEXT, "--arch", "gpt2:2-24-4", "--threads", 1, "--out",
               folder / "run", "--no-progress", *more]
    done = subprocess.run([str(c) for c in command], capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def windows(data):
    """[N, CONTEXT] inputs and the byte after each."""
    count = (len(data) - 1) // CONTEXT
    stream = torch.from_numpy(np.frombuffer(data, dtype=np.uint8).astype(np.int64))
    return stream[: count * CONTEXT].view(count, CONTEXT), stream[1 : count * CONTEXT + 1].view(count, CONTEXT)


def loss_of(model, data):
    inputs, labels = windows(data)
    logits = model(input_ids=inputs).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())


@pytest.mark.parametrize("ranks", [1, 2])
def test_transformers_reads_the_model_and_finds_the_same_loss(tmp_path, ranks):
    data = text(4000)
    run = train(tmp_path, data, "--ranks", ranks, "--batch", 4, "--max-steps", 40, "--base", "adamw", "--lr", "0.01", "--ratio", "4")
    model = tf.GPT2LMHeadModel.from_pretrained(run / "final").eval()
    result = json.loads((run / "summary.json").read_text())["result"]
    held_out = data[len(data) - round(len(data) * 0.1):]
    with torch.no_grad():
        loss = loss_of(model, held_out).item()
    assert loss < 3.5  # guessing is log(256) = 5.5: it has learned, so that the numbers say something
    assert abs(loss - result["test_loss"]) < 2e-6 * loss
    assert abs(loss / np.log(2) - result["bits_per_byte"]) < 1e-5


def test_steps_of_training_are_those_of_torch(tmp_path):
    # A batch is all of the text, so that its order does not matter.
    data = text(CONTEXT * WINDOWS + 1)
    test = tmp_path / "test"
    test.write_bytes(text(CONTEXT + 1))
    steps = 12
    run = train(tmp_path, data, "--test", test, "--ranks", 1, "--algo", "sgd", "--batch", WINDOWS, "--max-steps", steps, "--epochs", 99, "--lr",
                "0.2", "--schedule", "constant", "--momentum", "0.9", "--weight-decay", "0.001", "--save-every", 1)
    model = tf.GPT2LMHeadModel.from_pretrained(run / "final").train()
    checkpoint = sorted((run / "checkpoints").glob("step-*"))[-1]
    assert json.loads((checkpoint / "state.json").read_text())["state"]["epoch"] == steps - 1
    start = load_file(checkpoint / "averaged.safetensors")
    momentum, at = load_file(checkpoint / "rank00000.safetensors")["momentum"], 0
    end = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(start, strict=False)
    model.tie_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=0.001, nesterov=True)
    named = dict(model.named_parameters())
    for parameter in named.values():  # tensors of the arena in the order of their use, each padded to 32 numbers
        optimizer.state[parameter]["momentum_buffer"] = momentum[at : at + parameter.numel()].view(parameter.shape).clone()
        at += -(-parameter.numel() // 32) * 32
    assert at == momentum.numel()
    loss_of(model, data).backward()
    optimizer.step()
    for name, parameter in named.items():
        moved = (end[name] - start[name]).abs().max().item()
        assert moved > 1e-5, name
        assert (parameter.detach() - end[name]).abs().max().item() < 2e-4 * moved + 1e-6, name
