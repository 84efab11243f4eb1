"""TensorFlow graphs through `baechi-place import`, written with TensorBoard's own copies of TensorFlow's messages."""
import json
import os
import pathlib
import statistics
import subprocess
import warnings

import pytest
from google.protobuf import text_format
from tensorboard.compat.proto import config_pb2, graph_pb2, types_pb2

BIN = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"]) / "bin" / "baechi-place"
F32 = types_pb2.DT_FLOAT


class Net:
    """A GraphDef node by node."""

    def __init__(self):
        self.graph = graph_pb2.GraphDef()

    def add(self, name, op, inputs=(), shapes=None, dtype=F32, key="T", device="", group=None, **flags):
        node = self.graph.node.add(name=name, op=op, device=device, input=inputs)
        node.attr[key].type = dtype
        for shape in shapes or []:
            sizes = node.attr["_output_shapes"].list.shape.add()
            if shape is None:
                sizes.unknown_rank = True
            else:
                for size in shape:
                    sizes.dim.add(size=size)
        if group:
            node.attr["_class"].list.s.append(f"loc:@{group}".encode())
        for flag, value in flags.items():
            node.attr[flag].b = value
        return node

    def save(self, path):
        path.write_bytes(self.graph.SerializeToString())
        return path

    def save_text(self, path, **style):
        path.write_text(text_format.MessageToString(self.graph, **style), encoding="utf-8")
        return path


def dense():
    net = Net()
    net.add("x", "Placeholder", shapes=[[-1, 32]], key="dtype")
    net.add("w", "VariableV2", shapes=[[16, 32]], key="dtype", device="/job:w/task:0/device:GPU:1")
    net.add("w/read", "Identity", ["w"], shapes=[[16, 32]], group="w")
    net.add("y", "MatMul", ["x", "w/read"], shapes=[[-1, 16]], device="/gpu:0", transpose_b=True)
    net.add("pair", "Split", ["y:0", "^x"], shapes=[[-1, 8], [-1, 8]])
    net.add("more", "Greater", ["pair", "pair:1"], shapes=[[-1, 8]])
    net.add("end", "NoOp", ["^more"])
    return net


