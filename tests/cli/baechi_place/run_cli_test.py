"""baechi-place on tensors as a user runs it: gen-model, profile, calibrate, run."""
import json
import pathlib
import tempfile
import unittest

import perfetto
from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "baechi-place"
TOWER = ["--model", "two-tower", "--batch", "4", "--width", "32", "--layers", "3"]
FEW = ["--no-progress", "--steps", "3", "--warmup", "1"]


class BaechiRunTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.dir = pathlib.Path(scratch.name)
        cls.model = cls.dir / "tower.pt"
        cls.graph = cls.dir / "tower.json"
        cls.placement = cls.dir / "placement.json"
        for command in (
            ("gen-model", cls.model, *TOWER),
            ("profile", cls.model, "-o", cls.graph, "--rounds", "3", "--warmup", "1", "--no-progress"),
        ):
            done = run(PROGRAM, *command)
            assert done.returncode == 0, done.stderr
        # One tower on each device, whatever the machine measured.
        graph = json.loads(cls.graph.read_text())
        item = {"item"}
        for edge in graph["edges"]:
            if edge["src"] in item and not edge["dst"].startswith(("mul", "sum")):
                item.add(edge["dst"])
        assign = {op["name"]: int(op["name"] in item) for op in graph["ops"]}
        cls.placement.write_text(json.dumps({"assign": assign}))

    def run_tower(self, *arguments):
        return run(PROGRAM, "run", self.model, self.placement, "--graph", self.graph, "--devices", "2", *FEW, *arguments)

    def test_the_graph_of_a_model_has_its_layers_and_sizes(self):
        graph = json.loads(self.graph.read_text())
        ops = {op["name"]: op for op in graph["ops"]}
        self.assertEqual(sum(op["op"] == "aten::linear" for op in graph["ops"]), 6)
        self.assertEqual(ops["query_linear0.linear"]["perm"], (32 * 32 + 32) * 4)
        self.assertEqual(ops["query_linear0.linear"]["out"], [4 * 32 * 4])
        self.assertGreater(ops["query_linear0.linear"]["us"], 0)
        self.assertGreater(ops["query_linear0.linear"]["bwd_us"], 0)
        # All layers have the same parameters, so an equal share of the measured step of SGD.
        updates = [op["update_us"] for op in graph["ops"] if op["perm"]]
        self.assertEqual(len(updates), 6)
        self.assertGreater(updates[0], 0)
        self.assertEqual(len(set(updates)), 1)

    def test_import_takes_times_from_shapes(self):
        graph = self.dir / "imported.json"
        done = run(PROGRAM, "import", self.model, "--preset", "v100", "-o", graph, "--json")
        report = self.json_of(done)
        self.assertEqual(report["format"], "TorchScript")
        # Six layers of 32 x 32 on 4 rows; four ReLUs, a product and a sum.
        self.assertEqual(report["dense_flops"], 6 * 2 * 4 * 32 * 32)
        self.assertEqual(report["flops"], report["dense_flops"] + 5 * 4 * 32 + 4)
        self.assertEqual(report["source"], "analytic, v100")
        names = [op["name"] for op in json.loads(graph.read_text())["ops"]]
        self.assertEqual(names, [op["name"] for op in json.loads(self.graph.read_text())["ops"]])

    def test_forward_gives_the_bits_of_one_device(self):
        result = self.json_of(self.run_tower("--json"))
        self.assertTrue(result["passed"])
        self.assertTrue(result["one_device"]["same_bits"])
        self.assertEqual(result["steps"], 3)
        self.assertGreater(result["predicted_us"], 0)
        self.assertGreater(result["speedup"], 0)
        # The other tower's result crosses once.
        self.assertEqual(result["transfers"], 1)

    def test_a_training_step_gives_the_gradients_of_one_device(self):
        out = self.dir / "train"
        result = self.json_of(self.run_tower("--train", "sgd", "--json", "--out", out, "--trace"))
        self.assertTrue(result["passed"])
        self.assertTrue(result["one_device"]["same_bits"])
        self.assertEqual(result["transfers"], 2)  # and the gradient comes back
        trace = perfetto.imported((out / "trace.json").read_text())
        self.assertEqual(set(trace.processes), {"device0 predicted", "device0 measured", "device1 predicted", "device1 measured"})
        backward = {process for (process, _), spans in trace.slices.items() for _, _, name in spans if name.endswith("(backward)")}
        self.assertLessEqual({"device0 measured", "device1 measured"}, backward)
        self.assertEqual({(start[1], end[1]) for start, end in trace.arrows}, {("send", "receive")})
        self.assertIn("bit for bit", (out / "report.html").read_text())
        self.assertEqual(len((out / "metrics.jsonl").read_text().splitlines()), 3)

    def test_gnmt_gives_the_bits_of_one_device_on_two(self):
        model, graph, placement = self.dir / "gnmt.pt", self.dir / "gnmt.json", self.dir / "gnmt_placement.json"
        width, words, layers, length = 16, 50, 3, 4
        made = run(PROGRAM, "gen-model", model, "--model", "gnmt", "--batch", 2, "--width", width, "--layers", layers, "--vocabulary", words,
                   "--length", length, "--json")
        cells = [width] * 2 + [2 * width] + [width] * (layers - 2) + [2 * width] * layers  # what is read beside the state
        expected = sum(4 * width * (read + width + 1) for read in cells) + 3 * words * width + 2 * width * width + width
        self.assertEqual(self.json_of(made)["parameters"], expected)
        self.assert_works(run(PROGRAM, "profile", model, "-o", graph, "--rounds", 3, "--warmup", 1, "--no-progress"))
        # Every second layer on the second device: cells of a layer share weights, and so a group.
        content = json.loads(graph.read_text())
        assign = {op["name"]: int(op["name"].startswith(("encoder1", "decoder1", "attention"))) for op in content["ops"]}
        together = {}
        for op in content["ops"]:
            for group in op.get("groups", []):
                together.setdefault(group, []).append(op["name"])
        for names in together.values():
            for name in names:
                assign[name] = assign[names[0]]
        self.assertEqual(set(assign.values()), {0, 1})
        placement.write_text(json.dumps({"assign": assign}))
        for train in ([], ["--train", "sgd"]):
            result = self.json_of(run(PROGRAM, "run", model, placement, "--graph", graph, "--devices", "2", *FEW, *train, "--json"))
            self.assertTrue(result["passed"])
            self.assertTrue(result["one_device"]["same_bits"])
            self.assertGreater(result["transfers"], length)
            self.assertLess(result["unsplit"]["outputs"], 1e-5)

    def test_without_a_graph_the_model_is_profiled_again(self):
        done = run(PROGRAM, "run", self.model, self.placement, "--devices", "2", *FEW, "--json")
        self.assertTrue(self.json_of(done)["passed"])

    def test_a_device_without_enough_memory_is_exit_code_7(self):
        self.assert_fails(self.run_tower("--memory", "10KB"), 7, "device0", "10.0 kB")
        self.assert_works(self.run_tower("--memory", "1MB"))

    def test_parameters_on_the_host_are_fetched_before_they_are_used(self):
        placed = self.dir / "offloaded.json"
        # Six layers of 4.2 kB, and room for about four.
        small = ["--devices", "1", "--memory", "20KB", "--host-latency-us", "3000"]
        summary = self.json_of(run(PROGRAM, "place", self.graph, *small, "--offload", "auto", "-o", placed, "--no-progress", "--json"))
        command = [PROGRAM, "run", self.model, placed, "--graph", self.graph, *small, *FEW]
        out = self.dir / "offloaded"
        result = self.json_of(run(*command, "--json", "--out", out, "--trace"))
        self.assertTrue(result["passed"])
        self.assertTrue(result["one_device"]["same_bits"])
        self.assertEqual(result["fetches"], summary["offload"]["fetches"])
        self.assertGreater(result["fetches"], 0)
        self.assertLessEqual(result["devices"][0]["peak_bytes"], 20000)
        self.assertAlmostEqual(result["predicted_us"], summary["makespan_us"], places=2)
        threads = perfetto.imported((out / "trace.json").read_text()).slices
        for process in ("device0 predicted", "device0 measured"):
            self.assertEqual(sum(len(spans) for thread, spans in threads.items() if thread == (process, "from the host")), result["fetches"])
        slow = self.json_of(run(*command, "--json", "--throttle"))
        self.assertGreaterEqual(slow["measured_us"], 3000 * result["fetches"])
        self.assertIn("fetched from the host", self.assert_works(run(*command)))
        self.assert_fails(run(*command, "--train", "sgd"), 2, "training steps", "on the host")
        # The same placement with everything on the device does not fit.
        content = json.loads(placed.read_text())
        for key in ("offload", "host_transfers"):
            content.pop(key)
        resident = self.dir / "resident.json"
        resident.write_text(json.dumps(content))
        self.assert_fails(run(PROGRAM, "run", self.model, resident, "--graph", self.graph, *small, *FEW), 7, "device0")

    def test_placements_of_other_graphs_are_refused(self):
        text = self.graph.read_text()
        name = json.loads(text)["ops"][3]["name"]
        graph = json.loads(text.replace(name, "renamed"))
        other = self.dir / "other.json"
        other.write_text(json.dumps(graph))
        placement = self.dir / "other_placement.json"
        placement.write_text(json.dumps({"assign": {op["name"]: 0 for op in graph["ops"]}}))
        done = run(PROGRAM, "run", self.model, placement, "--graph", other, "--devices", "2", *FEW)
        self.assert_fails(done, 3, "renamed")

    def test_unknown_operators_of_a_placement_are_named(self):
        placement = self.dir / "unknown.json"
        placement.write_text(json.dumps({"assign": {"nobody": 0}}))
        done = run(PROGRAM, "run", self.model, placement, "--graph", self.graph, "--devices", "2", *FEW)
        self.assert_fails(done, 3, "nobody")

    def test_throttled_links_bound_the_step_from_below(self):
        # 2 KB over a link of 20 ms: the step cannot be shorter, and the prediction knows.
        result = self.json_of(self.run_tower("--throttle", "--latency-us", "20000", "--us-per-byte", "0", "--json"))
        self.assertGreaterEqual(result["measured_us"], 20000)
        self.assertGreaterEqual(result["predicted_us"], 20000)

    def test_recalibration_keeps_what_it_measured(self):
        out = self.dir / "recalibrated"
        done = self.run_tower("--recalibrate", "--recalibrate-rounds", "2", "--out", out, "--json")
        result = self.json_of(done)
        self.assertLessEqual(len(result["rounds"]), 3)
        if len(result["rounds"]) > 1:
            again = run(PROGRAM, "simulate", out / "graph.json", out / "placement.json", "--devices", "2", "--json")
            self.assertGreater(self.json_of(again)["makespan_us"], 0)

    def test_calibration_writes_devices_that_place_understands(self):
        devices = self.dir / "devices.json"
        done = run(PROGRAM, "calibrate", "--devices", "cpu:0,cpu:1", "--largest", "4MiB", "--rounds", "3", "-o", devices,
                   "--no-progress", "--json")
        measured = self.json_of(done)
        self.assertEqual(len(measured["links"]["pairs"]), 2)
        self.assertIn(measured["links"]["default"]["mode"], ("parallel", "duplex", "half"))
        placed = self.dir / "calibrated.json"
        self.assert_works(run(PROGRAM, "place", self.graph, "--devices", devices, "-o", placed, "--no-progress"))
        done = run(PROGRAM, "run", self.model, placed, "--graph", self.graph, "--devices", devices, *FEW, "--json")
        self.assertEqual([d["name"] for d in self.json_of(done)["devices"]], ["cpu:0", "cpu:1"])

    def test_what_is_missing_is_said(self):
        bare = self.dir / "bare.pt2"
        bare.write_bytes(b"no archive")
        self.assert_fails(run(PROGRAM, "profile", bare, "-o", self.dir / "x.json"), 3, "bare.pt2")
        self.assert_fails(run(PROGRAM, "profile", self.graph, "-o", self.dir / "x.json"), 2, ".pt2")
        self.assert_fails(run(PROGRAM, "profile", self.model), 2, "-o")
        self.assert_fails(run(PROGRAM, "profile", self.model, "-o", self.dir / "x.json", "--input", "4x"), 2, "4x")
        self.assert_fails(run(PROGRAM, "profile", self.model, "-o", self.dir / "x.json", "--input", "4x32"), 2,
                          "takes 2 inputs")
        self.assert_fails(run(PROGRAM, "profile", self.model, "-o", self.dir / "x.json", "--input", "4x32",
                              "--input", "4x31"), 3, "item_linear0")
        self.assert_fails(run(PROGRAM, "calibrate", "--devices", "tpu:0", "-o", self.dir / "y.json"), 2, "tpu:0")
        self.assert_fails(run(PROGRAM, "gen-model", self.model, *TOWER), 2, "exists")


if __name__ == "__main__":
    unittest.main()
