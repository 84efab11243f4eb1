"""Small random models of transformers, and their outputs in true float64, to compare Orchard's forward pass with.

transformers rounds parts of a float64 model to float32 (RMSNorm, softmax, router). `widened` lifts that, except in the rotary
tables: those are float32 in every deployed model, and Orchard keeps them so.
"""

import contextlib
import os
import subprocess

import torch
import transformers
from safetensors.torch import load_file, save_file

FORWARD = os.path.join(os.environ["ORCHARD_BUILD_DIR"], "tests", "orchard-forward")


def randomise(model, seed=0):
    """Weights large enough that every part of the model matters; gains away from 1, biases away from 0."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            is_gain = value.ndim == 1 and name.endswith("weight") or "lambda" in name
            value.copy_(1 + 0.3 * noise if is_gain else 0.3 * noise)
    return model


@contextlib.contextmanager
def narrow():
    """The inside of `widened`, undone."""
    saved = torch.float32, torch.Tensor.float
    torch.float32, torch.Tensor.float = narrow.float32, narrow.to_float
    torch.float = torch.float32
    try:
        yield
    finally:
        torch.float32, torch.Tensor.float = saved
        torch.float = torch.float32


narrow.float32, narrow.to_float = torch.float32, torch.Tensor.float


@contextlib.contextmanager
def widened(model):
    """Makes every explicit cast to float32 in transformers' Python code a cast to float64."""
    for module in model.modules():
        if type(module).__name__.endswith("RotaryEmbedding"):
            inner = module.forward

            def forward(*args, inner=inner, **kwargs):
                with narrow():
                    return inner(*args, **kwargs)

            module.forward = forward
    torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double
    torch.float = torch.float64
    try:
        yield
    finally:
        torch.float32, torch.Tensor.float = narrow.float32, narrow.to_float
        torch.float = narrow.float32


def rounded_frequencies(model):
    """`double()` keeps the float32 values of the rotary frequencies; nothing to do, but make sure."""
    for name, buffer in model.named_buffers():
        if name.endswith("inv_freq"):
            assert torch.equal(buffer.float().double(), buffer.double()), name
    return model


def save(model, directory):
    """As `save_pretrained`, with the weights in float64."""
    model.save_pretrained(directory)
    return directory


def run_orchard(directory, inputs, tmp_path, dtype="f64"):
    """Outputs of orchard-forward; raises with its message when it fails."""
    into, out = str(tmp_path / "in.safetensors"), str(tmp_path / "out.safetensors")
    save_file({name: value.contiguous() for name, value in inputs.items()}, into)
    done = subprocess.run([FORWARD, str(directory), into, out, dtype], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr}")
    return load_file(out)


def peer_inputs(inputs):
    names = {"tokens": "input_ids", "types": "token_type_ids", "images": "pixel_values", "attention_mask": "attention_mask"}
    return {names[name]: value for name, value in inputs.items()}


def run_peer(model, inputs):
    rounded_frequencies(model)
    model.eval()
    with torch.no_grad(), widened(model):
        return model(**peer_inputs(inputs), output_hidden_states=True)


def make(config, kind, seed=0):
    """A random float64 model of class `kind` (name in transformers) with eager attention and experts."""
    config._attn_implementation = config._experts_implementation = "eager"
    return randomise(getattr(transformers, kind)(config).double(), seed)


def max_relative(ours, theirs):
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert torch.isfinite(theirs).all()
    return ((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()).item()
