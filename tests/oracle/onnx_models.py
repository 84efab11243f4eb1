"""Small models in ONNX: exported from torch, and one with tied weights, functions and shapes computed inside."""
import io
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn


def export(module, example, names, dynamic):
    """`module` as torch's own exporter writes it, with the axes of `dynamic` open."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), example, buffer, dynamo=False, do_constant_folding=False, input_names=names,
                          dynamic_axes=dynamic)
    return onnx.load_from_string(buffer.getvalue())


class Inception(nn.Module):
    """Convolutions of all kinds: strided, grouped, dilated, transposed, 1x7, branches joined and added."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.a = nn.Conv2d(16, 8, 1)
        self.b = nn.Sequential(nn.Conv2d(16, 8, (1, 7), padding=(0, 3)), nn.Conv2d(8, 8, (7, 1), padding=(3, 0)))
        self.c = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=4))
        self.up = nn.ConvTranspose2d(32, 16, 3, 2, 1, output_padding=1)
        self.down = nn.Conv2d(16, 32, 3, 2, 1)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.stem(x)
        y = torch.cat([self.a(x), self.b(x), self.c(x)], 1)
        y = nn.functional.hardswish(self.down(self.up(y)) + y)
        y = nn.functional.interpolate(y, scale_factor=2.0)
        return self.head(y.mean((2, 3)))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.lstm = nn.LSTM(16, 24, 2, bidirectional=True, batch_first=True)
        self.gru = nn.GRU(48, 20, batch_first=True)
        self.out = nn.Linear(20, 7)

    def forward(self, ids):
        x, _ = self.lstm(self.embed(ids))
        x, _ = self.gru(x)
        return self.out(x).log_softmax(-1)


class Encoder(nn.Module):
    """A Transformer whose output layer is its embedding."""

    def __init__(self, width=32, heads=4, layers=2, words=100):
        super().__init__()
        self.heads = heads
        self.embed = nn.Embedding(words, width)
        self.q, self.k, self.v, self.o = (nn.ModuleList(nn.Linear(width, width) for _ in range(layers)) for _ in range(4))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(layers))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers))

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, ids):
        x = self.embed(ids)
        for i in range(len(self.q)):
            y = self.norms[2 * i](x)
            q, k, v = self.split(self.q[i](y)), self.split(self.k[i](y)), self.split(self.v[i](y))
            scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
            y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
            x = x + self.o[i](y)
            x = x + self.down[i](nn.functional.gelu(self.up[i](self.norms[2 * i + 1](x))))
        return x @ self.embed.weight.T


def images(batch):
    return {"x": np.random.default_rng(1).standard_normal((batch, 3, 48, 64)).astype(np.float32)}


def words(batch, length, vocabulary):
    return {"ids": np.random.default_rng(2).integers(0, vocabulary, (batch, length))}


def zoo():
    """name -> (model, inputs, options of --dim)."""
    torch.manual_seed(0)
    text = {"ids": {0: "batch", 1: "length"}}
    sizes = ["--dim", "batch=3", "--dim", "length=6"]
    return {
        "inception": (export(Inception(), torch.zeros(2, 3, 48, 64), ["x"], {"x": {0: "batch"}}), images(3), ["--dim", "batch=3"]),
        "tagger": (export(Tagger(), torch.zeros(2, 5, dtype=torch.long), ["ids"], text), words(3, 6, 50), sizes),
        "encoder": (export(Encoder(), torch.zeros(2, 5, dtype=torch.long), ["ids"], text), words(3, 6, 100), sizes),
        "loops": (loops(), {"x": np.random.default_rng(3).standard_normal((3, 4)).astype(np.float32)}, []),
    }


def loops():
    """A function called twice, one call inside another; a Loop and an If that read values from outside."""
    f32 = TensorProto.FLOAT
    node = helper.make_node
    scale = helper.make_function("mine", "Scale", ["x", "w"], ["y"], [node("Mul", ["x", "w"], ["t"]), node("Relu", ["t"], ["y"])],
                                 [helper.make_opsetid("", 17)])
    twice_body = [node("Scale", ["x", "w"], ["t"], domain="mine"), node("LeakyRelu", ["t"], ["u"]), node("Add", ["u", "x"], ["y"])]
    reference = twice_body[1].attribute.add()
    reference.name, reference.ref_attr_name, reference.type = "alpha", "slope", onnx.AttributeProto.FLOAT
    twice = helper.make_function("mine", "Twice", ["x", "w"], ["y"], twice_body,
                                 [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)], ["slope"])
    body = helper.make_graph(
        [node("Add", ["h", "a"], ["h2"]), node("Identity", ["go"], ["go2"]), node("Tanh", ["h2"], ["row"])], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("h", f32, None)],
        [helper.make_tensor_value_info("go2", TensorProto.BOOL, []), helper.make_tensor_value_info("h2", f32, None),
         helper.make_tensor_value_info("row", f32, None)])
    yes = helper.make_graph([node("Neg", ["last"], ["n"])], "yes", [], [helper.make_tensor_value_info("n", f32, None)])
    no = helper.make_graph([node("Exp", ["last"], ["e"])], "no", [], [helper.make_tensor_value_info("e", f32, None)])
    graph = helper.make_graph(
        [node("Scale", ["x", "w"], ["s"], domain="mine", name="first"), node("Twice", ["s", "w"], ["a"], domain="mine", slope=0.25),
         node("Loop", ["trips", "", "a"], ["last", "rows"], body=body, name="loop"),
         node("ReduceSum", ["last"], ["total"], keepdims=0), node("Greater", ["total", "zero"], ["positive"]),
         node("If", ["positive"], ["y"], then_branch=yes, else_branch=no, name="choice")],
        "loops", [helper.make_tensor_value_info("x", f32, [3, 4])],
        [helper.make_tensor_value_info("y", f32, [3, 4]), helper.make_tensor_value_info("rows", f32, None)],
        [numpy_helper.from_array(np.linspace(-1, 1, 4, dtype=np.float32), "w"), numpy_helper.from_array(np.array(5), "trips"),
         numpy_helper.from_array(np.array(0, np.float32), "zero")])
    return helper.make_model(graph, functions=[scale, twice], ir_version=10,
                             opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)])
