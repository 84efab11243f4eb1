"""baechi-place against tests/oracle/simulate.py, SciPy's HiGHS and networkx."""
import json
import os
import pathlib
import random
import subprocess

import networkx
import pytest
from simulate import simulate

BIN = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"]) / "bin" / "baechi-place"
DATA = pathlib.Path(os.environ["ORCHARD_SOURCE_DIR"]) / "data" / "graphs"


def place(graph, out, *options):
    done = subprocess.run([BIN, "place", graph, "-o", out, "--json", "--no-progress", *options],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def random_graph(path, seed, ops=30):
    rng = random.Random(seed)
    nodes = [{"name": f"n{i}", "us": rng.randrange(0, 40) / 4, "perm": rng.randrange(900), "temp": rng.randrange(900),
              "out": [rng.randrange(2000), rng.randrange(2000)]} for i in range(ops)]
    edges = []
    for j in range(1, ops):
        for i in sorted(rng.sample(range(j), min(j, rng.randrange(4)))):
            for port in rng.sample([0, 1], rng.choice([1, 1, 2])):
                edges.append({"src": f"n{i}", "dst": f"n{j}", "tensor": f"n{i}:{port}", "bytes": nodes[i]["out"][port]})
            if rng.random() < 0.1:
                edges.append({"src": f"n{i}", "dst": f"n{j}", "tensor": f"^n{i}", "bytes": 4})
    rng.shuffle(edges)
    path.write_text(json.dumps({"format": "baechi-graph", "version": 1, "meta": {}, "ops": nodes, "edges": edges}))
    return path


@pytest.mark.parametrize("comm", ["parallel", "duplex", "half"])
@pytest.mark.parametrize("seed", range(8))
def test_random_graphs_run_as_the_placement_says(tmp_path, comm, seed):
    graph = random_graph(tmp_path / "g.json", seed)
    link = ["--us-per-byte", "0.002", "--latency-us", "1", "--comm", comm, "--devices", "3"]
    for algo in ["auto", "m-etf", "m-sct", "heft", "random"]:
        result = place(graph, tmp_path / "p.json", "--force", "--algo", algo, "--refine-steps", "50", *link)
        makespan, peak = simulate(graph, tmp_path / "p.json", comm, 0.002, 1)
        assert makespan == round(result["makespan_us"] * 1000), algo
        assert list(peak.values()) == result["peak_bytes"], algo


@pytest.mark.parametrize("comm", ["parallel", "duplex", "half"])
def test_the_gnmt_profile_runs_as_the_placement_says(tmp_path, comm):
    graph = DATA / "gnmt_v2.json"
    result = place(graph, tmp_path / "p.json", "--devices", "4", "--comm", comm, "--refine-steps", "50")
    makespan, peak = simulate(graph, tmp_path / "p.json", comm)
    assert makespan == round(result["makespan_us"] * 1000)
    assert list(peak.values()) == result["peak_bytes"]


STEP = ["--step", "training", "--launch-us", "1", "--bandwidth", "0.5"]


@pytest.mark.parametrize("comm", ["parallel", "duplex", "half"])
@pytest.mark.parametrize("microbatches", ["1", "3", "auto"])
@pytest.mark.parametrize("seed", range(4))
def test_training_steps_run_as_the_placement_says(tmp_path, comm, microbatches, seed):
    rng = random.Random(seed)
    path = random_graph(tmp_path / "g.json", 200 + seed, ops=14)
    graph = json.loads(path.read_text())
    for op in graph["ops"]:
        op["op"] = rng.choice(["MatMul", "Add"])
        if rng.random() < 0.5:
            op["bwd_us"] = rng.randrange(80) / 4
        if rng.random() < 0.5:
            op["saved"] = [rng.random() < 0.5, rng.random() < 0.5]
        if rng.random() < 0.3:
            op["perm"] = 0
    if seed % 2:
        graph["meta"]["persistent_memory"] = "in-outputs"
        for op in graph["ops"]:
            op["perm"] = min(op["perm"], sum(op["out"]))
    path.write_text(json.dumps(graph))
    link = ["--us-per-byte", "0.002", "--latency-us", "1", "--comm", comm, "--devices", "3"]
    for optimizer in ["none", "sgd", "momentum", "adam"]:
        for algo in ["auto", "random"]:
            result = place(path, tmp_path / "p.json", "--force", "--algo", algo, "--refine-steps", "50", "--microbatches", microbatches,
                           "--optimizer", optimizer, *STEP, *link)
            makespan, peak = simulate(path, tmp_path / "p.json", comm, 0.002, 1)
            assert makespan == round(result["makespan_us"] * 1000), algo
            assert list(peak.values()) == result["peak_bytes"], algo


@pytest.mark.parametrize("microbatches", ["1", "2"])
def test_recomputation_fits_as_the_placement_says(tmp_path, microbatches):
    options = ["--us-per-byte", "0.002", "--latency-us", "1", "--devices", "2", "--microbatches", microbatches, "--refine-steps", "20", *STEP]
    again = 0
    for seed in range(6):
        graph = random_graph(tmp_path / "g.json", 300 + seed, ops=16)
        content = json.loads(graph.read_text())
        for op in content["ops"]:
            op["perm"] //= 50
        graph.write_text(json.dumps(content))
        need = max(place(graph, tmp_path / "p.json", "--force", *options, "--algo", "single")["peak_bytes"])
        for percent in range(40, 100, 10):
            limit = need * percent // 100
            out = tmp_path / f"{seed}_{percent}.json"
            done = subprocess.run([BIN, "place", graph, "-o", out, "--json", "--no-progress", *options, "--memory", str(limit), "--algo", "single",
                                   "--recompute", "auto"], capture_output=True, text=True)
            assert done.returncode in (0, 4), done.stderr
            if done.returncode == 0:
                result = json.loads(done.stdout)
                again += result["step"]["recomputed_operators"]
                makespan, peak = simulate(graph, out, "parallel", 0.002, 1)
                assert makespan == round(result["makespan_us"] * 1000)
                assert list(peak.values()) == result["peak_bytes"]
                assert max(peak.values()) <= limit
    assert again > 0  # not every graph has outputs that only one segment reads


HOST = ["--host-us-per-byte", "0.001", "--host-latency-us", "2", "--host-bandwidth", "0.3"]


@pytest.mark.parametrize("comm", ["parallel", "duplex", "half"])
@pytest.mark.parametrize("step", [[], [*STEP, "--microbatches", "1"], [*STEP, "--microbatches", "2", "--recompute", "auto"]])
def test_parameters_on_the_host_come_as_the_placement_says(tmp_path, comm, step):
    options = ["--us-per-byte", "0.002", "--latency-us", "1", "--comm", comm, "--refine-steps", "20", *step, *HOST]
    fetched = gradients = 0
    for seed in range(4):
        graph = random_graph(tmp_path / "g.json", 400 + seed, ops=16)
        content = json.loads(graph.read_text())
        for op in content["ops"]:
            op["perm"] *= 5
        if seed % 2:
            content["meta"]["persistent_memory"] = "in-outputs"
            for op in content["ops"]:
                op["perm"] = min(op["perm"], sum(op["out"]))
        graph.write_text(json.dumps(content))
        for devices in ["1", "3"]:
            need = max(place(graph, tmp_path / "p.json", "--force", "--devices", devices, *options)["peak_bytes"])
            for percent in range(40, 100, 15):
                limit = need * percent // 100
                out = tmp_path / f"{seed}_{devices}_{percent}.json"
                done = subprocess.run([BIN, "place", graph, "-o", out, "--json", "--no-progress", "--devices", devices, *options,
                                       "--memory", str(limit), "--offload", "auto"], capture_output=True, text=True)
                assert done.returncode in (0, 4), done.stderr
                if done.returncode == 4:
                    continue
                result = json.loads(done.stdout)
                offload = result.get("offload", {"fetches": 0})
                fetched += offload["fetches"]
                makespan, peak = simulate(graph, out, comm, 0.002, 1, host_us_per_byte=0.001, host_latency_us=2, host_bandwidth=0.3)
                assert makespan == round(result["makespan_us"] * 1000)
                assert list(peak.values()) == result["peak_bytes"]
                assert max(peak.values()) <= limit
                gradients += sum("gradient" in move for move in json.loads(out.read_text()).get("host_transfers", []))
    assert fetched > 20
    assert gradients > 0 or not step


def test_memory_limits_hold_by_independent_replay(tmp_path):
    graph = DATA / "gnmt_v2.json"
    need = json.loads(subprocess.run([BIN, "inspect", graph, "--json"], capture_output=True, text=True).stdout)
    placed = 0
    for part in [1.0, 0.5, 0.25, 0.1, 0.05]:
        limit = int(need["most_bytes_infer"] * part)
        out = tmp_path / f"{part}.json"
        done = subprocess.run([BIN, "place", graph, "-o", out, "--devices", "4", "--memory", str(limit), "--refine-steps", "20",
                               "--no-progress"], capture_output=True, text=True)
        assert done.returncode in (0, 4), done.stderr
        if done.returncode == 0:
            placed += 1
            assert max(simulate(graph, out)[1].values()) <= limit
        else:
            assert "smallest equal limit" in done.stderr and "needs" in done.stderr
    assert placed >= 1


def test_the_longest_chain_is_networkxs():
    graph = json.load(open(DATA / "gnmt_v2.json"))
    dag = networkx.DiGraph()
    for op in graph["ops"]:
        dag.add_node(op["name"])
    us = {op["name"]: op["us"] for op in graph["ops"]}
    for edge in graph["edges"]:
        dag.add_edge(edge["src"], edge["dst"], weight=us[edge["src"]])
    for name in list(dag):  # an edge behind every operator that ends a chain
        if dag.out_degree(name) == 0:
            dag.add_edge(name, ("end", name), weight=us[name])
    facts = json.loads(subprocess.run([BIN, "inspect", DATA / "gnmt_v2.json", "--json"], capture_output=True, text=True).stdout)
    assert networkx.dag_longest_path_length(dag) == pytest.approx(facts["critical_path_us"])


def test_the_favourite_programme_is_scipys(tmp_path):
    optimize = pytest.importorskip("scipy.optimize")
    for seed in range(6):
        path = random_graph(tmp_path / "g.json", 100 + seed, ops=14)
        graph = json.loads(path.read_text())
        result = place(path, tmp_path / "p.json", "--force", "--algo", "m-sct", "--group", "none", "--no-fuse", "--us-per-byte", "0.002",
                       "--latency-us", "1")
        names = [op["name"] for op in graph["ops"]]
        work = {op["name"]: op["us"] for op in graph["ops"]}
        cost = {}
        for tensor in {(e["src"], e["dst"], e["tensor"], e["bytes"]) for e in graph["edges"]}:
            cost[tensor[:2]] = cost.get(tensor[:2], 0) + 0.002 * tensor[3] + 1
        edges = list(cost)
        start = {name: len(edges) + i for i, name in enumerate(names)}
        columns = len(edges) + len(names) + 1
        rows, limits = [], []

        def at_most(entries, limit):
            row = [0.0] * columns
            for column, value in entries:
                row[column] += value
            rows.append(row)
            limits.append(limit)
        for e, (i, j) in enumerate(edges):
            at_most([(start[i], 1), (e, cost[i, j]), (start[j], -1)], -work[i])
        for name in names:
            at_most([(start[name], 1), (columns - 1, -1)], -work[name])
            for ends in (0, 1):
                own = [e for e, edge in enumerate(edges) if edge[ends] == name]
                if own:
                    at_most([(e, -1) for e in own], 1 - len(own))
        bounds = [(0, 1)] * len(edges) + [(0, None)] * (len(names) + 1)
        best = optimize.linprog([0] * (columns - 1) + [1], A_ub=rows, b_ub=limits, bounds=bounds, method="highs")
        assert result["lp_objective_us"] == pytest.approx(best.fun, rel=1e-5)
