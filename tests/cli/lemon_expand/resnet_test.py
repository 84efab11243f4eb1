"""Residual networks on the command line: what is recognised, what is written, what is refused, and the whole way from growing to training."""
import array
import json
import math
import pathlib
import random
import shutil
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from orchard_process import BIN, ProgramTest, run
from small_models import write_model, write_weights

PROGRAM = BIN / "lemon-expand"
STEM, INNER, DEPTHS, CLASSES = 8, 4, (2, 2, 1, 2), 10
CONFIG = {"model_type": "resnet", "layer_type": "bottleneck", "num_channels": 1, "embedding_size": STEM, "hidden_sizes": [32, 64, 128, 256],
          "depths": list(DEPTHS), "width_per_group": INNER, "image_size": 16}


def resnet_shapes(bottleneck=True):
    """name -> shape, under torchvision's names."""
    shapes = {}

    def conv(name, out, into, kernel, norm):
        shapes[name + ".weight"] = [out, into, kernel, kernel]
        shapes.update({f"{norm}.{part}": [out] for part in ("weight", "bias", "running_mean", "running_var")})

    conv("conv1", STEM, 1, 7, "bn1")
    last = STEM
    for stage, blocks in enumerate(DEPTHS):
        inner, out = INNER << stage, (STEM << stage) * (4 if bottleneck else 1)
        for block in range(blocks):
            at = f"layer{stage + 1}.{block}."
            sizes = [(inner, last, 1), (inner, inner, 3), (out, inner, 1)] if bottleneck else [(inner, last, 3), (out, inner, 3)]
            for i, size in enumerate(sizes, 1):
                conv(f"{at}conv{i}", *size, f"{at}bn{i}")
            if block == 0 and last != out:
                conv(at + "downsample.0", out, last, 1, at + "downsample.1")
            last = out
    return shapes | {"fc.weight": [CLASSES, last], "fc.bias": [CLASSES]}


def random_network(shapes, seed=1):
    """name -> (dtype, shape, bytes), float32: gains around 1, variances above 0."""
    generator = random.Random(seed)
    tensors = {}
    for name, shape in sorted(shapes.items()):
        deviation = (2 / math.prod(shape[:1] + shape[2:])) ** 0.5 if len(shape) > 1 else 0.2
        mean = 1.0 if "bn" in name and name.endswith("weight") or name.endswith("running_var") else 0.0
        values = [generator.gauss(mean, deviation) for _ in range(math.prod(shape))]
        tensors[name] = ("F32", shape, array.array("f", map(abs, values) if mean else values).tobytes())
    return tensors


TENSORS = random_network(resnet_shapes())
TRAINING = """
[common]
threads = 1
device = "cpu"
[data]
kind = "image"
train = "shapes"
images = 200
[opt]
name = "sgd"
lr = 0.05
no_decay = []
[sched]
kind = "step"
steps = 4
[run]
batch = 8
eval_batches = 0
precision = "f64"
"""


class ResNetTest(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.source = write_model(self.folder / "source", CONFIG, TENSORS)

    def lemon(self, command, *arguments):
        result = run(PROGRAM, command, *map(str, arguments), "--json", "--no-progress")
        self.assert_works(result)
        return self.json_of(result)

    def assert_refused(self, code, *parts, arguments):
        result = run(PROGRAM, "expand", self.source, self.folder / "target", *arguments)
        self.assert_fails(result, code, *parts)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"source"})


