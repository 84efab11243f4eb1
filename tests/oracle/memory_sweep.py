"""The memory promise of `baechi-place place`, judged by simulate.py, which knows graph and placement only.

At every limit of a sweep from all that one device needs down to a quarter of it, either the placement keeps the limit on every device, or
exit code 4 tells the deficit, the operators that do not fit and a smallest limit, which then works. sweep(...) raises where that does not
hold; place_memory_test.py runs it on small models, scripts/bench on all.
"""
import json
import os
import pathlib
import re
import subprocess

from simulate import simulate

ROOT = pathlib.Path(os.environ.get("ORCHARD_SOURCE_DIR", pathlib.Path(__file__).resolve().parent.parent.parent))
BUILD = pathlib.Path(os.environ.get("ORCHARD_BUILD_DIR", ROOT / "build" / "release"))
BIN = BUILD / "bin" / "baechi-place"
GRAPHS = ROOT / "data" / "graphs"
ADAM_COPIES = 4  # parameters, gradient, two states
PARTS = [1.0, 0.75, 0.5, 0.4, 0.3, 0.25]

# What memory holds: one inference, all of a pass until its end, a training step of the whole batch, of several parts, and with
# recomputation.
KINDS = {
    "infer": [],
    "train": ["--mode", "train"],
    "step": ["--step", "training"],
    "step, 4 parts": ["--step", "training", "--microbatches", "4"],
    "step, 1F1B": ["--step", "training", "--microbatches", "8", "--schedule", "1f1b"],
    "step, any parts": ["--step", "training", "--microbatches", "auto"],
    "step, recomputing": ["--step", "training", "--microbatches", "2", "--recompute", "auto"],
}


def run(*arguments):
    return subprocess.run([BIN, *map(str, arguments)], capture_output=True, text=True)


def place(graph, out, *options):
    return run("place", graph, "-o", out, "--force", "--json", "--no-progress", "--threads", 1, *options)


def keeps(graph, placed, result, limit, comm, kind):
    """Whether the independent replay of a placement keeps the limit; it must agree with what the program said."""
    makespan, peak = simulate(graph, placed, comm, copies=ADAM_COPIES if kind == "train" else None)
    assert makespan == round(result["makespan_us"] * 1000)
    assert list(peak.values()) == result["peak_bytes"]
    return max(peak.values()) <= limit


def sweep(graph, scratch, kind, devices=2, parts=PARTS, comm="parallel", refine=10, confirm=True):
    """One row per limit: part of the need, the limit, the makespan in us or None, and the smallest limit that was named instead."""
    options = [*KINDS[kind], "--devices", devices, "--comm", comm, "--refine-steps", refine, "--lp", "none"]
    placed = pathlib.Path(scratch) / "placed.json"
    graph = native(graph, scratch)
    done = place(graph, placed, *KINDS[kind], "--devices", 1, "--algo", "single", "--memory", 2**62)
    assert done.returncode == 0, done.stderr
    need = max(json.loads(done.stdout)["peak_bytes"])
    rows, confirmed = [], set()
    for part in parts:
        limit = int(need * part)
        done = place(graph, placed, *options, "--memory", limit)
        if done.returncode == 0:
            result = json.loads(done.stdout)
            assert keeps(graph, placed, result, limit, comm, kind), f"{graph}, {kind}: over {limit} bytes"
            rows.append((part, limit, result["makespan_us"], None))
            continue
        assert done.returncode == 4, done.stderr
        error = json.loads(done.stdout)["error"]
        assert re.search(r"needs .* of .*, too much by .*: '", error), error
        least, works = (int(n) for n in re.search(r"below (\d+) bytes .* \((\d+) bytes\)\)?(?:; less may do with .*)?$", error).groups())
        assert max(least, limit) <= works, error
        rows.append((part, limit, None, works))
        if confirm and works not in confirmed:
            done = place(graph, placed, *options, "--memory", works)
            assert done.returncode == 0, f"{works} bytes were said to work: {done.stderr}"
            assert keeps(graph, placed, json.loads(done.stdout), works, comm, kind)
            confirmed.add(works)
    return rows


def native(graph, scratch):
    """The graph in the format that simulate.py reads."""
    if json.loads(graph.read_text()).get("format") == "baechi-graph":
        return graph
    converted = pathlib.Path(scratch) / f"{graph.stem}_native.json"
    done = run("import", graph, "-o", converted, "--force")
    assert done.returncode == 0, done.stderr
    return converted


def generate(scratch, shape, *options):
    graph = pathlib.Path(scratch) / f"{shape}.json"
    done = run("gen", graph, "--shape", shape, *options)
    assert done.returncode == 0, done.stderr
    return graph


# The built-in models, small; their graphs are training graphs, so steps are not made of them.
MODELS = {
    "inception-v3": ["--level", "layer", "--batch", "1"],
    "gnmt": ["--length", "3", "--batch", "2", "--level", "layer"],
    "transformer-base": ["--level", "layer", "--batch", "2"],
    "moe": ["--level", "layer", "--experts", "4", "--batch", "1"],
    "two-tower": ["--level", "layer", "--batch", "8"],
}
FORWARD = ["gnmt_inference_layers", "inceptionv3_inference_layers"]
TRAINING = ["gnmt_training_layers", "bert24_training_layers", "inceptionv3_training_layers", "resnet50_training_layers"]
