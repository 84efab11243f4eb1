"""place_peers.py SCRATCH PROGRAM GRAPH: what scripts/bench.d/place_peers prints.

"theirs" are seconds of the call alone, "ours" of the whole program: start, reading the graph, simulating and writing the placement. "quality" is
ours over theirs where less is better: makespan for heft, what the cut costs for METIS and Scotch. heft's rank function visits every path, so that it is
compared on small graphs."""
import json
import math
import pathlib
import random
import shutil
import subprocess
import sys
import time

scratch, program, gnmt = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
results = []


def add(name, value, unit, **more):
    results.append({"name": name, "value": value, "unit": unit, **more})


def run(*arguments):
    done = subprocess.run([program, *map(str, arguments), "--json", "--no-progress"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def seconds_of(call):
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def place(graph, algo, *options):
    out = scratch / "placement.json"
    spent, result = seconds_of(lambda: run("place", graph, "-o", out, "--force", "--algo", algo, "--no-fuse", *options))
    return spent, result, json.loads(out.read_text())["assign"]


# ---- heft: random DAGs of 18 operators on three devices, every edge with a cost of its own
def random_dag(seed, ops=18):
    rng = random.Random(seed)
    work = [rng.randrange(1, 40) for _ in range(ops)]
    edges = {(i, j): rng.randrange(0, 30) for j in range(1, ops) for i in rng.sample(range(j), min(j, rng.randrange(1, 3)))}
    graph = {"format": "baechi-graph", "version": 1, "meta": {},
             "ops": [{"name": f"n{i}", "us": us, "out": []} for i, us in enumerate(work)],
             "edges": [{"src": f"n{i}", "dst": f"n{j}", "tensor": f"e{i}_{j}", "bytes": 1, "us": us} for (i, j), us in edges.items()]}
    path = scratch / f"dag{seed}.json"
    path.write_text(json.dumps(graph))
    return path, work, edges


package = scratch / "heft-0.1.1" / "heft"
if package.exists():
    sys.path.insert(0, str(package))
    import core  # its modules import each other by these names

    ratios, their_seconds, our_seconds, our_planning = [], 0, 0, 0
    for seed in range(20):
        path, work, edges = random_dag(seed)
        successors = {i: tuple(j for a, j in edges if a == i) for i in range(len(work))}
        successors = {i: after for i, after in successors.items() if after}
        spent, (agents, _) = seconds_of(lambda: core.schedule(
            successors, "abc", lambda job, agent: work[job], lambda i, j, a, b: 0 if a == b else edges[i, j]))
        whole, ours, _ = place(path, "heft", "--devices", 3, "--comm", "parallel", "--group", "none")
        ratios.append(ours["makespan_us"] / core.makespan(agents))
        their_seconds += spent
        our_seconds += whole
        our_planning += ours["plan_seconds"]
    add("heft, 20 DAGs of 18 operators: quality (mean ratio)", math.exp(sum(map(math.log, ratios)) / len(ratios)), "ours / theirs",
        best=min(ratios), worst=max(ratios))
    add("heft, the same: theirs", their_seconds, "s")
    add("heft, the same: ours", our_seconds, "s", planning=our_planning)

# ---- the GNMT profile on four devices
graph = json.loads(gnmt.read_text())
names = [op["name"] for op in graph["ops"]]
index = {name: i for i, name in enumerate(names)}
devices = {f"device{d}": d for d in range(4)}
LINK = ["--latency-us", 134, "--us-per-byte", 0.0001754]
weights = {}
for src, dst, _, size in {(edge["src"], edge["dst"], edge["tensor"], edge["bytes"]) for edge in graph["edges"]}:
    pair = tuple(sorted((index[src], index[dst])))
    weights[pair] = weights.get(pair, 0) + round(134 + 0.0001754 * size)
work = [max(1, round(op["us"])) for op in graph["ops"]]

import pymetis

neighbours = [[] for _ in names]
for (a, b), weight in sorted(weights.items()):
    neighbours[a].append((b, weight))
    neighbours[b].append((a, weight))
begin = [0]
for entry in neighbours:
    begin.append(begin[-1] + len(entry))
adjacency = pymetis.CSRAdjacency(begin, [b for entry in neighbours for b, _ in entry])
spent, (_, parts) = seconds_of(lambda: pymetis.part_graph(
    4, adjacency, eweights=[w for entry in neighbours for _, w in entry], vweights=work, recursive=False))
whole, _, assign = place(gnmt, "mincut", "--devices", 4, "--group", "none", *LINK)
home = [devices[assign[name]] for name in names]
cut = lambda part: sum(weight for (a, b), weight in weights.items() if part[a] != part[b])
imbalance = lambda part: 4 * max(sum(w for w, p in zip(work, part) if p == d) for d in range(4)) / sum(work)
add("GNMT, pymetis: quality (cost of the cut)", cut(home) / cut(parts), "ours / theirs", imbalance=imbalance(home), their_imbalance=imbalance(parts))
add("GNMT, pymetis: theirs", spent, "s")
add("GNMT, mincut: ours", whole, "s")

# Scotch by its program, where it is installed (Debian: scotch).
gpart = shutil.which("scotch_gpart") or shutil.which("gpart")
if gpart:
    lines = ["0", f"{len(names)} {begin[-1]}", "0 011"]  # weights of edges and vertices
    lines += [f"{w} {len(entry)} " + " ".join(f"{weight} {b}" for b, weight in entry) for w, entry in zip(work, neighbours)]
    (scratch / "gnmt.grf").write_text("\n".join(lines) + "\n")
    spent, _ = seconds_of(lambda: subprocess.run([gpart, "4", scratch / "gnmt.grf", scratch / "gnmt.map", "-b0.05"], check=True, capture_output=True))
    parts = [0] * len(names)
    for line in (scratch / "gnmt.map").read_text().splitlines()[1:]:
        vertex, part = map(int, line.split())
        parts[vertex] = part
    add("GNMT, Scotch's gpart: quality (cost of the cut)", cut(home) / cut(parts), "ours / theirs",
        imbalance=imbalance(home), their_imbalance=imbalance(parts))
    add("GNMT, Scotch's gpart: theirs", spent, "s")

import torch
from accelerate import infer_auto_device_map
from accelerate.utils import get_balanced_memory

model = torch.nn.Module()
for i, op in enumerate(graph["ops"]):
    leaf = type(f"Leaf{i}", (torch.nn.Module,), {})()
    if op.get("perm", 0):
        leaf.weight = torch.nn.Parameter(torch.empty(op["perm"], dtype=torch.int8, device="meta"), requires_grad=False)
    model.add_module(f"m{i}", leaf)
classes = [f"Leaf{i}" for i in range(len(names))]
memory = 10**12
spent, theirs = seconds_of(lambda: infer_auto_device_map(
    model, get_balanced_memory(model, {**{d: memory for d in range(4)}, "cpu": memory}, no_split_module_classes=classes),
    no_split_module_classes=classes, clean_result=False))
whole, _, assign = place(gnmt, "accelerate", "--devices", 4, "--memory", memory, "--group", "none")
same = sum(theirs[f"m{i}"] == devices[assign[name]] for i, name in enumerate(names))
add("GNMT, accelerate: operators on the same device", same, f"of {len(names)}")
add("GNMT, accelerate: theirs", spent, "s")
add("GNMT, accelerate: ours", whole, "s")

import networkx

dag = networkx.DiGraph()
dag.add_nodes_from(names)
dag.add_weighted_edges_from((edge["src"], edge["dst"], graph["ops"][index[edge["dst"]]]["us"]) for edge in graph["edges"])
spent, _ = seconds_of(lambda: networkx.dag_longest_path_length(dag))
whole, _ = seconds_of(lambda: run("inspect", gnmt))
add("GNMT, networkx's longest chain: theirs", spent, "s")
add("GNMT, inspect: ours", whole, "s")
print(json.dumps(results))
