"""The parts of expanded weights, computed anew from docs/methods/lemon-expand.md: the random numbers, the projection and the grid."""

import numpy
import pytest
import torch
from safetensors.torch import load_file

from expand_test import DECODERS, case_of, expand, make, save

MASK = (1 << 64) - 1
SEED = 7
SIGMA = 0.02 * 0.1  # LLaMA's initialiser range times the base for text


def mix(z):
    """The finaliser of SplitMix64."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def key_of(seed, name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    z = mix(seed + 0x9E3779B97F4A7C15 * (mix(h) + 1) & MASK)
    return z & 0xFFFFFFFF, z >> 32


def philox(key, counter):
    """Philox4x32-10 (Salmon et al. 2011) of blocks `counter`: [blocks, 4] words."""
    low = numpy.uint64(0xFFFFFFFF)
    c = [counter & low, counter >> numpy.uint64(32), counter * 0, counter * 0]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = numpy.uint64(0xD2511F53) * c[0], numpy.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> numpy.uint64(32)) ^ c[1] ^ numpy.uint64(k0), p1 & low, (p0 >> numpy.uint64(32)) ^ c[3] ^ numpy.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return numpy.stack(c, axis=1)


def noise(name, shape):
    """The noise integer of every element of a tensor."""
    count = int(numpy.prod(shape))
    words = philox(key_of(SEED, name), numpy.arange((count + 3) // 4, dtype=numpy.uint64)).reshape(-1)[:count]
    total = sum(weight * ((words >> numpy.uint64(8 * i)) & numpy.uint64(255)).astype(numpy.int64) for i, weight in enumerate([64, 63, 62, 61]))
    return (total - 31875).reshape(shape)


def grown(tmp_path, dtype, split, times):
    """Source and target of `gate_proj`, whose rows and columns are copied `times`, as tensors."""
    config, kind, settings = case_of(DECODERS, "llama")
    small = make(config(**settings), kind).to(dtype)
    source = save(small, tmp_path / "small")
    flags = ["--hidden", times * settings["hidden_size"], "--heads", times * settings["num_attention_heads"],
             "--kv-heads", times * settings["num_key_value_heads"], "--ffn", times * settings["intermediate_size"]]
    expand(source, tmp_path / "big", *flags, "--split", split, "--seed", SEED)
    name = "model.layers.0.mlp.gate_proj.weight"
    weight = load_file(source / "model.safetensors")[name]
    return name, weight.repeat(times, 1), load_file(tmp_path / "big/model.safetensors")[name]


UNIT = SIGMA / numpy.sqrt((64**2 + 63**2 + 62**2 + 61**2) * (2**16 - 1) / 12)


@pytest.mark.parametrize("times", [2, 3, 5])
def test_projection_in_f64(times, tmp_path):
    name, weight, target = grown(tmp_path, torch.float64, "projection", times)
    n = noise(name, target.shape).reshape(len(weight), times, -1)  # copy k of column j stands at k D + j
    parts = UNIT * (n - n.mean(axis=1, keepdims=True)) + weight.numpy()[:, None, :] / times
    numpy.testing.assert_allclose(target.numpy().reshape(parts.shape), parts, rtol=0, atol=1e-15)


@pytest.mark.parametrize("times", [2, 3])
def test_grid_in_bf16(times, tmp_path):
    name, weight, target = grown(tmp_path, torch.bfloat16, "grid", times)
    w = weight.double().numpy()
    n = noise(name, target.shape).reshape(len(weight), times, -1)
    spacing = 2.0 ** (numpy.floor(numpy.log2(numpy.abs(w))) - 7)
    cap, rest = 2.0**8 * spacing, w.copy()
    parts = target.double().numpy().reshape(n.shape)
    different = 0
    for k in range(times - 1):
        aim = UNIT * (n[:, k] - n.mean(axis=1)) + w / times
        part = numpy.rint(numpy.clip(aim, -cap, cap) / spacing) * spacing
        part = numpy.clip(part, rest - (times - 1 - k) * cap, rest + (times - 1 - k) * cap)
        # The program aims in f32: now and then it takes the other neighbour of a tie.
        assert (numpy.abs(parts[:, k] - part) <= spacing).all()
        different += (parts[:, k] != part).sum()
        rest -= parts[:, k]
    numpy.testing.assert_array_equal(parts[:, -1], rest)
    assert different <= 0.01 * w.size