class Growing(ResNetTest):
    def test_a_directory_and_a_bare_file_are_recognised(self):
        bare = self.folder / "bare.safetensors"
        write_weights(bare, TENSORS)
        for path in (self.source, self.source / "model.safetensors", bare):
            report = self.lemon("inspect", path, "--tensors")
            self.assertEqual(report["model_type"], "resnet")
            self.assertEqual(report["sizes"], {"channels": STEM, "width_per_group": INNER, "depths": list(DEPTHS)})
            self.assertIn("not in stage 3", report["legal_targets"]["depths"])
            axes = {tensor["name"]: tensor["axes"] for tensor in report["tensors"]}
            self.assertEqual(axes["layer2.0.conv1.weight"], ["I2", "C1", "k", "k"])
        text = self.assert_works(run(PROGRAM, "inspect", self.source))
        self.assertIn("--width-per-group", text)

    def test_what_is_planned_is_written(self):
        sizes = ["--width-per-group", 6, "--depths", "3,2,1,3"]
        plan = self.lemon("plan", self.source, *sizes, "-o", self.folder / "plan.json")
        report = self.lemon("expand", self.source, self.folder / "flags", *sizes)
        self.assertEqual(report["target"], {"channels": STEM, "width_per_group": 6, "depths": [3, 2, 1, 3]})
        self.assertEqual((report["bytes"], report["parameters"]), (plan["bytes"], plan["parameters"]))
        self.assertEqual((report["lossless"], report["exactness"]), (True, "A"))
        self.assertGreater(plan["flops_per_image"], 0)
        self.lemon("expand", self.source, self.folder / "planned", "--plan", self.folder / "plan.json")
        for file in ("model.safetensors", "config.json"):
            self.assertEqual((self.folder / "flags" / file).read_bytes(), (self.folder / "planned" / file).read_bytes())

    def test_the_configuration_says_the_new_sizes(self):
        self.lemon("expand", self.source, self.folder / "target", "--width-per-group", 6, "--channels", 10, "--depths", "3,2,1,3")
        config = json.loads((self.folder / "target/config.json").read_text())
        self.assertEqual(config, CONFIG | {"embedding_size": 10, "hidden_sizes": [40, 80, 160, 320], "depths": [3, 2, 1, 3],
                                           "width_per_group": 6})
        account = json.loads((self.folder / "target/lemon_expand.json").read_text())
        self.assertEqual([layer["name"] for layer in account["layers"] if layer["new"]], ["layer1.2", "layer4.2"])

    def test_parts_give_the_bytes_of_the_whole(self):
        sizes = ["--width-per-group", 6, "--shard-size", 60000]
        self.lemon("expand", self.source, self.folder / "whole", *sizes)
        for part in (2, 1):
            self.lemon("expand", self.source, self.folder / "parts", *sizes, "--part", f"{part}/2")
        self.lemon("finalize", self.folder / "parts")
        files = {path.name for path in (self.folder / "whole").iterdir()}
        self.assertGreater(len(files), 5)
        self.assertEqual(files, {path.name for path in (self.folder / "parts").iterdir()})
        for name in files - {"report.jsonl"}:
            self.assertEqual((self.folder / "whole" / name).read_bytes(), (self.folder / "parts" / name).read_bytes(), name)

    def test_verify_passes_on_what_was_written_and_fails_on_what_was_damaged(self):
        target = self.folder / "target"
        self.lemon("expand", self.source, target, "--width-per-group", 6, "--depths", "3,2,1,3")
        report = self.lemon("verify", self.source, target)
        self.assertTrue(report["passed"])
        self.assertEqual(report["tolerance"], 1e-11)
        self.assertEqual([layer["place"] for layer in report["layers"]][:3], ["stem", "layer1.0", "layer1.1"])
        damaged = random_network({"layer2.1.bn2.bias": [12]}, seed=2)["layer2.1.bn2.bias"][2]
        weights = (target / "model.safetensors").read_bytes()
        size = int.from_bytes(weights[:8], "little")
        begin = 8 + size + json.loads(weights[8:8 + size])["layer2.1.bn2.bias"]["data_offsets"][0]
        (target / "model.safetensors").write_bytes(weights[:begin] + damaged + weights[begin + len(damaged):])
        result = run(PROGRAM, "verify", self.source, target)
        self.assertEqual(result.returncode, 4)
        self.assertIn("layer2.1", result.stderr)

    def test_verify_takes_pictures_of_a_file(self):
        target, images = self.folder / "target", self.folder / "digits-images-idx3-ubyte"
        self.lemon("expand", self.source, target, "--width-per-group", 6)
        pixels = random.Random(3).randbytes(6 * 20 * 20)
        images.write_bytes(struct.pack(">IIII", 0x803, 6, 20, 20) + pixels)
        (self.folder / "digits-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 6) + bytes(range(6)))
        report = self.lemon("verify", self.source, target, "--images", images)
        self.assertTrue(report["passed"])
        self.assertNotEqual(report["outputs"], self.lemon("verify", self.source, target)["outputs"])
        self.assert_fails(run(PROGRAM, "verify", self.source, target, "--images", self.folder / "nothing"), 3, "nothing")

    def test_from_growing_to_training(self):
        """The grown network starts where its source ended, learns, and is evaluated with its running statistics."""
        (self.folder / "run.toml").write_text(TRAINING)
        config = ["--config", self.folder / "run.toml"]
        first = self.lemon("train", *config, "--path", self.source, "--out", self.folder / "first")
        self.lemon("expand", first["final"], self.folder / "grown", "--width-per-group", 8, "--depths", "3,2,1,2")
        second = self.lemon("train", *config, "--path", self.folder / "grown", "--out", self.folder / "second")
        self.assertAlmostEqual(second["first_valid_loss"], first["valid_loss"], 9)
        self.assertNotEqual(second["first_valid_loss"], second["valid_loss"])
        report = self.lemon("eval", second["final"], "shapes", "--kind", "image", "--images", 200, "--batch", 8, "--precision", "f64",
                            "--device", "cpu", "--threads", 1)
        self.assertAlmostEqual(report["loss"], second["valid_loss"], 9)

    def test_compare_shows_every_method(self):
        report = self.lemon("compare", self.source, "--width-per-group", 8, "--depths", "3,2,1,2", "--compute", "f64", "--batch", 2)
        methods = {entry["method"]: entry for entry in report["methods"]}
        self.assertLess(methods["lemon"]["relative"], 1e-11)
        self.assertGreater(methods["random"]["relative"], 0.1)
        self.assertIn("residual networks", methods["aki"]["reason"])


class Refusals(ResNetTest):
    def test_smaller_sizes(self):
        self.assert_refused(2, "--width-per-group", "smaller", arguments=["--width-per-group", "3"])
        self.assert_refused(2, "--channels", "smaller", arguments=["--channels", "7"])
        self.assert_refused(2, "--depths", "only grows", arguments=["--depths", "2,1,1,2"])

    def test_sizes_that_are_no_sizes_of_a_resnet(self):
        self.assert_refused(2, "--width-per-group", arguments=["--hidden", "32"])
        self.assert_refused(2, "four stages", arguments=["--depths", "3,3,3"])

    def test_a_stage_without_a_block_to_repeat(self):
        self.assert_refused(4, "stage 3", "--depths 3,2,1,2", arguments=["--depths", "3,2,2,2"])

    def test_sizes_out_of_reach_name_the_nearest(self):
        self.assert_refused(4, "at most 256", arguments=["--width-per-group", "257"])
        self.assert_refused(4, "4 or 8", arguments=["--width-per-group", "6", "--method", "hypercloning"])

    def test_what_does_not_apply(self):
        self.assert_refused(4, "cancel", arguments=["--width-per-group", "8", "--depth-type", "cancel"])
        self.assert_refused(4, "solar", arguments=["--width-per-group", "8", "--method", "solar"])
        self.assert_fails(run(PROGRAM, "plan", self.source, "--target-params", "1M"), 4, "--depths")

    def network(self, tensors, config=None):
        shutil.rmtree(self.source)
        write_model(self.source, CONFIG | (config or {}), tensors)

    def test_damaged_networks(self):
        wider = ["--width-per-group", "8"]
        self.network({name: t for name, t in TENSORS.items() if name != "layer4.1.bn3.running_var"})
        self.assert_refused(3, "layer4.1.bn3.running_var", arguments=wider)
        self.network(TENSORS | {"layer4.1.extra": TENSORS["bn1.weight"]})
        self.assert_refused(3, "layer4.1.extra", arguments=wider)
        self.network(TENSORS | {"layer4.1.bn3.bias": TENSORS["bn1.bias"]})
        self.assert_refused(3, "layer4.1.bn3.bias", arguments=wider)
        self.network(TENSORS, {"depths": [3, 4, 6, 3]})
        self.assert_refused(3, "depths", arguments=wider)
        self.network(TENSORS | {"bn1.bias": ("F32", [STEM], array.array("f", [math.nan] * STEM).tobytes())})
        self.assert_refused(3, "bn1.bias", "--allow-nonfinite", arguments=wider)

    def test_networks_of_another_kind(self):
        wider = ["--width-per-group", "8"]
        self.network({"resnet.embedder.embedder.convolution.weight": TENSORS["conv1.weight"]})
        self.assert_refused(4, "transformers", arguments=wider)
        grouped = {name: ("F32", [shape[0], shape[1] // 2, *shape[2:]], data[:len(data) // 2]) if name.endswith("conv2.weight") else
                   (dtype, shape, data) for name, (dtype, shape, data) in TENSORS.items()}
        self.network(grouped)
        self.assert_refused(4, "grouped", arguments=wider)


if __name__ == "__main__":
    unittest.main()
