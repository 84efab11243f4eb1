"""baechi-place optimal, limits and compare as a user runs them."""
import json
import unittest

from orchard_process import BIN, SOURCE, ScratchTest, run

PROGRAM = BIN / "baechi-place"
TOWERS = SOURCE / "data" / "graphs" / "two_towers.onnx"
SMALL = SOURCE / "data" / "graphs" / "workloads" / "gnmt_inference_layers.json"
SIZES = ["--dim", "batch=4", "--dim", "words=8"]


def chain(n, **op):
    """A chain of n operators of 40 us whose tensors cost nothing to send."""
    ops = [{"name": f"s{i}", "us": 40, "out": [80], **op} for i in range(n)]
    edges = [{"src": f"s{i}", "dst": f"s{i + 1}", "tensor": f"s{i}:0", "bytes": 80, "us": 0} for i in range(n - 1)]
    return {"format": "baechi-graph", "version": 1, "ops": ops, "edges": edges}


class ProofTest(ScratchTest):
    def test_a_small_graph_is_proven_optimal(self):
        graph, out, placed = self.file("chain.json", chain(3)), self.dir / "run", self.dir / "p.json"
        result = self.json_of(run(PROGRAM, "optimal", graph, "--json", "--out", out, "-o", placed))
        self.assertEqual((result["makespan_us"], result["bound_us"], result["gap"], result["proven"]), (120, 120, 0, True))
        again = self.json_of(run(PROGRAM, "simulate", graph, placed, "--json"))
        self.assertEqual(again["makespan_us"], 120)
        self.assertIn("optimal", (out / "report.html").read_text())
        self.assertEqual(json.loads((out / "summary.json").read_text())["result"]["makespan_us"], 120)
        text = self.assert_works(run(PROGRAM, "optimal", graph))
        self.assertIn("optimal", text)
        self.assertIn("gap 0.00 %", text)
        self.assert_fails(run(PROGRAM, "optimal", graph, "-o", placed), 2, "exists", "--force")

    def test_a_model_in_onnx_has_a_bound_within_the_time(self):
        result = self.json_of(run(PROGRAM, "optimal", TOWERS, *SIZES, "--devices", 2, "--time-limit", 2, "--json"))
        self.assertGreaterEqual(result["makespan_us"], result["bound_us"])
        self.assertEqual(result["proven"], not result["explanation"].startswith("not proven"))
        self.assert_fails(run(PROGRAM, "optimal", TOWERS), 2, "--dim batch=8")

    def test_a_training_step_is_proven_optimal_with_micro_batches(self):
        """Two stages of 40 us forward and backward: (k + 1) 80 / k with k micro-batches."""
        graph, placed = self.file("chain.json", chain(2)), self.dir / "p.json"
        training = ["--step", "training", "--launch-us", 0, "--time-limit", 20]
        for k, makespan in [(1, 160), (2, 120)]:
            result = self.json_of(run(PROGRAM, "optimal", graph, *training, "--microbatches", k, "--json", "-o", placed, "--force"))
            self.assertEqual((result["makespan_us"], result["bound_us"], result["proven"]), (makespan, makespan, True))
            self.assertEqual(result["step"]["microbatches"], k)
            again = self.json_of(run(PROGRAM, "simulate", graph, placed, "--json"))
            self.assertEqual(again["makespan_us"], makespan)
        text = self.assert_works(run(PROGRAM, "optimal", graph, *training, "--microbatches", 2))
        self.assertIn("2 micro-batches", text)

    def test_optimal_refuses_what_it_cannot_do(self):
        graph = self.file("chain.json", chain(3, perm=1000))
        self.assert_fails(run(PROGRAM, "optimal", graph, "--memory", "1KB", "--allocator-rounding", 1), 4, "no placement fits: all were tried")
        self.assert_fails(run(PROGRAM, "optimal", graph, "--memory", "1KB", "--allocator-rounding", 1, "--step", "training"), 4, "no placement fits")
        self.assert_fails(run(PROGRAM, "optimal", graph, "--time-limit", 0), 2, "--time-limit")
        self.assert_fails(run(PROGRAM, "optimal", graph, "--step", "training", "--microbatches", "some"), 2, "some", "1024")
        self.assert_fails(run(PROGRAM, "optimal", graph, "--pin", "nothing=0"), 2, "nothing")
        self.assert_fails(run(PROGRAM, "optimal", self.file("bad.json", "[1")), 3, "bad.json")
        self.assert_fails(run(PROGRAM, "optimal", self.dir / "none.json"), 3, "none.json")
        failed = run(PROGRAM, "optimal", self.dir / "none.json", "--json")
        self.assertEqual(json.loads(failed.stdout)["exit_code"], 3)

    def check_sweep(self, sweep):
        points = sweep["points"]
        self.assertEqual(points[0]["limit_bytes"], sweep["smallest_bytes"])
        self.assertLessEqual(sweep["least_bytes"], sweep["smallest_bytes"])
        for a, b in zip(points, points[1:]):
            self.assertLess(a["limit_bytes"], b["limit_bytes"])
            self.assertGreaterEqual(a["makespan_us"], b["makespan_us"])
        self.assertTrue(all(point["peak_bytes"] <= point["limit_bytes"] for point in points))

    def test_the_smallest_limit_holds(self):
        out = self.dir / "run"
        fast = ["--devices", 2, "--refine-steps", 10, "--no-progress"]
        sweep = self.json_of(run(PROGRAM, "limits", SMALL, "--points", 3, *fast, "--json", "--out", out))
        self.check_sweep(sweep)
        self.assertIn("Makespan against memory", (out / "report.html").read_text())
        placed = self.json_of(run(PROGRAM, "place", SMALL, *fast, "--memory", sweep["smallest_bytes"], "--json"))
        self.assertLessEqual(max(placed["peak_bytes"]), sweep["smallest_bytes"])
        self.assert_fails(run(PROGRAM, "place", SMALL, *fast, "--memory", sweep["least_bytes"] - 1), 4, "no placement fits")
        text = self.assert_works(run(PROGRAM, "limits", SMALL, "--points", 2, *fast))
        self.assertIn("smallest equal limit with a placement", text)

    def test_limits_of_a_model_in_onnx(self):
        self.check_sweep(self.json_of(run(PROGRAM, "limits", TOWERS, *SIZES, "--points", 2, "--refine-steps", 10, "--no-progress", "--json")))

    def test_limits_of_a_training_step_with_micro_batches(self):
        graph = self.file("chain.json", chain(4, perm=100))
        step = ["--step", "training", "--launch-us", 0, "--allocator-rounding", 1, "--refine-steps", 10, "--points", 3, "--no-progress", "--json"]
        whole = self.json_of(run(PROGRAM, "limits", graph, *step))
        several = self.json_of(run(PROGRAM, "limits", graph, *step, "--microbatches", "auto"))
        one_forward = self.json_of(run(PROGRAM, "limits", graph, *step, "--microbatches", 8, "--schedule", "1f1b"))
        for sweep in (whole, several, one_forward):
            self.check_sweep(sweep)
        self.assertTrue(all(point["microbatches"] == 1 for point in whole["points"]))
        self.assertTrue(all(point["microbatches"] == 8 and point["schedule"] in ("1f1b", "gpipe") for point in one_forward["points"]))
        self.assertLess(several["smallest_bytes"], whole["smallest_bytes"])
        self.assertLess(several["points"][-1]["makespan_us"], whole["points"][-1]["makespan_us"])

    def test_limits_refuses_what_it_cannot_do(self):
        self.assert_fails(run(PROGRAM, "limits", SMALL, "--compat", "tf"), 2, "--compat")
        self.assert_fails(run(PROGRAM, "limits", SMALL, "--points", 1), 2, "--points")
        self.assert_fails(run(PROGRAM, "limits", SMALL, "--step", "training", "--microbatches", 0), 2, "'0'")
        self.assert_fails(run(PROGRAM, "limits", TOWERS), 2, "--dim batch=8")
        self.assert_fails(run(PROGRAM, "limits", self.file("bad.json", "{}")), 3, "bad.json")

    def test_parameters_on_the_host_are_priced_by_limits_compare_and_optimal(self):
        """Four operators with 1000 bytes of parameters each: 4160 bytes on one device, 2500 with the host."""
        graph, placed = self.file("chain.json", chain(4, perm=1000)), self.dir / "p.json"
        one = ["--devices", 1, "--allocator-rounding", 1, "--host-latency-us", 10, "--host-us-per-byte", 0.01]
        limits = ["limits", graph, *one, "--refine-steps", 0, "--points", 3, "--no-progress"]
        with_host = self.json_of(run(PROGRAM, *limits, "--offload", "auto", "--json", "--out", self.dir / "run"))
        self.check_sweep(with_host)
        without = self.json_of(run(PROGRAM, *limits, "--json"))
        self.assertLess(with_host["smallest_bytes"], 1200)
        self.assertGreater(without["smallest_bytes"], 4000)
        self.assertEqual(with_host["points"][0]["host_bytes"], 4000)
        self.assertEqual(with_host["points"][-1]["makespan_us"], 160)
        self.assertIn("On the host", (self.dir / "run" / "report.html").read_text())
        self.assertIn("on the host", self.assert_works(run(PROGRAM, *limits, "--offload", "auto")))
        tight = [*one, "--memory", 2500]
        methods = {}
        for offload in ("off", "auto"):
            table = self.json_of(run(PROGRAM, "compare", graph, *tight, "--offload", offload, "--json"))
            methods[offload] = {row["algorithm"]: row for row in table["methods"]}
        self.assertFalse(methods["off"]["single"]["fits"])
        single = methods["auto"]["single"]
        self.assertTrue(single["fits"])
        self.assertEqual(single["makespan_with_memory_us"], 160)
        best = self.json_of(run(PROGRAM, "optimal", graph, *tight, "--offload", "auto", "--json", "-o", placed))
        self.assertTrue(best["proven"], best["explanation"])
        self.assertGreater(best["operators_on_host"], 0)
        self.assertLessEqual(best["makespan_us"], single["makespan_us"])
        self.assertEqual(self.json_of(run(PROGRAM, "simulate", graph, placed, *tight, "--json"))["makespan_us"], best["makespan_us"])
        self.assertIn("live on the host", self.assert_works(run(PROGRAM, "optimal", graph, *tight, "--offload", "auto")))
        self.assert_fails(run(PROGRAM, "optimal", graph, *tight), 4, "no placement fits")
        self.assert_fails(run(PROGRAM, "optimal", graph, *tight, "--offload", "auto", "--step", "training"), 2, "--offload", "one pass")
        for command in ("limits", "compare", "optimal"):
            self.assert_fails(run(PROGRAM, command, graph, "--mode", "train", "--offload", "auto"), 2, "--offload", "--step training")

    def test_compare_recomputes_where_a_training_step_does_not_fit(self):
        graph, cases = self.file("chain.json", chain(4)), self.dir / "cases"
        # One device needs 400 bytes: four saved outputs of 80 and a gradient.
        compare = [PROGRAM, "compare", graph, "--step", "training", "--launch-us", 0, "--devices", 1, "--memory", 390,
                   "--allocator-rounding", 1, "--json"]
        of = lambda table: {row["algorithm"]: row for row in table["methods"]}  # noqa: E731
        plain, again = of(self.json_of(run(*compare))), of(self.json_of(run(*compare, "--recompute", "auto", "--cases", cases)))
        self.assertFalse(plain["single"]["fits"])
        self.assertTrue(again["single"]["fits"])
        self.assertTrue(again["single"]["recomputing"])
        self.assertGreater(again["single"]["makespan_us"], plain["single"]["makespan_us"])
        self.assertTrue(again["single"]["method"].endswith(", recomputing"))
        kept = of(self.json_of(run(*compare, "--recompute", "auto", "--cases", cases)))
        self.assertEqual(kept["single"], again["single"])

    def test_compare_runs_training_steps_with_micro_batches(self):
        graph, cases = self.file("chain.json", chain(4)), self.dir / "cases"
        compare = [PROGRAM, "compare", graph, "--step", "training", "--launch-us", 0, "--json"]
        whole, several, pipelined = (self.json_of(run(*compare, *options)) for options in
                                     ([], ["--microbatches", "auto"], ["--microbatches", 4, "--schedule", "1f1b"]))
        of = lambda table: {row["algorithm"]: row for row in table["methods"]}  # noqa: E731
        self.assertEqual(set(of(whole)), set(of(several)))
        for name, row in of(several).items():
            self.assertLessEqual(row["makespan_us"], of(whole)[name]["makespan_us"])
            self.assertGreaterEqual(row["makespan_us"], several["lower_bound_us"])
        # One device gains nothing; two stages of 80 us: (4 + 1) 160 / 4.
        self.assertEqual(of(pipelined)["single"]["makespan_us"], 320)
        self.assertEqual(of(pipelined)["pipedream"]["makespan_us"], 200)
        self.assertTrue(all(row["microbatches"] == 4 for row in pipelined["methods"] if row["placed"]))
        for i in (2, 1):
            self.assert_works(run(*compare, "--microbatches", "auto", "--cases", cases, "--shard", f"{i}/2"))
        kept = self.json_of(run(*compare, "--microbatches", "auto", "--cases", cases))
        without = lambda table: [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in table["methods"]]  # noqa: E731
        self.assertEqual(without(kept), without(several))
        self.assertIn("micro-batches", self.assert_works(run(*compare[:-1], "--microbatches", 4)))
        self.assert_fails(run(*compare[:-1], "--compat", "tf"), 2, "--compat")
        self.assert_fails(run(*compare[:-1], "--microbatches", 5000), 2, "5000")


if __name__ == "__main__":
    unittest.main()
