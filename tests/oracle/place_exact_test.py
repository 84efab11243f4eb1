"""baechi-place's solvers and limits against peers: METIS by pymetis, HiGHS, and simulate.py's own replay."""
import json
import re
import subprocess

import pytest
from place_test import BIN, DATA, place, random_graph
from simulate import simulate


def test_min_cut_is_as_good_as_pymetis(tmp_path):
    pymetis = pytest.importorskip("pymetis")
    for seed in range(3):
        path = random_graph(tmp_path / "g.json", 200 + seed, ops=300)
        graph = json.loads(path.read_text())
        place(path, tmp_path / "p.json", "--force", "--algo", "mincut", "--group", "none", "--us-per-byte", "0.002", "--latency-us", "1",
              "--devices", "4")
        home = json.load(open(tmp_path / "p.json"))["assign"]
        names = [op["name"] for op in graph["ops"]]
        index = {name: i for i, name in enumerate(names)}
        cost = {}
        for src, dst, _, bytes in {(e["src"], e["dst"], e["tensor"], e["bytes"]) for e in graph["edges"]}:
            pair = tuple(sorted((index[src], index[dst])))
            cost[pair] = cost.get(pair, 0) + round(1000 * (0.002 * bytes + 1))
        work = [round(1000 * op["us"]) for op in graph["ops"]]
        begin, neighbours, weights = [0], [], []
        for i in range(len(names)):
            for (a, b), c in sorted(cost.items()):
                if i in (a, b):
                    neighbours.append(a + b - i)
                    weights.append(c)
            begin.append(len(neighbours))
        theirs, _ = pymetis.part_graph(4, xadj=begin, adjncy=neighbours, vweights=work, eweights=weights, recursive=False)
        ours = sum(c for (a, b), c in cost.items() if home[names[a]] != home[names[b]])
        assert ours <= 1.1 * theirs  # other versions draw other random numbers
        load = {}
        for name, w in zip(names, work):
            load[home[name]] = load.get(home[name], 0) + w
        assert max(load.values()) <= 1.06 * sum(work) / 4


def test_the_favourite_programme_by_pdlp_is_highss(tmp_path):
    for seed in range(3):
        path = random_graph(tmp_path / "g.json", 300 + seed, ops=80)
        options = ["--force", "--algo", "m-sct", "--group", "none", "--no-fuse", "--us-per-byte", "0.002", "--latency-us", "1"]
        highs = place(path, tmp_path / "p.json", "--lp", "highs", *options)["lp_objective_us"]
        assert place(path, tmp_path / "p.json", "--lp", "pdlp", *options)["lp_objective_us"] == pytest.approx(highs, rel=1e-3)


GRAPHS = sorted(DATA.glob("*.json")) + sorted((DATA / "workloads").glob("*.json"))


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_every_limit_is_kept_or_refused_with_one_that_works(tmp_path, graph):
    """At parts of what one device would need: a placement whose replay fits, or exit 4 that says by how much, what and which limit."""
    own = tmp_path / "graph.json"  # the workloads are in the format of others, which simulate.py does not read
    subprocess.run([BIN, "import", graph, "-o", own], check=True, capture_output=True)
    graph = own
    need = json.loads(subprocess.run([BIN, "inspect", graph, "--json"], capture_output=True, text=True).stdout)["most_bytes_infer"]
    fast = ["--devices", "3", "--lp", "none", "--refine-steps", "5", "--no-progress"]

    def run(limit):
        out = tmp_path / f"{limit}.json"
        done = subprocess.run([BIN, "place", graph, "-o", out, "--memory", str(limit), *fast], capture_output=True, text=True)
        assert done.returncode in (0, 4), done.stderr
        if done.returncode == 0:
            assert max(simulate(graph, out)[1].values()) <= limit
        return done
    for part in [1.0, 0.6, 0.4, 0.25]:
        done = run(int(need * part))
        if done.returncode == 4:
            assert " needs " in done.stderr and "smallest equal limit" in done.stderr
            named = int(re.findall(r"\((\d+) bytes\)", done.stderr)[-1])
            assert named > int(need * part)
            assert run(named).returncode == 0
            break
