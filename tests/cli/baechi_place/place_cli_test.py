"""baechi-place as a user runs it."""
import json
import signal
import subprocess
import time
import unittest

import perfetto
from orchard_process import BIN, SOURCE, ScratchTest, run

PROGRAM = BIN / "baechi-place"
GNMT = SOURCE / "data" / "graphs" / "gnmt_v2.json"
TOWERS = SOURCE / "data" / "graphs" / "two_towers.onnx"
SMALL = SOURCE / "data" / "graphs" / "workloads" / "gnmt_inference_layers.json"
FAST = ["--no-progress", "--refine-steps", "10"]


class BaechiPlaceTest(ScratchTest):
    def test_placing_leaves_a_page_and_a_placement_that_simulates_the_same(self):
        out = self.dir / "run"
        placed = self.json_of(run(PROGRAM, "place", SMALL, "--out", out, "--trace", "--json", *FAST))
        self.assertTrue((out / "report.html").read_text().count("<svg") + (out / "report.html").read_text().count("image/svg"))
        trace = perfetto.imported((out / "trace.json").read_text())
        self.assertEqual(set(trace.processes), set(trace.counters))
        self.assertTrue(trace.arrows)
        self.assertEqual(round(max(end for spans in trace.slices.values() for _, end, _ in spans)), round(placed["makespan_us"] * 1000))
        again = self.json_of(run(PROGRAM, "simulate", SMALL, out / "placement.json", "--json"))
        self.assertEqual(again["makespan_us"], placed["makespan_us"])
        self.assertEqual([device["peak_bytes"] for device in again["devices"]], placed["peak_bytes"])
        self.assertEqual(json.loads((out / "placement.json").read_text())["makespan_us"], placed["makespan_us"])

    def test_the_same_for_any_number_of_threads(self):
        texts = []
        for threads in (1, 3):
            path = self.dir / f"{threads}.json"
            self.assert_works(run(PROGRAM, "place", SMALL, "-o", path, "--threads", threads, *FAST))
            placement = json.loads(path.read_text())
            del placement["seconds"]
            texts.append(placement)
        self.assertEqual(*texts)

    def test_compare_and_inspect_speak_of_every_method(self):
        table = self.json_of(run(PROGRAM, "compare", SMALL, "--json"))
        names = {row["algorithm"] for row in table["methods"]}
        self.assertLessEqual({"single", "m-topo", "m-etf", "m-sct", "heft", "random"}, names)
        facts = self.json_of(run(PROGRAM, "inspect", GNMT, "--json"))
        self.assertEqual(facts["operators"], 2828)
        self.assertIn("chain", self.assert_works(run(PROGRAM, "inspect", GNMT)))

    def test_a_training_step_is_placed_simulated_exported_and_compared(self):
        path = self.dir / "p.json"
        placed = self.json_of(run(PROGRAM, "place", SMALL, "-o", path, "--json", "--step", "training", "--microbatches", "auto", *FAST))
        self.assertEqual([row["microbatches"] for row in placed["step"]["tried"]], [1, 2, 4, 8, 16, 32])
        self.assertEqual(min(row["makespan_us"] for row in placed["step"]["tried"]), placed["makespan_us"])
        again = self.json_of(run(PROGRAM, "simulate", SMALL, path, "--json"))
        self.assertEqual(again["makespan_us"], placed["makespan_us"])
        self.assertEqual([device["peak_bytes"] for device in again["devices"]], placed["peak_bytes"])
        self.assertIn("digraph", self.assert_works(run(PROGRAM, "export", SMALL, path, "--to", "dot")))
        rows = self.json_of(run(PROGRAM, "compare", SMALL, "--step", "training", "--json"))["methods"]
        whole = placed["step"]["tried"][0]["makespan_us"]
        self.assertTrue(all(row["makespan_us"] >= whole for row in rows
                            if row["algorithm"] in ("single", "m-topo", "m-etf", "m-sct", "heft") and row["placed"] and row["fits"]))
        for options in (["--microbatches", "0"], ["--compat", "tf"]):
            self.assert_fails(run(PROGRAM, "place", SMALL, "--step", "training", *options), 2)

    def test_compat_prints_the_published_simulators_makespan(self):
        result = self.json_of(run(PROGRAM, "place", GNMT, "--devices", 4, "--compat", "tf", "--algo", "m-topo", "--json"))
        self.assertEqual(result["published_makespan_us"], 116663)

    def test_a_limit_that_is_too_small_is_exit_4_with_the_one_that_works(self):
        result = run(PROGRAM, "place", SMALL, "--devices", 2, "--memory", "1MB", *FAST)
        self.assert_fails(result, 4, "no placement fits", "needs", "smallest equal limit")

    def test_parameters_go_to_the_host_where_memory_binds(self):
        ops = [{"name": f"layer{i}", "us": 1000, "perm": 1 << 20, "out": [1024]} for i in range(8)]
        edges = [{"src": f"layer{i}", "dst": f"layer{i + 1}", "tensor": f"layer{i}:0", "bytes": 1024} for i in range(7)]
        graph = self.file("g.json", {"format": "baechi-graph", "version": 1, "meta": {}, "ops": ops, "edges": edges})
        limit = ["--devices", 1, "--memory", 5 << 20]
        self.assert_fails(run(PROGRAM, "place", graph, *limit, *FAST), 4, "smallest equal limit")
        text = self.assert_works(run(PROGRAM, "place", graph, *limit, *FAST, "--offload", "auto", "--out", self.dir / "o"))
        self.assertIn("live on the host", text)
        placed = self.dir / "o" / "placement.json"
        again = run(PROGRAM, "simulate", graph, placed, *limit, "--out", self.dir / "s", "--trace")
        self.assertIn("fetches", self.assert_works(again))
        self.assertIn("parameters from the host", (self.dir / "o" / "report.html").read_text())
        self.assertIn("parameters from the host", (self.dir / "s" / "trace.json").read_text())
        for row in ("parameters of layer", "layer7,device0"):
            self.assertIn(row, self.assert_works(run(PROGRAM, "export", graph, placed, *limit, "--to", "csv")))
        self.assertIn("parameters=host", self.assert_works(run(PROGRAM, "export", graph, placed, *limit, "--to", "dot")))
        for format in ("device-map", "tf-devices"):
            self.assert_fails(run(PROGRAM, "export", graph, placed, *limit, "--to", format), 2, "on the host")
        broken = json.loads(placed.read_text())
        broken["offload"]["fetches"]["device0"].pop()
        self.assert_fails(run(PROGRAM, "simulate", graph, self.file("b.json", broken), *limit), 3, "no parameters are fetched")
        refused = run(PROGRAM, "place", graph, *limit, "--memory", 1 << 20, "--offload", "auto", *FAST)
        self.assert_fails(refused, 4, "while it runs", "smallest equal limit")
        self.assert_fails(run(PROGRAM, "place", graph, "--mode", "train", "--offload", "auto"), 2, "--step training")

    def test_bad_graphs_are_exit_3_with_file_and_place(self):
        op = {"name": "a", "us": 1}
        head = {"format": "baechi-graph", "version": 1, "edges": []}
        cases = [
            ("[1", "not valid JSON"),
            ({**head, "ops": []}, "no operators"),
            ({**head, "ops": [{**op, "us": -1}]}, "ops[0]"),
            ({**head, "ops": [op, op]}, "same name"),
            ({**head, "ops": [op], "edges": [{"src": "a", "dst": "z", "bytes": 1}]}, "edges[0].dst"),
            ({**head, "ops": [op, {"name": "b", "us": 1}], "edges": [
                {"src": "a", "dst": "b", "bytes": 1}, {"src": "b", "dst": "a", "bytes": 1}]}, "cycle"),
        ]
        for content, part in cases:
            path = self.file("bad.json", content)
            self.assert_fails(run(PROGRAM, "place", path), 3, "bad.json", part)
        self.assert_fails(run(PROGRAM, "inspect", self.dir / "none.json"), 3, "none.json")

    def test_a_placement_of_another_graph_is_exit_3(self):
        path = self.dir / "p.json"
        self.assert_works(run(PROGRAM, "place", SMALL, "-o", path, *FAST))
        self.assert_fails(run(PROGRAM, "simulate", GNMT, path, "--devices", 6), 3, "p.json", "another graph")
        self.assert_fails(run(PROGRAM, "place", SMALL, "-o", path, *FAST), 2, "exists", "--force")

    def test_the_quick_configuration(self):
        out = self.dir / "run"
        config = SOURCE / "configs" / "baechi-place" / "quick.toml"
        self.assert_works(run(PROGRAM, "place", "--config", config, "--out", out, *FAST, cwd=SOURCE))
        self.assertTrue((out / "placement.json").is_file())

    def test_exports(self):
        path = self.dir / "p.json"
        self.assert_works(run(PROGRAM, "place", SMALL, "-o", path, *FAST))
        assign = json.loads(path.read_text())["assign"]
        export = lambda to: self.assert_works(run(PROGRAM, "export", SMALL, path, "--to", to))  # noqa: E731
        self.assertEqual({name: f"device{d}" for name, d in json.loads(export("device-map")).items()}, assign)
        self.assertEqual(len(export("csv").splitlines()), 1 + len(assign))
        self.assertIn("/device:GPU:0", export("tf-devices"))
        self.assertTrue(export("dot").startswith("digraph"))

    def test_generated_models_can_be_placed(self):
        for shape, options in [("inception-v3", ["--batch", 1]), ("gnmt", ["--length", 3, "--batch", 2]), ("transformer-base", ["--level", "layer"]),
                               ("moe", ["--experts", 4]), ("two-tower", ["--preset", "h100"])]:
            graph = self.dir / f"{shape}.json"
            made = self.json_of(run(PROGRAM, "gen", graph, "--shape", shape, *options, "--json"))
            placed = self.json_of(run(PROGRAM, "place", graph, "--mode", "train", "--json", "--algo", "heft", "--no-progress"))
            self.assertEqual(placed["operators"], made["operators"])
        self.assert_fails(run(PROGRAM, "gen", self.dir / "x.json", "--shape", "inception-v3", "--heads", 2), 2, "inception-v3", "--heads")
        self.assert_fails(run(PROGRAM, "gen", self.dir / "x.json", "--shape", "gnmt", "--preset", "v10"), 2, "v100")

    def test_a_model_in_onnx_goes_in_and_out(self):
        sizes = ["--dim", "batch=8", "--dim", "words=16"]
        result = run(PROGRAM, "import", TOWERS)
        self.assert_fails(result, 2, "batch, words", "--dim batch=8 --dim words=8")
        graph = self.dir / "towers.h5"
        summary = self.json_of(run(PROGRAM, "import", TOWERS, "-o", graph, "--json", *sizes))
        self.assertGreater(summary["dense_flops"], 0.9 * summary["flops"])
        placed = self.dir / "p.json"
        first = self.json_of(run(PROGRAM, "place", TOWERS, "-o", placed, "--json", *sizes, *FAST))
        again = self.json_of(run(PROGRAM, "simulate", graph, placed, "--json"))
        self.assertEqual(first["makespan_us"], again["makespan_us"])
        parts = self.dir / "parts"
        self.assert_works(run(PROGRAM, "export", TOWERS, placed, "--to", "onnx-parts", "-o", parts, *sizes))
        manifest = json.loads((parts / "manifest.json").read_text())
        self.assertTrue(all((parts / part["file"]).is_file() for part in manifest["parts"]))
        self.assert_works(run(PROGRAM, "export", graph, placed, "--to", "onnx-annotated", "--model", TOWERS, "-o", self.dir / "a.onnx"))
        self.assert_fails(run(PROGRAM, "export", graph, placed, "--to", "onnx-parts", "-o", self.dir / "other"), 2, "--model")
        self.assert_fails(run(PROGRAM, "export", TOWERS, placed, "--to", "onnx-parts", "-o", SOURCE, "--force", *sizes), 2, "no directory of ONNX parts")

    def test_graphviz_of_a_placement_is_the_graph(self):
        path, dot = self.dir / "p.json", self.dir / "g.dot"
        self.assert_works(run(PROGRAM, "place", SMALL, "-o", path, *FAST))
        self.assert_works(run(PROGRAM, "export", SMALL, path, "--to", "dot", "-o", dot))
        devices = ["--devices", len(json.loads(path.read_text())["devices"])]
        found = self.json_of(run(PROGRAM, "simulate", dot, path, "--json", *devices))
        self.assertEqual(found["makespan_us"], json.loads(path.read_text())["makespan_us"])

    def test_damaged_models_are_exit_3(self):
        whole = TOWERS.read_bytes()
        sizes = ["--dim", "batch=8", "--dim", "words=16"]
        for length in (0, 1, 100, len(whole) // 2, len(whole) - 30):
            path = self.dir / "cut.onnx"
            path.write_bytes(whole[:length])
            self.assert_fails(run(PROGRAM, "import", path, *sizes), 3, "cut.onnx")
        path = self.dir / "noise.pb"
        path.write_bytes(bytes(range(256)))
        self.assert_fails(run(PROGRAM, "import", path), 3, "noise.pb")

    def test_shards_of_a_comparison_give_the_table_of_the_whole(self):
        def without_times(result):
            return [{key: value for key, value in row.items() if not key.endswith("seconds")} for row in result["methods"]]

        cases = self.dir / "cases"
        compare = [PROGRAM, "compare", SMALL, "--memory", "3GB", "--mode", "train"]
        whole = self.json_of(run(*compare, "--json"))
        for i in (3, 1, 2):
            part = self.json_of(run(*compare, "--shard", f"{i}/3", "--cases", cases, "--json"))
            self.assertTrue(part["methods"])
        kept = {path: path.stat().st_mtime_ns for path in cases.iterdir()}
        self.assertEqual(without_times(self.json_of(run(*compare, "--cases", cases, "--json"))), without_times(whole))
        self.assertEqual({path: path.stat().st_mtime_ns for path in cases.iterdir()}, kept)  # nothing ran again
        self.assert_fails(run(*compare, "--shard", "1/2"), 2, "--cases")
        self.assert_fails(run(*compare, "--seed", 5, "--cases", cases), 2, "another configuration")

    def test_bench_gives_verdicts_a_page_and_can_be_divided(self):
        out, cases = self.dir / "bench", self.dir / "cases"
        bench = [PROGRAM, "bench", "--graphs", self.dir / "none", "--experiment", "E4", "--no-progress"]
        whole = self.json_of(run(*bench, "--out", out, "--json"))
        (result,) = whole["experiments"]
        self.assertEqual(result["name"], "E4")
        self.assertTrue(all(m["verdict"] == "passed" for m in result["measurements"] if m.get("promised")))
        self.assertIn("E4", (out / "report.html").read_text())
        for i in (1, 2):
            self.assert_works(run(*bench, "--cases", cases, "--shard", f"{i}/2"))
        divided = self.json_of(run(*bench, "--cases", cases, "--json"))
        self.assertEqual(divided["experiments"][0]["measurements"], result["measurements"])
        again = self.json_of(run(*bench, "--out", out, "--resume", "--json"))
        self.assertEqual(again["experiments"][0]["measurements"], result["measurements"])
        self.assert_fails(run(PROGRAM, "bench", "--experiment", "E0"), 2, "E1 to E8")

    def check_that_interruptions_change_nothing(self, place):
        """Signals at whatever moment: what comes out after the last --resume is what comes out without any."""
        self.assert_works(run(*place, "--out", self.dir / "whole"))
        out, interrupted, seen = self.dir / "parts", 0, set()
        arguments = [*map(str, place), "--out", str(out)]
        states = lambda: {path.name: path.read_text() for path in out.glob("refine*.json")}  # noqa: E731
        for attempt in range(50):
            process = subprocess.Popen(arguments + ["--resume"] * (attempt > 0), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            before = states()
            while process.poll() is None and interrupted < 6:
                now = states()
                # Every second signal waits for an annealing that has not been interrupted yet.
                if now != before and (interrupted % 2 == 0 or set(now) - seen):
                    seen |= set(now)
                    process.send_signal(signal.SIGTERM)
                    break
                time.sleep(0.01)
            error = process.communicate()[1]
            if process.returncode == 0:
                break
            self.assertEqual(process.returncode, 75, error)
            self.assertIn("--resume", error)
            self.assertTrue((out / "placement.json").is_file())
            interrupted += 1
        self.assertEqual(process.returncode, 0)
        self.assertGreaterEqual(interrupted, 1)
        self.assertEqual(states(), {})
        whole, parts = (json.loads((self.dir / name / "placement.json").read_text()) for name in ("whole", "parts"))
        self.assertEqual(parts["assign"], whole["assign"])
        self.assertEqual(parts["order"], whole["order"])
        (out / "refine.json").write_text("{}")
        self.assert_fails(run(*place, "--out", out, "--resume"), 3, "refine.json")
        return seen

    def test_an_interrupted_refinement_goes_on_to_the_same_placement(self):
        graph = self.dir / "layered.json"
        self.assert_works(run(PROGRAM, "gen", graph, "--ops", 200, "--width", 10))
        place = [PROGRAM, "place", graph, "--devices", "3", "--refine-steps", "20000", "--threads", "1", "--no-progress"]
        self.assertEqual(self.check_that_interruptions_change_nothing(place), {"refine.json"})

    def test_an_interrupted_refinement_of_several_micro_batches_goes_on_to_the_same_placement(self):
        graph = self.dir / "layered.json"
        self.assert_works(run(PROGRAM, "gen", graph, "--ops", 60, "--width", 6))
        place = [PROGRAM, "place", graph, "--devices", "3", "--refine-steps", "4000", "--threads", "1", "--no-progress",
                 "--step", "training", "--microbatches", "auto", "--launch-us", "0"]
        seen = self.check_that_interruptions_change_nothing(place)
        self.assertTrue(any(name.startswith("refine-1-of-") for name in seen), seen)

    def test_usage(self):
        self.assert_fails(run(PROGRAM, "place", SMALL, "--devices", "0"), 2, "0 devices")
        self.assert_fails(run(PROGRAM, "place", SMALL, "--pin", "nothing=0"), 2, "nothing")
        self.assert_fails(run(PROGRAM, "place", SMALL, "--algo", "m-eft"), 2, "m-etf")
        self.assert_fails(run(PROGRAM, "place", SMALL, "--algo", "expert"), 2, "no expert")

    def test_a_chain_of_100000_operators(self):
        n = 100000
        ops = [{"name": str(i), "us": 1, "out": [4]} for i in range(n)]
        edges = [{"src": str(i), "dst": str(i + 1), "tensor": f"{i}:0", "bytes": 4} for i in range(n - 1)]
        path = self.file("chain.json", {"format": "baechi-graph", "version": 1, "ops": ops, "edges": edges})
        result = self.json_of(run(PROGRAM, "place", path, "--algo", "m-etf", "--devices", 8, "--json", "--no-progress"))
        self.assertEqual(result["makespan_us"], n)


if __name__ == "__main__":
    unittest.main()
