"""Expanded checkpoints, loaded and run by transformers itself: the big model must compute the small one's outputs in float64."""

import json
import os
import subprocess

import pytest
import torch
import transformers as tf
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from forward_peers import make, max_relative, run_peer, save
from forward_test import DECODERS, ENCODERS, IMAGES, tokens

LEMON = os.path.join(os.environ["ORCHARD_BUILD_DIR"], "bin", "lemon-expand")
EXACT = 1e-11  # of the largest logit: float64 rounding
EPSILON = 2e-3  # of the small models: Post-LN depth is exact up to epsilon


def expand(source, target, *flags):
    done = subprocess.run([LEMON, "expand", str(source), str(target), "--json", "--no-progress", *map(str, flags)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def load(directory, kind):
    """The expanded model as transformers reads it; fails when a weight is missing or superfluous."""
    model, info = getattr(tf, kind).from_pretrained(directory, dtype=torch.float64, output_loading_info=True,
                                                    attn_implementation="eager", experts_implementation="eager")
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"], info
    return model


def deviation(case, inputs, tmp_path, *flags):
    """Largest difference of the outputs of the expanded model, relative to the largest logit."""
    config, kind, settings = case
    small = make(config(**settings), kind)
    source = save(small, tmp_path / "small")
    expand(source, tmp_path / "big", *flags)
    theirs = run_peer(load(tmp_path / "big", kind), inputs).logits
    return max_relative(theirs, run_peer(load(source, kind), inputs).logits)


def compare(case, inputs, tmp_path, tolerance, *flags):
    assert deviation(case, inputs, tmp_path, *flags) < tolerance


def case_of(cases, name, **settings):
    config, kind, given = cases[name]
    return config, kind, dict(given, **settings)


# Sizes that follow the rules of each family: whole copies, then widths, heads and hidden units that leave a remainder.
DOUBLE = ["--hidden", 48, "--heads", 12, "--kv-heads", 4, "--ffn", 80, "--layers", 6]
UNEVEN = ["--hidden", 56, "--heads", 14, "--kv-heads", 7, "--ffn", 100, "--layers", 4]
GROUPED = ["--hidden", 48, "--heads", 12, "--kv-heads", 2, "--ffn", 44, "--layers", 8]
GATED = ["llama", "llama_tied_llama3_rope", "mistral_window", "qwen2_some_windows", "qwen3", "qwen3_layer_types", "gemma", "gemma2",
         "gemma2_uncapped"]


@pytest.mark.parametrize("flags", [DOUBLE, UNEVEN, GROUPED], ids=["double", "uneven", "grouped"])
@pytest.mark.parametrize("name", GATED)
def test_gated_decoders(name, flags, tmp_path):
    compare(DECODERS[name], {"tokens": tokens()}, tmp_path, EXACT, *flags)


@pytest.mark.parametrize("name", ["llama_tied_llama3_rope", "gpt2"])
def test_untied_heads(name, tmp_path):
    flags = ["--hidden", 72, "--layers", 4, "--untie"]
    compare(DECODERS[name], {"tokens": tokens()}, tmp_path, EXACT, *flags)


@pytest.mark.parametrize("depth_type", ["zero", "cancel"])
@pytest.mark.parametrize("placement", ["last", "interpolate", "stack", "llama-pro"])
def test_placements(placement, depth_type, tmp_path):
    flags = ["--layers", 6, "--hidden", 56, "--heads", 14, "--kv-heads", 7, "--placement", placement, "--depth-type", depth_type]
    compare(DECODERS["llama"], {"tokens": tokens()}, tmp_path, EXACT, *flags)


@pytest.mark.parametrize("split", ["grid", "projection", "complement", "equal"])
def test_splits(split, tmp_path):
    compare(DECODERS["gpt2"], {"tokens": tokens()}, tmp_path, EXACT, "--hidden", 54, "--layers", 5, "--split", split)


# Hidden and heads are tied together: heads follow.
@pytest.mark.parametrize("name,hidden", [("gpt2", 54), ("gpt2", 72), ("gpt_neox", 56), ("gpt_neox_sequential", 80), ("opt", 72),
                                         ("phi3", 48), ("gpt2_inner_scales", 48)])
def test_tied_widths(name, hidden, tmp_path):
    flags = ["--hidden", hidden, "--ffn", 100] + ([] if name == "gpt2_inner_scales" else ["--layers", 5])
    compare(DECODERS[name], {"tokens": tokens()}, tmp_path, EXACT, *flags)


# OPT's epsilon is fixed in code: a padded width is exact up to epsilon (1 - s) / (2 variance).
def test_fixed_epsilon(tmp_path):
    compare(DECODERS["opt"], {"tokens": tokens()}, tmp_path, 1e-4, "--hidden", 54, "--ffn", 100, "--layers", 5)


def test_wide_head_norms(tmp_path):
    compare(DECODERS["olmo2"], {"tokens": tokens()}, tmp_path, EXACT, "--hidden", 48, "--heads", 12, "--kv-heads", 4, "--layers", 5)


def test_wide_head_norms_with_padding(tmp_path):
    case = case_of(DECODERS, "olmo2", head_dim=4)
    compare(case, {"tokens": tokens()}, tmp_path, EXACT, "--hidden", 60, "--heads", 12, "--kv-heads", 4, "--layers", 5)


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "qwen3_moe_raw_gates"])
def test_experts(name, tmp_path):
    compare(DECODERS[name], {"tokens": tokens()}, tmp_path, EXACT, "--hidden", 60, "--heads", 12, "--kv-heads", 4, "--ffn", 50)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("multiple", [2, 3])
