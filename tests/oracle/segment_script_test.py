"""siamese-seg export NAME.pt: the module that torch.jit.load reads says what predict says, for every kind of network."""
import json
import os
import pathlib
import subprocess

import h5py
import nibabel
import numpy as np
import pytest
import torch

BUILD = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"])
PROGRAM = BUILD / "bin" / "siamese-seg"
DATA = pathlib.Path(os.environ["ORCHARD_SOURCE_DIR"]) / "data" / "hippocampus"
CASES = ["001", "003", "004"]
PATCH = (16, 24, 16)  # i, j, k; smaller than the scans
WHOLE = (48, 64, 48)  # larger than them

# Of every option each value.
NETWORKS = {
    "pairwise": [],
    "prototype": ["--attention", "prototype", "--stem", "strided", "--blocks", "classic", "--fuse", "residual"],
    "window": ["--attention", "window", "--set", "model.window=1", "--mode", "per_class", "--share", "none"],
    "in_context": ["--mode", "in_context"],
    "mean": ["--attention", "mean"],
    "dot": ["--attention", "dot", "--mode", "per_class", "--fuse", "residual"],
    "none": ["--attention", "none", "--mode", "per_class"],
    "off": ["--attention", "off", "--blocks", "classic"],
}


def run(*arguments, code=0):
    done = subprocess.run([str(a) for a in (PROGRAM, *arguments, "--threads", "1")], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done


def planned(root, patch):
    """A data set of a few scans, planned for a network of three stages."""
    for part in ["images", "labels"]:
        (root / part).mkdir(parents=True)
        for case in CASES:
            name = f"hippocampus_{case}.nii.gz"
            (root / part / name).write_bytes((DATA / part / name).read_bytes())
    run("plan", root, "--base-channels", "4", "--max-stages", "3", "--patch", ",".join(map(str, patch)))
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return planned(tmp_path_factory.mktemp("data"), PATCH)


def train(data, out, *network):
    run("train", data, "--fold", "-1", "--epochs", "1", "--iterations", "3", "--set", "optim.name=adamw", "--set", "optim.lr=3e-3",
        "--no-progress", "--out", out, *network)
    return out


def load(file):
    files = {"orchard.json": ""}
    module = torch.jit.load(file, _extra_files=files)
    return module, json.loads(files["orchard.json"])


def patch_of_a_scan(file, size):
    """Voxels [i, j, k] of one patch at the plan's spacing, so that predict sees what is here, and in one window."""
    voxels = np.asarray(nibabel.load(DATA / "images" / "hippocampus_008.nii.gz").dataobj, np.float32)
    start = [max(0, (s - p) // 2) for s, p in zip(voxels.shape, size)]
    voxels = voxels[tuple(slice(a, a + p) for a, p in zip(start, size))] + 1  # nothing is 0, so that nothing is cut off
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, file)
    return voxels


def probabilities(model, image, out, *more):
    """[K + 1, k, j, i] as predict has them."""
    run("predict", "--model", model, image, "--probs", "--out", out, *more)
    with h5py.File(out / f"{image.name.removesuffix('.nii.gz')}.probs.h5") as file:
        return file["probabilities"][:]


def normalised(voxels):
    """[1, 1, k, j, i] for plan["channels"][0]["scale"] == "image"."""
    values = voxels.astype(np.float64)
    values = (values - values.mean()) / values.std()
    return torch.tensor(values.transpose(2, 1, 0)[None, None], dtype=torch.float32)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_module_says_what_predict_says(kind, data, tmp_path):
    model = train(data, tmp_path / "run", *NETWORKS[kind])
    voxels = patch_of_a_scan(tmp_path / "patch.nii.gz", PATCH)
    count = [] if kind == "off" else ["--templates", "2"]
    expected = probabilities(model, tmp_path / "patch.nii.gz", tmp_path / "out", "--align", "global", *count)
    run("export", model, tmp_path / "model.pt", *count)
    module, description = load(tmp_path / "model.pt")
    assert description["patch"] == list(PATCH[::-1])
    assert description["labels"] == ["background", "label 1", "label 2"]
    assert [t["place"] for t in description["templates"]] == ["stretched"] * (0 if kind == "off" else 2)
    with torch.no_grad():
        x = normalised(voxels)
        found = module(torch.cat([x, -x]))  # images of a batch do not see each other
        alone = module(x)
    assert found.shape == (2, 3, *PATCH[::-1])
    np.testing.assert_allclose(found[:1], alone, atol=1e-4)
    assert alone.std() > 1e-3
    # f32 in both, sums in other orders through a dozen layers: 3e-6 was seen.
    np.testing.assert_allclose(torch.softmax(alone[0], 0), expected, rtol=0, atol=2e-5)
    for name, buffer in module.named_buffers():
        if "template" in name:
            buffer.zero_()
    with torch.no_grad():
        assert kind == "off" or (torch.softmax(module(x)[0], 0) - torch.tensor(expected)).abs().max() > 1e-2  # it is the templates that matter
    with pytest.raises(torch.jit.Error, match="sides are"):
        module(x[..., :-1])
    if kind != "none":
        assert module(torch.cat([x, x], 4)).shape[2:] == (PATCH[2], PATCH[1], 2 * PATCH[0])


def test_a_template_that_fits_is_where_predict_has_it(tmp_path):
    model = train(planned(tmp_path / "data", WHOLE), tmp_path / "run")
    image = DATA / "images" / "hippocampus_008.nii.gz"
    expected = probabilities(model, image, tmp_path / "out")
    run("export", model, tmp_path / "model.pt")
    module, description = load(tmp_path / "model.pt")
    assert [t["place"] for t in description["templates"]] == ["centred"]
    voxels = np.asarray(nibabel.load(image).dataobj, np.float32)
    x = normalised(voxels)
    # The window of an image smaller than it: the image in its middle, 0 around.
    before = [(p - s) // 2 for p, s in zip(WHOLE, voxels.shape)]
    pad = [n for a in range(3) for n in (before[a], WHOLE[a] - voxels.shape[a] - before[a])]
    with torch.no_grad():
        logits = module(torch.nn.functional.pad(x, pad))[0]
    i, j, k = (slice(b, b + s) for b, s in zip(before, voxels.shape))
    np.testing.assert_allclose(torch.softmax(logits[:, k, j, i], 0), expected, rtol=0, atol=2e-5)


def test_what_cannot_be_written_is_said(data, tmp_path):
    model = train(data, tmp_path / "run")
    for arguments, message in [
        (["model.onnx"], "not a name of a model file"),
        (["model.pt", "--dtype", "bf16"], "TorchScript"),
        (["model.pt", "--templates", "0"], "needs a template"),
    ]:
        done = run("export", model, tmp_path / arguments[0], *arguments[1:], code=2)
        assert message in done.stderr and done.stderr.count("\n") == 1
        assert not (tmp_path / arguments[0]).exists()
