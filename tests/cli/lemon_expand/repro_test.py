"""lemon-expand repro and compare, as a user runs them."""
import json
import pathlib
import tempfile

from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "lemon-expand"


class ReproTest(ProgramTest):
    def repro(self, *arguments):
        return run(PROGRAM, "repro", *arguments, "--quick", "--no-progress", timeout=300)

    def experiments(self, *arguments):
        result = self.repro(*arguments, "--json")
        self.assert_works(result)
        return self.json_of(result)["experiments"]

    def test_lossless_sweep_holds_for_every_block_type(self):
        (r1,) = self.experiments("R1")
        self.assertEqual(r1["verdict"], "passed", r1)
        text = json.dumps(r1)
        for family in ["GPT-2", "LLaMA", "Qwen3", "BERT", "OLMo 2", "Gemma 2", "ViT"]:
            self.assertIn(family, text)
        self.assertTrue(any(m["value"] > 0 for m in r1["measurements"]))  # something was compared

    def test_ablation_shows_that_every_part_is_needed(self):
        (r4,) = self.experiments("R4", "--runs", "2")
        full, *without = r4["measurements"]
        self.assertLess(full["value"], 1e-11)
        self.assertEqual(len(without), 3)
        for variant in without:
            self.assertGreater(variant["value"], 1e-4, variant["name"])

    def test_equal_copies_stay_equal_and_lemons_do_not(self):
        (r2,) = self.experiments("R2", "--runs", "1", "--steps", "6")
        values = {m["name"].split(":")[0]: m for m in r2["measurements"][:2]}
        equal, ratio = values["equal split, f64"], values["LEMON's smallest over the equal split's largest"]
        self.assertEqual((equal["verdict"], ratio["verdict"]), ("passed", "passed"))
        self.assertLess(equal["value"], 1e-10)

    def test_schedules_are_compared_and_finished_trainings_found_again(self):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            command = ["R3", "--steps", "2", "--runs", "2", "--trainings", scratch / "kept"]
            for shard in ["1/2", "2/2"]:
                (part,) = self.experiments(*command, "--shard", shard)
                self.assertEqual(part["measurements"][0]["value"], 35)  # source, 4 scratch, 10 LEMON, 20 others
            before = {path: path.stat().st_mtime_ns for path in scratch.rglob("metrics.jsonl")}
            self.assertEqual(len(before), 2 * 35)
            result = self.repro(*command, "--out", scratch / "run", "--json")
            self.assert_works(result)
            (r3,) = self.json_of(result)["experiments"]
            self.assertEqual({path: path.stat().st_mtime_ns for path in scratch.rglob("metrics.jsonl")}, before)
            first = r3["measurements"][0]
            self.assertIn("LEMON", first["name"])
            self.assertEqual((first["verdict"], first["promised"]), ("passed", True))
            config = scratch / "kept/R3/seed1/lemon-0.433-lr0.3/config.toml"  # a run can be repeated by hand
            self.assert_works(run(PROGRAM, "train", "--config", config, "--print-config"))
            page = (scratch / "run/report.html").read_text()
            for method in ["scratch", "LEMON", "fpi", "aki", "stackbert", "hypercloning", "random"]:
                self.assertIn(method, page)
            self.assert_fails(self.repro("R3", "--shard", "1/2"), 2, "--trainings")
            self.assert_fails(self.repro("R3", "--shard", "3/2"), 2, "i/n")

    def test_compare_trains_every_method_for_the_same_flops(self):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            self.assert_works(run(PROGRAM, "train", "--hidden", "16", "--heads", "2", "--layers", "3", "--characters", "20000",
                                  "--block", "32", "--steps", "5", "--batch", "2", "--eval-every", "0", "--out", scratch / "source",
                                  "--no-progress", timeout=300))
            result = run(PROGRAM, "compare", scratch / "source/final", "--hidden", "32", "--ffn", "128", "--length", "16",
                         "--train-steps", "3", "--train-batch", "2", "--train-dropout", "0", "--out", scratch / "run", "--json", "--no-progress", timeout=300)
            self.assert_works(result)
            methods = {m["method"]: m for m in self.json_of(result)["methods"]}
            lemon, equal = methods["lemon"], methods["hypercloning"]
            self.assertAlmostEqual(lemon["loss_before_training"]["mean"], equal["loss_before_training"]["mean"], 5)
            self.assertLess(equal["trained_copy_divergence"]["mean"], 1e-3)
            self.assertGreater(lemon["trained_copy_divergence"]["mean"], 0.01)
            for method in methods.values():
                if method["reached"]:
                    self.assertEqual(method["train_steps"], 3)
                    self.assertIn("loss_at_equal_flops", method)
            self.assertFalse(methods["lesa"]["reached"])  # adds layers only
            self.assertIn("Trained on", (scratch / "run/report.html").read_text())

    def test_memory_stays_within_its_bound_and_the_run_is_recorded(self):
        with tempfile.TemporaryDirectory() as scratch:
            out = pathlib.Path(scratch) / "run"
            result = self.repro("R6", "--out", out, "--json")
            self.assert_works(result)
            (r6,) = self.json_of(result)["experiments"]
            self.assertEqual(r6["verdict"], "passed", r6)
            summary = json.loads((out / "summary.json").read_text())
            self.assertEqual(summary["result"]["experiments"], [r6])
            self.assertIn("R6: Memory", (out / "report.html").read_text())

    def test_names_what_there_is(self):
        self.assert_fails(self.repro("R9"), 2, "R9", "R1")
        self.assert_fails(self.repro("R5"), 2, "--model")


if __name__ == "__main__":
    import unittest

    unittest.main()
