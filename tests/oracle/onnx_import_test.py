"""Shapes, weights and FLOPs that `baechi-place import` finds in ONNX models: against ONNX Runtime, which runs them, and against
the ONNX project's own test models, which come with their outputs."""
import collections
import json
import os
import pathlib
import subprocess
import warnings

import numpy as np
import onnx
import onnx_models
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

BIN = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"]) / "bin" / "baechi-place"
ZOO = onnx_models.zoo()


def run(*arguments):
    return subprocess.run([BIN, *map(str, arguments)], capture_output=True, text=True)


def imported(model, folder, *options):
    """(summary, graph) of a model."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    done = run("import", path, "-o", folder / "graph.json", "--force", "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), json.loads((folder / "graph.json").read_text())


def node_names(graph):
    """The rule of docs/formats.md: a node's own name where only it has it, else that of its first output."""
    count = collections.Counter(node.name for node in graph.node)
    return [node.name if node.name and count[node.name] == 1 else next(filter(None, node.output), node.op_type) for node in graph.node]


@pytest.mark.parametrize("name", ["inception", "tagger", "encoder"])
def test_every_output_is_as_large_as_onnxruntime_makes_it(tmp_path, name):
    model, feeds, sizes = ZOO[name]
    _, graph = imported(model, tmp_path, *sizes)
    ops = {op["name"]: op for op in graph["ops"]}
    everything = onnx.ModelProto()
    everything.CopyFrom(model)
    del everything.graph.output[:]
    names = [output for node in model.graph.node for output in node.output if output]
    everything.graph.output.extend(onnx.ValueInfoProto(name=output) for output in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(everything.SerializeToString(), options, providers=["CPUExecutionProvider"])
    size = dict(zip(names, (array.nbytes for array in session.run(names, feeds))))
    checked = 0
    for node, node_name in zip(model.graph.node, node_names(model.graph)):
        if node_name in ops:
            assert ops[node_name]["out"] == [size[output] if output else 0 for output in node.output], node_name
            checked += 1
    assert checked == len(ops) - len(model.graph.input) - sum(op["op"] == "Parameter" for op in graph["ops"])


@pytest.mark.parametrize("name", ["inception", "tagger", "encoder"])
def test_weights_are_counted_once(tmp_path, name):
    """Large ones are in the graph once each, whoever reads them; what exporters compute from them counts as its result."""
    model, _, sizes = ZOO[name]
    summary, graph = imported(model, tmp_path, *sizes)
    weights = sum(numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)
    assert weights <= summary["parameter_bytes"] <= weights * 1.1
    if name == "encoder":
        shared = [op for op in graph["ops"] if op["op"] == "Parameter"]
        assert [op["perm"] for op in shared] == [100 * 32 * 4]
        readers = {edge["dst"] for edge in graph["edges"] if edge["src"] == shared[0]["name"]}
        assert len(readers) == 2


def test_the_arithmetic_is_the_closed_form(tmp_path):
    batch = 3
    summary, _ = imported(ZOO["inception"][0], tmp_path, "--dim", f"batch={batch}")

    def conv(co, h, w, ci, kh, kw):
        return 2 * batch * co * h * w * ci * kh * kw
    dense = (conv(16, 24, 32, 3, 7, 7) + conv(8, 12, 16, 16, 1, 1) + conv(8, 12, 16, 16, 1, 7) + conv(8, 12, 16, 8, 7, 1) +
             conv(16, 12, 16, 16 // 4, 3, 3) + 2 * batch * 32 * 12 * 16 * 16 * 9 + conv(32, 12, 16, 16, 3, 3) + 2 * batch * 32 * 10)
    assert summary["dense_flops"] == dense

    summary, _ = imported(ZOO["tagger"][0], tmp_path, "--dim", "batch=3", "--dim", "length=6")
    lstm = 6 * 2 * 8 * 3 * 24 * ((16 + 24) + (48 + 24))  # steps, directions, 8 B H (I + H) of two layers
    gru = 6 * 6 * 3 * 20 * (48 + 20)
    assert summary["dense_flops"] == lstm + gru + 2 * 3 * 6 * 20 * 7

    summary, _ = imported(ZOO["encoder"][0], tmp_path, "--dim", "batch=3", "--dim", "length=6")
    tokens, width = 18, 32
    layer = 2 * tokens * width * width * (4 + 8) + 2 * 2 * tokens * 6 * width
    assert summary["dense_flops"] == 2 * layer + 2 * tokens * width * 100


def test_functions_unfold_and_subgraphs_count(tmp_path):
    summary, graph = imported(ZOO["loops"][0], tmp_path)
    types = collections.Counter(op["op"] for op in graph["ops"])
    assert summary["inlined_calls"] == 3
    assert types == {"Input": 1, "Mul": 2, "Relu": 2, "LeakyRelu": 1, "Add": 1, "Loop": 1, "ReduceSum": 1, "Greater": 1, "If": 1}
    # Two functions of 12 elements (Mul, Relu), LeakyRelu, Add; five rounds of Add and Tanh; sum, comparison, one branch.
    assert summary["flops"] == 12 * (2 * 2 + 1 + 1) + 5 * 2 * 12 + 12 + 1 + 12
    loop = next(op for op in graph["ops"] if op["op"] == "Loop")
    assert loop["out"] == [48, 5 * 48]


def said_in_little_memory(path):
    """Exit code of `import` and what it says to stderr, in 0.6 GB of address space."""
    done = subprocess.run(["sh", "-c", 'ulimit -v 600000; exec "$@"', "sh", BIN, "import", path], capture_output=True, text=True)
    return done.returncode, done.stderr


def refused_in_little_memory(path):
    code, said = said_in_little_memory(path)
    assert code == 3 and said.count("\n") == 1, said
    return said


def model_of(nodes, functions=(), axes=1, domains=("",)):
    shape = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1] * axes)
    graph = onnx.helper.make_graph(nodes, "g", [shape], [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)])
    opsets = [onnx.helper.make_opsetid(domain, 12) for domain in domains]
    return onnx.helper.make_model(graph, functions=functions, opset_imports=opsets).SerializeToString()


