"""Every page that siamese-seg leaves, in a browser: nothing on the console, charts drawn, tables that sort, no wider than a phone."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from orchard_process import BIN, SOURCE, ProgramTest, run
from shipped_scans import DATA, copy_cases

PROGRAM = BIN / "siamese-seg"
CASES = ["hippocampus_001", "hippocampus_003", "hippocampus_004", "hippocampus_006", "hippocampus_008"]


class PageTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        copy_cases(cls.root / "data", CASES)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def check(self, page):
        result = subprocess.run([SOURCE / "scripts" / "check_page", "--width", "1280", "--width", "380", page], capture_output=True,
                                text=True, timeout=600)
        if result.returncode == 77:
            self.skipTest("there is no Chromium")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_training(self):
        out = self.root / "train"
        self.assert_works(run(PROGRAM, "plan", self.root / "data", "--base-channels", "4", "--max-stages", "2", "--patch", "24,32,24"))
        self.assert_works(run(PROGRAM, "train", self.root / "data", "--epochs", "3", "--iterations", "2", "--log-every", "1",
                              "--no-progress", "--threads", "1", "--out", out, timeout=600))
        self.check(out / "report.html")

    def test_evaluation(self):
        # Label maps of other cases stand for predictions: their sizes differ, so some fail, which the page shows.
        pred, ref, out = self.root / "pred", self.root / "ref", self.root / "evaluation"
        for folder, cases in [(pred, [CASES[0], CASES[0], CASES[2]]), (ref, CASES[:3])]:
            folder.mkdir()
            for case, name in zip(cases, CASES):
                shutil.copy(DATA / "labels" / f"{case}.nii.gz", folder / f"{name}.nii.gz")
        result = run(PROGRAM, "evaluate", "--pred", pred, "--ref", ref, "--images", self.root / "data" / "images", "--out", out,
                     "--names", "1=<b>anterior</b>,2=posterior", "--no-progress", timeout=300)
        self.assertEqual(result.returncode, 4, result.stderr)
        self.check(out / "report.html")

    def test_one_image(self):
        page = self.root / "image.html"
        self.assert_works(run(PROGRAM, "render", DATA / "images" / f"{CASES[0]}.nii.gz", page, "--labels",
                              DATA / "labels" / f"{CASES[0]}.nii.gz"))
        self.check(page)

    def test_experiments(self):
        out = self.root / "repro"
        result = run(PROGRAM, "repro", "size", "E1", "--quick", "--seeds", "2", "--minutes", "0.005", "--sizes", "3,5", "--data", DATA,
                     "--threads", "1", "--no-progress", "--out", out, timeout=900)
        self.assert_works(result)
        self.check(out / "report.html")


if __name__ == "__main__":
    unittest.main()
