"""Placed ONNX models in parts and with devices written on: ONNX Runtime computes the same with them as with the whole."""
import json
import pathlib
import random
import shutil

import numpy as np
import onnx
import onnx_models
import onnxruntime
import pytest
from onnx_import_test import ZOO, run


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run_parts(folder, feeds):
    """What docs/formats.md says: parts in order, each fed with what the manifest names."""
    manifest = json.loads((folder / "manifest.json").read_text())
    values = dict(feeds)
    for part in manifest["parts"]:
        inputs = {entry["name"]: values[entry["name"]] for entry in part["inputs"]}
        values.update(zip(part["outputs"], session(folder / part["file"]).run(part["outputs"], inputs)))
    return [values[output["name"]] for output in manifest["outputs"]], manifest


def scattered(graph, path, devices, seed):
    """A placement without sense, which keeps groups together."""
    rng = random.Random(seed)
    groups, assign = {}, {}
    for op in json.loads(graph.read_text())["ops"]:
        device = rng.randrange(devices)
        for group in op.get("groups", []):
            device = groups.setdefault(group, device)
        assign[op["name"]] = device
    path.write_text(json.dumps({"assign": assign}))
    return assign


def prepare(tmp_path, model, sizes, external=False):
    path = tmp_path / "model.onnx"
    if external:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        onnx.save(copy, path, save_as_external_data=True, location="weights.bin", size_threshold=256)
    else:
        path.write_bytes(model.SerializeToString())
    done = run("import", path, "-o", tmp_path / "graph.json", *sizes)
    assert done.returncode == 0, done.stderr
    return path, tmp_path / "graph.json"


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("name", list(ZOO))
def test_parts_compute_what_the_whole_does(tmp_path, name, devices):
    model, feeds, sizes = ZOO[name]
    path, graph = prepare(tmp_path, model, sizes)
    assign = scattered(graph, tmp_path / "p.json", devices, seed=devices)
    parts = tmp_path / "parts"
    done = run("export", graph, tmp_path / "p.json", "--devices", devices, "--to", "onnx-parts", "--model", path, "-o", parts, "--json", *sizes)
    assert done.returncode == 0, done.stderr
    found, manifest = run_parts(parts, feeds)
    for a, b in zip(session(path).run(None, feeds), found):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    # Every operator stands in exactly one part, on its device.
    where = {}
    for part in manifest["parts"]:
        onnx.checker.check_model(str(parts / part["file"]))
        for node in onnx.load(parts / part["file"], load_external_data=False).graph.node:
            for output in node.output:
                where.setdefault(output, []).append(part["device"])
    operators = {op["name"]: op for op in json.loads(graph.read_text())["ops"]}
    checked = 0
    for node in model.graph.node:
        if node.name in operators and node.domain == "":
            assert where[node.output[0]] == [f"device{assign[node.name]}"]
            checked += 1
    assert checked or name == "loops"
    report = json.loads(done.stdout)
    assert report["parts"] == len(manifest["parts"]) >= report["least_parts"]
    if devices <= 2:
        assert report["parts"] == report["least_parts"] or devices == 2 and report["parts"] == report["least_parts"] + 1


def test_weights_in_other_files_go_with_their_parts(tmp_path):
    model, feeds, sizes = ZOO["encoder"]
    path, graph = prepare(tmp_path, model, sizes, external=True)
    scattered(graph, tmp_path / "p.json", 2, seed=5)
    done = run("export", graph, tmp_path / "p.json", "--to", "onnx-parts", "--model", path, "-o", tmp_path / "parts", *sizes)
    assert done.returncode == 0, done.stderr
    moved = shutil.move(tmp_path / "parts", tmp_path / "elsewhere")
    assert list(pathlib.Path(moved).glob("*.data"))
    for a, b in zip(session(path).run(None, feeds), run_parts(pathlib.Path(moved), feeds)[0]):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    (tmp_path / "weights.bin").write_bytes(b"short")
    done = run("export", graph, tmp_path / "p.json", "--to", "onnx-parts", "--model", path, "-o", tmp_path / "again", *sizes)
    assert done.returncode == 3 and "weights.bin" in done.stderr and not (tmp_path / "again").exists()


def test_a_placement_by_the_program_goes_all_the_way(tmp_path):
    model, feeds, sizes = ZOO["inception"]
    path, _ = prepare(tmp_path, model, sizes)
    done = run("place", path, "-o", tmp_path / "p.json", "--devices", 2, "--us-per-byte", 1e-6, "--latency-us", 0.1, "--refine-steps", 50,
               "--no-progress", *sizes)
    assert done.returncode == 0, done.stderr
    done = run("export", path, tmp_path / "p.json", "--devices", 2, "--to", "onnx-parts", "-o", tmp_path / "parts", *sizes)
    assert done.returncode == 0, done.stderr
    for a, b in zip(session(path).run(None, feeds), run_parts(tmp_path / "parts", feeds)[0]):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ir_version", [8, 10])
def test_devices_are_written_on_every_node_and_nothing_else_changes(tmp_path, ir_version):
    model = onnx.ModelProto()
    model.CopyFrom(ZOO["encoder"][0])
    model.ir_version = ir_version
    model.graph.node[3].doc_string = "what it was"
    sizes = ZOO["encoder"][2]
    path, graph = prepare(tmp_path, model, sizes)
    assign = scattered(graph, tmp_path / "p.json", 2, seed=7)
    done = run("export", graph, tmp_path / "p.json", "--to", "onnx-annotated", "--model", path, "-o", tmp_path / "annotated.onnx", *sizes)
    assert done.returncode == 0, done.stderr
    annotated = onnx.load(tmp_path / "annotated.onnx")
    for node in annotated.graph.node:
        if ir_version >= 10:
            (entry,) = node.metadata_props
            assert entry.key == "device"
            device = entry.value
            del node.metadata_props[:]
        else:
            before, _, device = node.doc_string.rpartition("device: ")
            node.doc_string = before.rstrip("\n")
            if not node.doc_string:
                node.ClearField("doc_string")
        if node.name in assign:
            assert device == f"device{assign[node.name]}"
    assert annotated == model