def test_post_norm_encoders_in_width(name, multiple, tmp_path):
    compare(ENCODERS[name], {"tokens": tokens()}, tmp_path, EXACT, "--hidden", 24 * multiple, "--ffn", 100)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("placement", ["last", "stack", "interpolate"])
def test_post_norm_encoders_in_depth(name, placement, tmp_path):
    tolerance = 20 * (1e-12 if name == "distilbert" else EPSILON)
    compare(ENCODERS[name], {"tokens": tokens()}, tmp_path, max(tolerance, EXACT), "--hidden", 48, "--layers", 8,
            "--placement", placement)


@pytest.mark.parametrize("name", IMAGES)
def test_image_encoders(name, tmp_path):
    rows, columns = (12, 12) if name == "dinov2" else (12, 8)
    images = torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    compare(IMAGES[name], {"images": images}, tmp_path, EXACT, "--hidden", 54, "--ffn", 108 if name == "dinov2" else 90, "--layers", 5)


# Growing twice is growing: the second expansion reads what the first one wrote.
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_two_steps(name, tmp_path):
    config, kind, settings = DECODERS[name]
    source = save(make(config(**settings), kind), tmp_path / "small")
    expand(source, tmp_path / "middle", "--hidden", 36, "--layers", 4)
    expand(tmp_path / "middle", tmp_path / "big", "--hidden", 60, "--ffn", 100, "--layers", 5)
    theirs = run_peer(load(tmp_path / "big", kind), {"tokens": tokens()}).logits
    assert max_relative(theirs, run_peer(load(source, kind), {"tokens": tokens()}).logits) < EXACT


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("snr", [0, 10])
def test_hypercloning(name, snr, tmp_path):
    hidden = 2 * DECODERS[name][2].get("hidden_size", DECODERS[name][2].get("n_embd"))
    compare(DECODERS[name], {"tokens": tokens()}, tmp_path, EXACT, "--method", "hypercloning", "--hidden", hidden,
            "--hypercloning-snr", snr)


# Zeros beside the residual stream are RMSNorm's own padding; LayerNorm's mean moves.
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2"])
def test_zero_padding_keeps_rms_models(name, tmp_path):
    compare(DECODERS[name], {"tokens": tokens()}, tmp_path, EXACT, "--method", "zero-pad", *UNEVEN)


def test_zero_padding_changes_layer_norm_models(tmp_path):
    assert deviation(DECODERS["gpt2"], {"tokens": tokens()}, tmp_path, "--method", "zero-pad", "--hidden", 54) > 1e-3


def gradients(directory, kind):
    """Of a loss of the model's outputs, by the names of its stored tensors."""
    model = load(directory, kind)
    torch.nn.functional.cross_entropy(model(tokens()).logits.flatten(0, 1), tokens().flatten()).backward()
    stored = {name for file in directory.glob("*.safetensors") if file.name != "optimizer.safetensors"
              for name in safe_open(file, "pt").keys()}
    named = dict(model.named_parameters())
    return {name: named[name].grad for name in stored if name in named}


# Where the split is equal, the gradients of the big model are those of the small one, shared by the copies of each output and
# repeated for the copies of each input: one step of AdamW from nothing gives the moments that the mapping of the small model's gives. (Key-value heads need query groups of one size: the query heads of
# uneven groups are shared unevenly.) transformers computes RMSNorm and the softmax of a float64 model in float32.
@pytest.mark.parametrize("name,flags", [("llama", DOUBLE[:-2]), ("gpt2", ["--hidden", 48, "--ffn", 200]),
                                        ("llama", ["--hidden", 45, "--heads", 9, "--kv-heads", 3, "--ffn", 70])])
def test_optimiser_state_is_that_of_the_grown_models_own_step(name, flags, tmp_path):
    config, kind, settings = DECODERS[name]
    source = save(make(config(**settings), kind), tmp_path / "small")
    state = {}
    for tensor, gradient in gradients(source, kind).items():
        state["step." + tensor] = torch.tensor(1)
        state["exp_avg." + tensor] = (0.1 * gradient).contiguous()
        state["exp_avg_sq." + tensor] = (0.001 * gradient ** 2).contiguous()
    save_file(state, tmp_path / "optimizer.safetensors")
    expand(source, tmp_path / "big", "--split", "equal", "--optimizer-state", tmp_path / "optimizer.safetensors", *flags)
    grown = load_file(tmp_path / "big" / "optimizer.safetensors")
    compared = 0
    for tensor, gradient in gradients(tmp_path / "big", kind).items():
        first, second = grown["exp_avg." + tensor], grown["exp_avg_sq." + tensor]
        copies = first != 0  # padding starts without a first moment
        compared += int(copies.sum())
        scale = gradient.abs().max()
        assert (first - 0.1 * gradient)[copies].abs().max() < 1e-5 * scale, tensor
        assert (second - 0.001 * gradient ** 2)[copies].abs().max() < 1e-5 * scale ** 2, tensor
    assert compared > 1000
