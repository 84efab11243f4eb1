"""m-SCT's favourite-child programme, by all solvers, against SciPy's HiGHS on a programme written down here."""
import json

import numpy
import pytest
from place_test import DATA, place, random_graph
from scipy.optimize import linprog
from scipy.sparse import coo_array


def objective(graph, us_per_byte, latency_us):
    """min W: s_i + w_i + c_e x_e <= s_j, s_i + w_i <= W, sums of 1 - x at both ends of the edges at most 1; in microseconds."""
    graph = json.loads(graph.read_text())
    index = {op["name"]: i for i, op in enumerate(graph["ops"])}
    work = [round(1000 * op.get("us", 0)) / 1000 for op in graph["ops"]]
    pairs = {}
    for edge in graph["edges"]:
        tensors = pairs.setdefault((index[edge["src"]], index[edge["dst"]]), {})
        tensors[edge["tensor"]] = round(1000 * (us_per_byte * edge["bytes"] + latency_us)) / 1000
    n, m = len(work), len(pairs)
    rows, columns, values, right = [], [], [], []

    def row(entries, bound):
        for column, value in entries:
            rows.append(len(right))
            columns.append(column)
            values.append(value)
        right.append(bound)
    out, into = {}, {}
    for e, ((i, j), tensors) in enumerate(pairs.items()):
        row([(m + i, 1), (m + j, -1), (e, sum(tensors.values()))], -work[i])
        out.setdefault(i, []).append(e)
        into.setdefault(j, []).append(e)
    for i in range(n):
        row([(m + i, 1), (m + n, -1)], -work[i])
    for group in [*out.values(), *into.values()]:
        row([(e, -1) for e in group], 1 - len(group))
    cost = numpy.zeros(m + n + 1)
    cost[-1] = 1
    found = linprog(cost, A_ub=coo_array((values, (rows, columns))).tocsr(), b_ub=right, bounds=[(0, 1)] * m + [(0, None)] * (n + 1),
                    method="highs")
    assert found.status == 0
    return found.fun


def check(graph, out, us_per_byte, latency_us):
    best = objective(graph, us_per_byte, latency_us)
    options = ["--force", "--algo", "m-sct", "--group", "none", "--no-fuse", "--us-per-byte", str(us_per_byte), "--latency-us",
               str(latency_us), "--devices", "4"]
    for solver, gap in [("highs", 1e-6), ("pdlp", 1e-3), ("paths", 0.02)]:
        result = place(graph, out, "--lp", solver, *options)
        assert result["lp_bound_us"] <= best * (1 + 1e-6), solver
        assert best * (1 - 1e-6) <= result["lp_objective_us"] <= best * (1 + gap) + 1e-6, solver


@pytest.mark.parametrize("seed", range(4))
def test_random_programmes(tmp_path, seed):
    check(random_graph(tmp_path / "g.json", 400 + seed, ops=60 + 40 * seed), tmp_path / "p.json", 0.002, 1)


def test_the_gnmt_profile(tmp_path):
    check(DATA / "gnmt_v2.json", tmp_path / "p.json", 0.0001754, 134)
