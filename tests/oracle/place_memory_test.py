"""The memory promise of `baechi-place place` on small models and some public graphs; memory_sweep.py says what it is."""
import pytest
from memory_sweep import GRAPHS, KINDS, MODELS, TRAINING, generate, sweep


@pytest.mark.parametrize("kind", ["infer", "train"])
@pytest.mark.parametrize("shape", MODELS)
def test_built_in_models(tmp_path, shape, kind):
    sweep(generate(tmp_path, shape, *MODELS[shape]), tmp_path, kind, parts=[0.6, 0.25], refine=0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "step" in kind])
def test_training_steps(tmp_path, kind):
    rows = sweep(GRAPHS / "workloads" / "gnmt_inference_layers.json", tmp_path, kind, devices=4, parts=[1.0, 0.5, 0.25], refine=0)
    assert rows[0][2] is not None


@pytest.mark.parametrize("name", TRAINING)
def test_public_training_graphs(tmp_path, name):
    sweep(GRAPHS / "workloads" / f"{name}.json", tmp_path, "infer", parts=[0.5, 0.25], refine=0)
