"""siamese-seg predict beside nibabel, h5py and numpy: label maps lie on their images whatever the axes, and probabilities are those of the
labels."""
import json
import os
import pathlib
import subprocess

import h5py
import nibabel
import numpy as np
import pytest

BUILD = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"])
PROGRAM = BUILD / "bin" / "siamese-seg"
DATA = pathlib.Path(os.environ["ORCHARD_SOURCE_DIR"]) / "data" / "hippocampus"


def run(*arguments):
    done = subprocess.run([str(a) for a in (PROGRAM, *arguments, "--threads", "1")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def oblique(rng):
    """A random affine: permuted, flipped and turned axes of different spacing."""
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = rng.uniform(0, 0.6)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = turn @ (np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)) @ np.diag(rng.uniform(0.5, 3, 3))
    affine[:3, 3] = rng.uniform(-100, 100, 3)
    return affine


def forms(image):
    header = image.header
    return int(header["qform_code"]), int(header["sform_code"]), header.get_qform().tobytes(), header.get_sform().tobytes()


@pytest.mark.parametrize("seed", range(12))
def test_the_label_map_of_the_identity_is_the_image(tmp_path, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 24, 3)) if seed else (23, 1, 9)
    labels = rng.integers(0, 4, shape).astype(np.uint8)
    labels[tuple(slice(0, max(1, s // 3)) for s in shape)] = 0  # so that something is cut off
    labels.flat[0], labels.flat[-1] = 0, 3
    image = nibabel.Nifti1Image(labels, oblique(rng))
    image.set_qform(image.affine, int(rng.integers(0, 3)))
    image.set_sform(oblique(rng) if seed % 3 == 2 else image.affine, int(rng.integers(1, 3)))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "case.nii.gz")
    run("predict", "--model", "identity", tmp_path / "case.nii.gz", "--out", tmp_path / "out")
    back = nibabel.load(tmp_path / "out" / "case.nii.gz")
    np.testing.assert_array_equal(np.asarray(back.dataobj), labels)
    assert forms(back) == forms(nibabel.load(tmp_path / "case.nii.gz"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small network after a few steps on cases at another spacing than they are predicted at."""
    root = tmp_path_factory.mktemp("model")
    for part in ["images", "labels"]:
        (root / "data" / part).mkdir(parents=True)
        for case in ["001", "003", "004", "006"]:
            name = f"hippocampus_{case}.nii.gz"
            (root / "data" / part / name).write_bytes((DATA / part / name).read_bytes())
    run("plan", root / "data", "--base-channels", "4", "--max-stages", "2", "--patch", "24,32,24")
    plan = json.loads((root / "data" / "plan.json").read_text())
    plan["spacing"] = [1.3, 1.6, 1.2]
    (root / "data" / "plan.json").write_text(json.dumps(plan))
    run("train", root / "data", "--fold", "-1", "--epochs", "1", "--iterations", "30", "--set", "optim.name=adamw", "--set", "optim.lr=3e-3",
        "--no-progress", "--out", root / "run")
    return root / "run"


def test_the_most_probable_class_is_the_label(model, tmp_path):
    name = "hippocampus_008"
    run("predict", "--model", model, DATA / "images" / f"{name}.nii.gz", "--probs", "--out", tmp_path)
    labels = nibabel.load(tmp_path / f"{name}.nii.gz")
    with h5py.File(tmp_path / f"{name}.probs.h5") as file:
        probabilities = file["probabilities"][:]
        affine = np.array(file["probabilities"].attrs["affine"]).reshape(4, 4)
        names = [text.decode() for text in file["labels"][:]]
    assert names == ["background", "label 1", "label 2"]
    np.testing.assert_allclose(affine, labels.affine, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    found = np.asarray(labels.dataobj).transpose(2, 1, 0)
    assert probabilities.shape[1:] == found.shape
    best = np.sort(probabilities, 0)
    clear = best[-1] - best[-2] > 1e-4  # interpolation rounds differently
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(probabilities.argmax(0)[clear], found[clear])
    assert len(set(found.flat)) > 1
