"""Writes data/graphs/two_towers.onnx: a small model of two branches that a placement can split.

    $(scripts/setup --where oracles)/bin/python tests/oracle/demo_model.py data/graphs/two_towers.onnx

An image tower (five convolutions) and a text tower (an embedding and two Transformer layers) meet in one score per pair. Weights are the
same small number everywhere: the file is for looking at graphs, not at results. Sizes `batch` and `words` are open.
"""
import sys

import onnx
from onnx import TensorProto, helper

FLOAT = TensorProto.FLOAT


class Graph:
    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, name, *shape):
        """A constant of one repeated number: a few bytes in the file."""
        fill = helper.make_tensor(name, FLOAT, [1], [0.01])
        size = helper.make_tensor(f"{name}.shape", TensorProto.INT64, [len(shape)], shape)
        self.weights.append(size)
        self.nodes.append(helper.make_node("ConstantOfShape", [size.name], [name], name=name, value=fill))
        return name

    def add(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def linear(self, name, x, width_in, width_out):
        product = self.add("MatMul", [x, self.weight(f"{name}.weight", width_in, width_out)], f"{name}.product")
        return self.add("Add", [product, self.weight(f"{name}.bias", width_out)], name)


def image_tower(g, x):
    channels = 3
    for i, width in enumerate([32, 64, 128, 256, 512]):
        x = g.add("Conv", [x, g.weight(f"image.{i}.weight", width, channels, 3, 3)], f"image.{i}.conv", strides=[2, 2], pads=[1, 1, 1, 1])
        x = g.add("Relu", [x], f"image.{i}.relu")
        channels = width
    x = g.add("GlobalAveragePool", [x], "image.pool")
    x = g.add("Flatten", [x], "image.flat")
    return g.linear("image.out", x, channels, 256)


def text_tower(g, ids, width=256, heads=4):
    x = g.add("Gather", [g.weight("text.embedding", 10000, width), ids], "text.embed")
    split = helper.make_tensor("text.split", TensorProto.INT64, [4], [0, 0, heads, width // heads])
    join = helper.make_tensor("text.join", TensorProto.INT64, [3], [0, 0, width])
    g.weights += [split, join]
    for i in range(2):
        at = f"text.{i}"
        parts = {}
        for part, order in [("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])]:
            y = g.linear(f"{at}.{part}", x, width, width)
            y = g.add("Reshape", [y, "text.split"], f"{at}.{part}.heads")
            parts[part] = g.add("Transpose", [y], f"{at}.{part}.turned", perm=order)
        scores = g.add("MatMul", [parts["query"], parts["key"]], f"{at}.scores")
        weights = g.add("Softmax", [scores], f"{at}.weights", axis=-1)
        y = g.add("MatMul", [weights, parts["value"]], f"{at}.context")
        y = g.add("Transpose", [y], f"{at}.context.turned", perm=[0, 2, 1, 3])
        y = g.add("Reshape", [y, "text.join"], f"{at}.context.joined")
        x = g.add("Add", [x, g.linear(f"{at}.out", y, width, width)], f"{at}.residual")
        y = g.add("Relu", [g.linear(f"{at}.up", x, width, 4 * width)], f"{at}.relu")
        x = g.add("Add", [x, g.linear(f"{at}.down", y, 4 * width, width)], f"{at}.residual2")
    return g.add("ReduceMean", [x], "text.mean", axes=[1], keepdims=0)


def model():
    g = Graph()
    product = g.add("Mul", [image_tower(g, "image"), text_tower(g, "ids")], "product")
    g.add("ReduceMean", [product], "score", axes=[1], keepdims=0)
    graph = helper.make_graph(
        g.nodes, "two_towers",
        [helper.make_tensor_value_info("image", FLOAT, ["batch", 3, 224, 224]),
         helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "words"])],
        [helper.make_tensor_value_info("score", FLOAT, ["batch"])], g.weights)
    made = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="orchard")
    onnx.checker.check_model(made)
    return made


if __name__ == "__main__":
    onnx.save(model(), sys.argv[1])