@pytest.mark.parametrize("empty", [False, True])
def test_functions_that_double_thirty_times_are_refused(tmp_path, empty):
    """Two kilobytes, which unfold to 2^30 nodes, or to none after 2^30 calls."""
    opsets = [onnx.helper.make_opsetid("", 12), onnx.helper.make_opsetid("d", 12)]
    functions = []
    for k in range(30):
        call = [onnx.helper.make_node(f"f{k + 1}", [a], [b], domain="d") for a, b in [("x", "m"), ("m", "y")]]
        leaf = [] if empty else [onnx.helper.make_node("Identity", ["x"], ["y"])]
        functions.append(onnx.helper.make_function("d", f"f{k}", ["x"], ["y"], call if k < 29 else leaf, opsets))
    path = tmp_path / "doubling.onnx"
    path.write_bytes(model_of([onnx.helper.make_node("f0", ["x"], ["y"], domain="d")], functions, domains=("", "d")))
    assert "unfold" in refused_in_little_memory(path)


def test_a_chain_that_adds_an_axis_at_every_node_is_refused(tmp_path):
    """Less than a megabyte, whose shapes would be the square of that."""
    names = ["x", *(f"v{i}" for i in range(19_999)), "y"]
    path = tmp_path / "axes.onnx"
    path.write_bytes(model_of([onnx.helper.make_node("Unsqueeze", [a], [b], axes=[0]) for a, b in zip(names, names[1:])]))
    assert "65 axes" in refused_in_little_memory(path)
    path.write_bytes(model_of([onnx.helper.make_node("Relu", ["x"], ["y"])], axes=100_000))
    assert "100000 axes" in refused_in_little_memory(path)


def test_numbers_known_in_advance_take_bounded_memory(tmp_path):
    """20,000 sums of 4096 known numbers would be 0.7 GB."""
    names = ["c", *(f"v{i}" for i in range(20_000))]
    nodes = [onnx.helper.make_node("Constant", [], ["c"], value_ints=list(range(4096))),
             *(onnx.helper.make_node("Add", [a, "c"], [b]) for a, b in zip(names, names[1:])),
             onnx.helper.make_node("Cast", [names[-1]], ["f"], to=1), onnx.helper.make_node("Add", ["x", "f"], ["y"])]
    path = tmp_path / "fold.onnx"
    path.write_bytes(model_of(nodes))
    assert said_in_little_memory(path)[0] == 0


