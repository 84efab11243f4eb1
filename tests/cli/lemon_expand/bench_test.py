"""lemon-expand bench: every measurement is there and consistent, the run directory has its page, and nothing is left behind."""
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from orchard_process import BIN, ProgramTest, run
from small_models import LLAMA, llama_shapes, random_tensors, write_model

PROGRAM = BIN / "lemon-expand"


class Bench(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)

    def check(self, report):
        self.assertGreaterEqual(len(report["work"]), 5)
        for work in report["work"]:
            self.assertGreater(work["bytes_written"], 0)
            self.assertAlmostEqual(work["bytes_per_s"] * work["seconds"], work["bytes_written"], delta=1)
            self.assertGreaterEqual(work["peak_memory"], 0)
        for key in ["copy_bytes_per_s", "f32_flops_per_s", "f64_flops_per_s"]:
            self.assertGreater(report[key], 0)
        for bound in report["bounds"]:
            self.assertGreaterEqual(bound["seconds"] * 1.0001, bound["bytes"] / report["copy_bytes_per_s"])

    def test_measures_a_synthetic_model_and_removes_it(self):
        scratch = self.folder / "scratch"
        scratch.mkdir()
        result = run(PROGRAM, "bench", "--size", "2MB", "--scratch", scratch, "--threads", 1, "--json", "--quiet")
        self.assert_works(result)
        self.check(self.json_of(result))
        self.assertEqual(list(scratch.iterdir()), [])

    def test_measures_a_given_model_and_writes_a_page(self):
        source = write_model(self.folder / "source", LLAMA, random_tensors(llama_shapes(LLAMA)))
        result = run(PROGRAM, "bench", "--model", source, "--threads", 1, "--json", "--quiet", "--out", self.folder / "run")
        self.assert_works(result)
        report = self.json_of(result)
        self.check(report)
        self.assertEqual(report["model"], str(source))
        self.assertIn("plain copies", (self.folder / "run" / "report.html").read_text())


if __name__ == "__main__":
    unittest.main()
