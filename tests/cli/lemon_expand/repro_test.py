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
