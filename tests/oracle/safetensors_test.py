"""Checkpoints and arrays exchanged with Python: safetensors, torch.save and h5py, written on one side and read on the other."""

import json
import os
import pathlib
import subprocess

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch

DRIVER = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"]) / "tests" / "orchard-checkpoint"


def run(*arguments, code=0):
    """Standard output of the driver; checks its exit code."""
    result = subprocess.run([DRIVER, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert result.returncode == code, result.stderr
    return result.stdout if code == 0 else result.stderr


def tensors():
    generator = torch.Generator().manual_seed(3)
    normal = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    return {
        "layer.0.weight": normal.float(), "half": normal.half(), "brain": normal.bfloat16(), "double": normal,
        "ids": torch.arange(11), "mask": torch.tensor([True, False, True]), "bytes": torch.arange(3, dtype=torch.uint8),
        "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4), "umlaut-ä-🙂": torch.ones(2), "quote\"\\\n": torch.ones(1),
    }


def assert_same(read, written):
    assert read.keys() == written.keys()
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype, name
        assert read[name].shape == tensor.shape, name
        assert torch.equal(read[name], tensor), name


def test_python_reads_what_orchard_copied(tmp_path):
    safetensors.torch.save_file(tensors(), tmp_path / "in.safetensors", {"format": "pt", "note": "ä\n"})
    run("copy", tmp_path / "in.safetensors", tmp_path / "out.safetensors")
    assert_same(safetensors.torch.load_file(tmp_path / "out.safetensors"), tensors())
    with safetensors.safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "ä\n"}


@pytest.mark.parametrize("wrap", [dict, lambda d: {"model": d, "epoch": 3, "lr": 0.1, "tags": ["a", None, (1, 2)]}])
@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_torch_save_is_read(tmp_path, wrap, protocol):
    torch.save(wrap(tensors()), tmp_path / "m.pth", pickle_protocol=protocol)
    run("copy", tmp_path / "m.pth", tmp_path / "out.safetensors")
    assert_same(safetensors.torch.load_file(tmp_path / "out.safetensors"), tensors())


def test_state_dict_of_a_module_is_read(tmp_path):
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 4))
    module[2].weight = torch.nn.Parameter(module[0].weight.detach().T.contiguous())
    torch.save(module.state_dict(), tmp_path / "m.bin")
    run("copy", tmp_path / "m.bin", tmp_path / "out.safetensors")
    assert_same(safetensors.torch.load_file(tmp_path / "out.safetensors"), dict(module.state_dict()))


def test_parameters_views_and_tied_tensors_are_read(tmp_path):
    base = torch.arange(12.0)
    written = {"parameter": torch.nn.Parameter(base.clone()), "slice": base[4:8], "tied": base[4:8], "row": base.view(3, 4)[1]}
    torch.save(written, tmp_path / "m.pth")
    run("copy", tmp_path / "m.pth", tmp_path / "out.safetensors")
    assert_same(safetensors.torch.load_file(tmp_path / "out.safetensors"), {k: v.detach() for k, v in written.items()})


def test_transposed_view_is_refused(tmp_path):
    torch.save({"t": torch.zeros(3, 4).T}, tmp_path / "m.pth")
    assert "contiguous" in run("copy", tmp_path / "m.pth", tmp_path / "out.safetensors", code=4)
    assert not list(tmp_path.glob("out*"))


def test_attack_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/victim",)

    for content in (Attack(), {"w": torch.zeros(2), "extra": Attack()}, {"w": Attack()}):
        torch.save(content, tmp_path / "m.pth")
        assert "posix.system" in run("copy", tmp_path / "m.pth", tmp_path / "out.safetensors", code=3)
    assert not (tmp_path / "victim").exists()


def test_whole_module_and_old_format_are_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pth")
    assert "torch.nn.modules.linear.Linear" in run("copy", tmp_path / "m.pth", tmp_path / "out", code=3)
    torch.save({"w": torch.zeros(2)}, tmp_path / "m.pth", _use_new_zipfile_serialization=False)
    assert "before 1.6" in run("copy", tmp_path / "m.pth", tmp_path / "out", code=3)


def test_float8_is_read_as_such(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(4).to(torch.float8_e4m3fn)}, tmp_path / "m.safetensors")
    assert "dequantise" in run("copy", tmp_path / "m.safetensors", tmp_path / "out.safetensors", code=4)


def test_hdf5_of_h5py_is_read(tmp_path):
    rng = np.random.default_rng(5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("g/tokens", data=rng.integers(0, 60000, (9, 4)).astype(np.uint16), chunks=(2, 4), compression="gzip", shuffle=True)
        file.create_dataset("images", data=rng.integers(0, 255, (3, 2, 2)).astype(np.uint8))
        file.create_dataset("loss", data=rng.normal(size=5).astype(np.float32))
        file.create_dataset("big_endian", data=np.arange(4, dtype=">i4"))
        file.create_dataset("flags", data=np.array([True, False]))
        file["names"] = ["cat", "dög", ""]
        file["fixed"] = np.array([b"ab", b"c"], dtype="S4")
        file["images"].attrs["classes"] = 10
        file["images"].attrs["title"] = "fashion"
    out = json.loads(run("hdf5", tmp_path / "a.h5", "g/tokens", "images", "loss", "big_endian", "flags", "names", "fixed"))
    with h5py.File(tmp_path / "a.h5") as file:
        for name in ("g/tokens", "images", "loss", "big_endian", "flags"):
            assert out[name]["shape"] == list(file[name].shape)
            assert out[name]["values"] == file[name][...].astype(np.float64).ravel().tolist(), name
    assert out["names"]["values"] == ["cat", "dög", ""]
    assert out["fixed"]["values"] == ["ab", "c"]
    assert out["images"]["attributes"] == {"classes": 10, "title": "fashion"}


def test_hdf5_is_written_for_h5py(tmp_path):
    run("write-hdf5", tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["data/images"].dtype == np.uint8
        assert file["data/images"].compression == "gzip" and file["data/images"].shuffle
        assert np.array_equal(file["data/images"][...].ravel(), np.arange(24))
        assert file["data/images"].shape == (4, 3, 2) and file["data/images"].maxshape == (None, 3, 2)
        assert [s.decode() for s in file["names"][...]] == ["eins", "zwei"]
        assert file["data/images"].attrs["title"] == "ramp" and file["data/images"].attrs["classes"] == 7
