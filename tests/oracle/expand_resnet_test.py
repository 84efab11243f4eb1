"""Grown residual networks, loaded and run by a PyTorch module: the big network must compute the small one's logits in float64."""

import json
import os
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

from forward_peers import max_relative, run_orchard
from resnet_peer import ResNet, randomised

LEMON = os.path.join(os.environ["ORCHARD_BUILD_DIR"], "bin", "lemon-expand")
EXACT = 1e-12  # of the largest logit: float64 rounding
BOTTLENECK = dict(bottleneck=True, depths=[2, 2, 1, 2], channels=6, width_per_group=5)
BASIC = dict(bottleneck=False, depths=[2, 2, 1, 2], channels=6, width_per_group=6)


def images():
    return torch.randn(3, 3, 64, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def write(directory, network, sizes):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({
        "model_type": "resnet", "layer_type": "bottleneck" if sizes["bottleneck"] else "basic", "embedding_size": sizes["channels"],
        "depths": sizes["depths"], "width_per_group": sizes["width_per_group"], "num_channels": 3}))
    save_file(network.state_dict(), directory / "model.safetensors")
    return directory


def lemon(command, *arguments):
    done = subprocess.run([LEMON, command, *map(str, arguments), "--json", "--no-progress"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def load(directory):
    """The grown network as the peer makes it from config.json; fails when a tensor is missing, superfluous or misshapen."""
    config = json.loads((directory / "config.json").read_text())
    network = ResNet(config["layer_type"] == "bottleneck", config["depths"], config["embedding_size"], config["width_per_group"],
                     image_channels=config["num_channels"])
    network.double().eval().load_state_dict(load_file(directory / "model.safetensors"))
    return network


def check(sizes, tmp_path, *flags):
    """Returns the account of the expansion."""
    small = randomised(ResNet(**sizes))
    source = write(tmp_path / "small", small, sizes)
    lemon("expand", source, tmp_path / "big", *flags)
    big = load(tmp_path / "big")
    with torch.no_grad():
        expected, theirs = small(images()), big(images())
    ours = run_orchard(tmp_path / "big", {"images": images()}, tmp_path, "resnet")["class_logits"]
    assert max_relative(theirs, expected) < EXACT
    assert max_relative(ours, expected) < EXACT
    return json.loads((tmp_path / "big" / "lemon_expand.json").read_text())


@pytest.mark.parametrize("depths", [[2, 2, 1, 2], [4, 3, 1, 5]], ids=["wider", "deeper"])
@pytest.mark.parametrize("width", [10, 13, 15, 5])
def test_inner_width_of_bottlenecks(width, depths, tmp_path):
    account = check(BOTTLENECK, tmp_path, "--width-per-group", width, "--depths", ",".join(map(str, depths)))
    assert account["exactness"] == "A" and {tensor["class"] for tensor in account["tensors"].values()} == {"A"}


@pytest.mark.parametrize("channels,width", [(6, 12), (6, 17), (12, 12), (20, 9), (8, 8)])
def test_widths_of_basic_blocks(channels, width, tmp_path):
    check(BASIC, tmp_path, "--channels", channels, "--width-per-group", width, "--depths", "3,2,1,4")


@pytest.mark.parametrize("channels", [12, 17])
def test_all_channels_of_bottlenecks(channels, tmp_path):
    check(BOTTLENECK, tmp_path, "--channels", channels, "--width-per-group", 11)


@pytest.mark.parametrize("placement,depths", [("last", "4,3,1,9"), ("interpolate", "4,3,1,9"), ("stack", "4,3,1,9"),
                                              ("llama-pro", "4,3,1,2")])
@pytest.mark.parametrize("sizes", [BOTTLENECK, BASIC], ids=["bottleneck", "basic"])
def test_placements(sizes, placement, depths, tmp_path):
    check(sizes, tmp_path, "--width-per-group", 14, "--depths", depths, "--placement", placement)


@pytest.mark.parametrize("split", ["grid", "projection", "complement", "equal"])
def test_splits(split, tmp_path):
    check(BOTTLENECK, tmp_path, "--width-per-group", 12, "--split", split)


@pytest.mark.parametrize("method", ["net2net", "hypercloning", "zero-pad"])
def test_other_lossless_methods(method, tmp_path):
    check(BOTTLENECK, tmp_path, "--width-per-group", 10, "--channels", 12, "--depths", "3,2,1,2", "--method", method)


def test_grid_splits_of_half_precision_sum_exactly(tmp_path):
    """Source and target stored in bfloat16, both computed in float64: no rounding comes in between."""
    small = randomised(ResNet(**BOTTLENECK)).bfloat16().double()
    source = write(tmp_path / "small", small, BOTTLENECK)
    save_file({name: value if value.dtype == torch.int64 else value.bfloat16() for name, value in small.state_dict().items()},
              source / "model.safetensors")
    lemon("expand", source, tmp_path / "big", "--width-per-group", 12, "--depths", "3,2,1,2")
    tensors = load_file(tmp_path / "big" / "model.safetensors")
    assert {tensors["layer1.0.conv1.weight"].dtype, tensors["bn1.running_var"].dtype} == {torch.bfloat16}
    with torch.no_grad():
        assert max_relative(load(tmp_path / "big")(images()), small(images())) < EXACT


def test_a_state_dictionary_of_pytorch(tmp_path):
    small = randomised(ResNet(**BOTTLENECK))
    torch.save({"state_dict": small.state_dict(), "epoch": 3}, tmp_path / "small.pth")
    report = lemon("inspect", tmp_path / "small.pth")
    assert report["sizes"] == {"channels": 6, "width_per_group": 5, "depths": [2, 2, 1, 2]}
    lemon("expand", tmp_path / "small.pth", tmp_path / "big", "--width-per-group", 10)
    with torch.no_grad():
        assert max_relative(load(tmp_path / "big")(images()), small(images())) < EXACT


def test_a_new_block_learns_at_once(tmp_path):
    """The silenced norm of a new block gets a gradient in every channel that carries something, and after one step of it the rest of the
    block does, too. A channel that is zero on all images has none: the ReLU behind the sum is closed."""
    small = randomised(ResNet(**BOTTLENECK))
    source = write(tmp_path / "small", small, BOTTLENECK)
    lemon("expand", source, tmp_path / "big", "--depths", "3,2,1,2")
    network = load(tmp_path / "big").train()
    block = network.layer1[2]
    alive = []
    block.register_forward_pre_hook(lambda module, inputs: alive.append((inputs[0] > 0).any(dim=3).any(dim=2).any(dim=0)))
    for step in range(2):
        network.zero_grad()
        network(images()).square().sum().backward()
        with torch.no_grad():
            for norm in (block.bn3.weight, block.bn3.bias):
                assert alive[0].sum() > len(norm) / 2
                assert norm.grad[alive[0]].abs().min() > 0
                norm -= 1e-3 * norm.grad
    assert block.conv1.weight.grad.abs().max() > 0
