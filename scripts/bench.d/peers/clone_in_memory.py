"""clone_in_memory.py SRC DST [FACTOR]: the straightforward way to widen a LLaMA checkpoint, as HyperCloning's tools do it: every
tensor is loaded with PyTorch, tiled over its copies, divided by their number, given noise that cancels, and the model saved at the end.

Query heads are tiled within the group of their key-value head, so that what is written computes the same function up to rounding."""
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file

SIGMA = 0.002


def split_columns(weight, factor):
    """[out, in] -> [out, factor in]: equal shares, and noise that sums to zero over the copies."""
    shares = (weight.float() / factor).repeat(1, factor)
    noise = torch.randn_like(shares).view(weight.shape[0], factor, -1) * SIGMA
    return (shares + (noise - noise.mean(1, keepdim=True)).view_as(shares)).to(weight.dtype)


def split_head_columns(weight, factor, groups):
    """The same where the copies stand group by group."""
    out, width = weight.shape
    parts = [split_columns(part, factor) for part in weight.view(out, groups, width // groups).unbind(1)]
    return torch.cat(parts, 1)


def widen(name, weight, factor, kv_heads):
    if weight.ndim == 1 or "embed_tokens" in name:
        return weight.repeat(*[1] * (weight.ndim - 1), factor)
    if "q_proj" in name:  # more query heads for the same key-value heads
        rows = weight.view(kv_heads, -1, weight.shape[1]).repeat(1, factor, 1).view(-1, weight.shape[1])
        return split_columns(rows, factor)
    if "k_proj" in name or "v_proj" in name or "lm_head" in name:
        return split_columns(weight, factor)
    if "o_proj" in name:
        return split_head_columns(weight.repeat(factor, 1), factor, kv_heads)
    return split_columns(weight.repeat(factor, 1), factor)


def main(source, target, factor=2):
    source, target, factor = pathlib.Path(source), pathlib.Path(target), int(factor)
    config = json.loads((source / "config.json").read_text())
    state = {}
    for path in sorted(source.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                state[name] = widen(name, file.get_tensor(name), factor, config["num_key_value_heads"])
    target.mkdir(parents=True)
    for key in ["hidden_size", "intermediate_size", "num_attention_heads"]:
        config[key] *= factor
    (target / "config.json").write_text(json.dumps(config))
    save_file(state, target / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    torch.manual_seed(0)
    main(*sys.argv[1:])