def imported(path, *options):
    out = path.parent / "graph.json"
    done = subprocess.run([BIN, "import", path, "-o", out, "--force", "--json", *map(str, options)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), json.loads(out.read_text())


def test_shapes_types_groups_devices_and_control_edges(tmp_path):
    summary, graph = imported(dense().save(tmp_path / "g.pb"), "--dim", "batch=4")
    ops = {op["name"]: op for op in graph["ops"]}
    assert [op["out"] for op in graph["ops"]] == [[4 * 32 * 4], [2048], [2048], [4 * 16 * 4], [128, 128], [4 * 8], []]
    assert ops["w"]["perm"] == 2048 and graph["meta"]["persistent_memory"] == "in-outputs"
    assert ops["w"]["groups"] == ops["w/read"]["groups"] == ["w"]
    assert (ops["w"]["expert"], ops["y"]["expert"], "expert" in ops["x"]) == (1, 0, False)
    assert summary["dense_flops"] == 2 * 4 * 16 * 32
    edges = {(e["src"], e["dst"], e["tensor"]): e["bytes"] for e in graph["edges"]}
    assert edges["x", "pair", "^x"] == 4 and edges["pair", "more", "pair:1"] == 128 and edges["y", "pair", "y:0"] == 256
    assert ops["y"]["bwd_us"] == 2 * ops["y"]["us"] and ops["w"]["us"] == 0


def trace(times, kernels=None, temp=0, cost=None):
    metadata = config_pb2.RunMetadata()
    cpu = metadata.step_stats.dev_stats.add(device="/job:w/replica:0/task:0/device:GPU:0")
    for name, us in times.items():
        stats = cpu.node_stats.add(node_name=name, op_start_rel_micros=7, op_end_rel_micros=7 + us)
        stats.memory_stats.temp_memory_size = temp
        output = stats.output.add(slot=0)
        output.tensor_description.dtype = F32
        output.tensor_description.shape.dim.add(size=us)
    cpu.node_stats.add(node_name="y/_12", op_end_rel_micros=10000)
    for stream in ["all", "13"]:
        gpu = metadata.step_stats.dev_stats.add(device=f"/device:GPU:0/stream:{stream}")
        for name, nanos in kernels or []:
            gpu.node_stats.add(node_name=name, op_start_rel_nanos=1000, op_end_rel_nanos=1000 + nanos)
    for name, us in (cost or {}).items():
        metadata.cost_graph.node.add(name=name, compute_cost=us, temporary_memory_size=5).output_info.add(size=99)
    return metadata.SerializeToString()


def test_times_are_medians_and_memory_the_largest_over_traced_steps(tmp_path):
    path = dense().save(tmp_path / "g.pb")
    options = []
    for i, us in enumerate([30, 10, 20]):
        (tmp_path / f"{i}.meta").write_bytes(trace({"y": us, "pair": 3 * us}, temp=us))
        options += ["--run-metadata", tmp_path / f"{i}.meta"]
    summary, graph = imported(path, *options)
    ops = {op["name"]: op for op in graph["ops"]}
    assert ops["y"]["us"] == statistics.median([30, 10, 20]) and ops["pair"]["us"] == 60
    assert ops["y"]["temp"] == 30 and ops["y"]["out"] == [30 * 4]
    assert ops["x"]["us"] == ops["more"]["us"] == 1  # not traced
    assert any("5" in note and "no trace" in note for note in summary["notes"])
    assert "y/_12" not in ops


def test_a_gpus_time_is_that_of_its_kernels_and_the_cost_graph_fills_in(tmp_path):
    path = dense().save(tmp_path / "g.pb")
    (tmp_path / "meta").write_bytes(trace({"y": 500}, kernels=[("y:MatMul", 2500), ("y:BiasAdd", 1500)], cost={"more": 8, "y": 77}))
    _, graph = imported(path, "--run-metadata", tmp_path / "meta")
    ops = {op["name"]: op for op in graph["ops"]}
    assert ops["y"]["us"] == 4  # both kernels, counted once though two streams name them
    assert ops["more"]["us"] == 8 and ops["more"]["temp"] == 5 and ops["more"]["out"] == [99]


def test_a_loop_counts_as_one_round(tmp_path):
    net = Net()
    net.add("start", "Placeholder", shapes=[[4]], key="dtype")
    net.add("enter", "Enter", ["start"], shapes=[[4]])
    net.add("merge", "Merge", ["enter", "next"], shapes=[[4], []])
    net.add("body", "Tanh", ["merge"], shapes=[[4]])
    net.add("next", "NextIteration", ["body"], shapes=[[4]])
    summary, graph = imported(net.save(tmp_path / "g.pb"))
    assert len(graph["edges"]) == 4
    assert any("loop" in note for note in summary["notes"])


@pytest.mark.parametrize("change, said", [
    (lambda net: net.add("z", "Relu", ["nowhere"]), "nowhere"),
    (lambda net: net.add("x", "Relu", ["y"], shapes=[[1]]), "same name"),
    (lambda net: net.graph.node[0].input.append("y"), "cycle"),
    (lambda net: [node.attr.pop("_output_shapes", None) for node in net.graph.node], "add_shapes=True"),
])
def test_bad_graphs_are_exit_3(tmp_path, change, said):
    net = dense()
    change(net)
    done = subprocess.run([BIN, "import", net.save(tmp_path / "g.pb"), "--dim", "batch=4"], capture_output=True, text=True)
    assert done.returncode == 3 and said in done.stderr and "g.pb" in done.stderr and done.stderr.count("\n") == 1


def test_an_open_batch_is_asked_for(tmp_path):
    done = subprocess.run([BIN, "import", dense().save(tmp_path / "g.pb")], capture_output=True, text=True)
    assert done.returncode == 2 and "--dim batch=8" in done.stderr


def test_cut_anywhere_it_is_refused_or_smaller(tmp_path):
    whole = dense().save(tmp_path / "g.pb").read_bytes()
    for length in range(0, len(whole), 7):
        path = tmp_path / "cut.pb"
        path.write_bytes(whole[:length])
        done = subprocess.run([BIN, "import", path, "--dim", "batch=4"], capture_output=True, text=True)
        assert done.returncode in (0, 3), done.stderr
        assert done.returncode == 0 or done.stderr.count("\n") == 1


def test_outputs_that_are_only_named_take_no_memory(tmp_path):
    """Every node reads output 99,999 of the one before: a megabyte that would become 16 GB."""
    net = Net()
    net.add("n0", "Placeholder", shapes=[[1]], key="dtype")
    for i in range(20_000):
        net.add(f"n{i + 1}", "X", [f"n{i}:99999"])
    path = net.save(tmp_path / "g.pb")
    done = subprocess.run(["sh", "-c", 'ulimit -v 600000; exec "$@"', "sh", BIN, "import", path], capture_output=True, text=True)
    assert done.returncode == 3 and "100000 outputs" in done.stderr, done.stderr


def test_a_shape_has_at_most_254_axes(tmp_path):
    net = Net()
    net.add("a", "Placeholder", shapes=[[1] * 255], key="dtype")
    done = subprocess.run([BIN, "import", net.save(tmp_path / "g.pb")], capture_output=True, text=True)
    assert done.returncode == 3 and "255 axes" in done.stderr


STYLES = [{}, {"as_one_line": True}, {"use_short_repeated_primitives": True}, {"as_utf8": True}, {"pointy_brackets": True}]


def everything():
    """A graph with every kind of attribute, and texts that need quoting."""
    net = dense()
    odd = net.add("sp\u00e4t/\"quoted\"\\\n\t\x01'", "Const", shapes=[[2, 3]], key="dtype", device="/gpu:3")
    tensor = odd.attr["value"].tensor
    tensor.dtype = F32
    tensor.tensor_content = bytes(range(256))
    tensor.float_val.extend([1.5, float("inf"), float("nan"), -1e-30])
    tensor.tensor_shape.dim.add(size=2, name="rows")
    odd.attr["i"].i = -2**63
    odd.attr["f"].f = -float("inf")
    odd.attr["padding"].s = b"SAME}]>\"\x00\xff"
    odd.attr["shape"].shape.unknown_rank = True
    odd.attr["func"].func.name = "g"
    odd.attr["func"].func.attr["x"].list.f.extend([0.5, 2])
    odd.attr["many"].list.i.extend([1, -2, 3])
    odd.attr["many"].list.b.extend([True, False])
    odd.attr["hole"].placeholder = "T"
    odd.experimental_debug_info.original_node_names.append("a")
    net.graph.versions.producer = 27
    net.graph.versions.bad_consumers.extend([1, 2])
    net.graph.library.function.add().signature.name = "f"
    net.graph.library.gradient.add(function_name="f", gradient_func="g")
    return net


@pytest.mark.parametrize("style", STYLES, ids=lambda style: "-".join(style) or "plain")
def test_the_text_format_gives_the_graph_of_the_binary_one(tmp_path, style):
    net = everything()
    from_binary = imported(net.save(tmp_path / "g.pb"), "--dim", "batch=4")
    for name in ["g.pbtxt", "g.pb"]:  # told by its name, or by its first word
        from_text = imported(net.save_text(tmp_path / name, **style), "--dim", "batch=4")
        assert from_text == from_binary


def test_every_type_has_its_name_in_the_text_format(tmp_path):
    for name, number in types_pb2.DataType.items():
        graphs = []
        for value in [name, number]:
            text = f'node {{ name: "a" op: "X" attr {{ key: "T" value {{ type: {value} }} }} attr {{ key: "_output_shapes" value {{ list {{ shape {{ }} }} }} }} }}'
            (tmp_path / "g.pbtxt").write_text(f'{text} node {{ name: "b" op: "Y" input: "a" attr {{ key: "shape" value {{ shape {{ }} }} }} attr {{ key: "T" value {{ type: DT_FLOAT }} }} }}')
            graphs.append(imported(tmp_path / "g.pbtxt")[1])
        assert graphs[0] == graphs[1], name


def verdict(path, text):
    """What `import` says of a text: the graph, or None."""
    path.write_text(text)
    done = subprocess.run([BIN, "import", path, "-o", path.parent / "graph.json", "--force", "--dim", "batch=4"], capture_output=True, text=True)
    assert done.returncode in (0, 3) and (done.returncode == 0 or done.stderr.count("\n") == 1), done.stderr
    return json.loads((path.parent / "graph.json").read_text()) if done.returncode == 0 else None


@pytest.mark.parametrize("net", [dense, everything])
def test_a_changed_text_gives_what_protobufs_own_parser_makes_of_it(tmp_path, net):
    """Cut, and with characters changed. Only where values are skipped may more be accepted than protobuf accepts."""
    text = net().save_text(tmp_path / "g.pbtxt").read_text()
    both = 0
    for i in range(0, len(text), max(1, len(text) // 70)):
        for changed in [text[:i], text[:i] + text[i + 1:], text[:i] + "}" + text[i:], text[:i] + '"' + text[i + 1:]]:
            ours = verdict(tmp_path / "changed.pbtxt", changed)
            try:
                with warnings.catch_warnings(action="error"):  # of an escape that is none, which only this implementation takes
                    parsed = text_format.Parse(changed, graph_pb2.GraphDef())
            except (text_format.ParseError, DeprecationWarning):
                assert ours is None or net is everything, changed
                continue
            (tmp_path / "changed.pb").write_bytes(parsed.SerializeToString())
            done = subprocess.run([BIN, "import", tmp_path / "changed.pb", "-o", tmp_path / "again.json", "--force", "--dim", "batch=4"], capture_output=True)
            assert ours == (json.loads((tmp_path / "again.json").read_text()) if done.returncode == 0 else None), changed
            both += ours is not None
    assert both > 10
