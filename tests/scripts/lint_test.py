"""scripts/lint finds what it promises to find, and nothing in text that is fine."""

import importlib.machinery
import importlib.util
import os
import pathlib

import pytest

SCRIPT = pathlib.Path(os.environ["ORCHARD_SOURCE_DIR"]) / "scripts" / "lint"
loader = importlib.machinery.SourceFileLoader("lint", str(SCRIPT))
lint = importlib.util.module_from_spec(importlib.util.spec_from_loader("lint", loader))
loader.exec_module(lint)


@pytest.mark.parametrize("path, include", [
    ("lib/io/dtype.cpp", "base/error.h"),
    ("lib/expand/options.h", "cli/fields.h"),
    ("lib/expand/expand.cpp", "cuda/expand/expand_rows.h"),
    ("lib/execute/run_model.cpp", "place/graph.h"),
    ("cuda/expand/expand_rows.cu", "expand/element.h"),
    ("cuda/expand/expand_rows.cu", "cuda/base/launch.h"),
    ("cuda/nn/dropout.h", "nn/dropout.h"),
    ("tools/lemon-expand/main.cpp", "expand/expand.h"),
    ("tools/lemon-expand/main.cpp", "cli/program.h"),
    ("lib/nn/device.cpp", "ATen/ATen.h"),
])
def test_allowed_edges(path, include):
    assert lint.allowed_include(path, include)


@pytest.mark.parametrize("path, include", [
    ("lib/base/error.cpp", "io/dtype.h"),
    ("lib/expand/expand.cpp", "place/solve.h"),
    ("lib/place/place.cpp", "execute/executor.h"),
    ("lib/expand/expand.cpp", "cli/program.h"),
    ("lib/expand/expand.cpp", "cuda/nn/softmax.h"),
    ("lib/io/dtype.cpp", "run/run_dir.h"),
    ("cuda/expand/expand_rows.cu", "expand/plan.h"),
    ("cuda/nn/dropout.h", "nn/norm.h"),
    ("tools/lemon-expand/main.cpp", "cuda/expand/expand_rows.h"),
])
def test_forbidden_edges(path, include):
    assert not lint.allowed_include(path, include)
    assert list(lint.check_text(path, f'#include "{include}"\n'))


@pytest.mark.parametrize("path, text", [
    ("lib/nn/layer.h", "#include <torch/torch.h>"),
    ("lib/nn/layer.h", "#include <ATen/core/ivalue.h>"),
    ("docs/formats.md", "FIX" + "ME: say more"),
    ("lib/io/dtype.cpp", "int x = 0;  // TO" + "DO later"),
    ("docs/formats.md", "see /ro" + "ot/build/x"),
    ("docs/formats.md", "see ../shar" + "ed/x"),
    ("lib/io/string_ut" + "ils.h", ""),
    ("lib/io/x.cpp", "std::counting_semaphore<> turns(2);"),
])
def test_forbidden_text(path, text):
    findings = list(lint.check_text(path, text))
    assert len(findings) <= 1 and findings[0].startswith(f"{path}:1:")


@pytest.mark.parametrize("path, text", [
    ("lib/nn/layer.h", "#include <ATen/core/Tensor.h>"),
    ("lib/nn/layer.h", "// Calls. Internal to layer.cpp.\n#include <ATen/core/ivalue.h>"),
    ("lib/io/json.h", "#include <nlohmann/json_fwd.hpp>"),
    ("lib/io/json.cpp", "#include <nlohmann/json.hpp>"),
    ("docs/conventions.md", "`${XDG_CACHE_HOME:-~/.cache}/orchard` and https://example.org/work/x"),
])
def test_clean_text(path, text):
    assert not list(lint.check_text(path, text))


def test_every_module_stands_in_the_table():
    modules = {folder.name for folder in (SCRIPT.parent.parent / "lib").iterdir() if folder.is_dir()}
    assert modules <= set(lint.LAYERS)


def test_layers_have_no_cycle():
    done = set()
    while len(done) < len(lint.LAYERS):
        ready = [name for name, below in lint.LAYERS.items() if name not in done and set(below) <= done]
        assert ready
        done.update(ready)