def sizes_of(case):
    """A model of the ONNX project with all inputs but the first of floats as constants, and the bytes of its outputs."""
    if case.model is not None:
        model, (inputs, outputs) = case.model, case.data_sets[0]
    else:
        folder = pathlib.Path(case.model_dir)
        model = onnx.load(folder / "model.onnx", load_external_data=False)

        def arrays(kind, count):
            tensors = [onnx.load_tensor(folder / "test_data_set_0" / f"{kind}_{i}.pb") for i in range(count)]
            return [numpy_helper.to_array(tensor) for tensor in tensors]
        weights = {tensor.name for tensor in model.graph.initializer}
        inputs = arrays("input", sum(info.name not in weights for info in model.graph.input))
        outputs = arrays("output", len(model.graph.output))
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    weights = {tensor.name for tensor in fixed.graph.initializer}
    open_inputs = [info for info in fixed.graph.input if info.name not in weights]
    kept = next((i for i, array in enumerate(inputs) if isinstance(array, np.ndarray) and array.dtype.kind == "f"), 0)
    for i, (info, array) in enumerate(zip(open_inputs, inputs)):
        if i != kept:
            fixed.graph.initializer.append(numpy_helper.from_array(np.asarray(array), info.name))
            fixed.graph.input.remove(info)
    sizes = {}
    for info, array in zip(fixed.graph.output, outputs):
        if not isinstance(array, np.ndarray) or array.dtype.kind in "OSU":
            continue
        bits = {onnx.TensorProto.UINT4: 4, onnx.TensorProto.INT4: 4, onnx.TensorProto.FLOAT4E2M1: 4, onnx.TensorProto.UINT2: 2,
                onnx.TensorProto.INT2: 2}.get(info.type.tensor_type.elem_type, 8 * array.dtype.itemsize)
        sizes[info.name] = (array.size * bits + 7) // 8
        info.type.tensor_type.ClearField("shape")  # to be found
    del fixed.graph.value_info[:]
    return fixed, sizes


def test_the_onnx_projects_own_models_have_the_shapes_they_state(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = [case for kind in ["node", "simple", "pytorch-converted", "pytorch-operator"] for case in load_model_tests(kind=kind)]
    data_dependent = {"Compress", "NonMaxSuppression", "NonZero", "Unique", "Loop"}
    understood, wrong, refused = set(), [], collections.Counter()
    checked = 0
    for case in cases:
        if case.name.endswith("_expanded") and case.name[-10] != "e":
            continue
        try:
            model, sizes = sizes_of(case)
        except (ValueError, TypeError, AttributeError, NotImplementedError):
            continue  # sequences and types that numpy does not have
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        done = run("import", path, "-o", tmp_path / "graph.json", "--force")
        assert done.returncode in (0, 2, 3) and (done.returncode == 0 or done.stderr.count("\n") == 1), case.name
        types = {node.op_type for node in model.graph.node}
        if done.returncode:
            refused.update(types if len(types) == 1 else [])
            continue
        ops = {op["name"]: op for op in json.loads((tmp_path / "graph.json").read_text())["ops"]}
        for node, name in zip(model.graph.node, node_names(model.graph)):
            for k, output in enumerate(node.output):
                if name not in ops or output not in sizes:
                    continue
                checked += 1
                understood.add(node.op_type)
                found = ops[name]["out"][k]
                right = found >= sizes[output] if types & data_dependent else found == sizes[output]
                if not right:
                    wrong.append((case.name, output, found, sizes[output]))
    assert not wrong
    assert checked > 1200 and len(understood) > 130, (checked, len(understood))
    never = set(refused) - understood
    core = {"Conv", "Gemm", "MatMul", "Einsum", "Reshape", "Gather", "Slice", "Resize", "LSTM", "Attention", "Pad", "TopK", "Where"}
    assert core <= understood and not never & core, never
