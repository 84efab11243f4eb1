"""siamese-seg repro and phantom as a user runs them: trainings of about a second."""
import json
import pathlib
import shutil
import tempfile
import unittest

from orchard_process import BIN, SOURCE, ProgramTest, run

PROGRAM = BIN / "siamese-seg"
DATA = SOURCE / "data" / "hippocampus"


class ReproTest(ProgramTest):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)

    def repro(self, *more):
        # Seconds of training say nothing about the method; that results are kept and divided does not depend on them.
        return run(PROGRAM, "repro", *more, "--quick", "--seeds", "1", "--minutes", "0.01", "--data", DATA, "--threads", "1",
                   "--no-progress", timeout=600)

    def test_shards_leave_what_a_whole_run_reports(self):
        cases = self.dir / "cases"
        self.assert_fails(self.repro("size", "--shard", "1/2"), 2, "--cases")
        for shard in ["1/2", "2/2"]:
            self.assertIn(f"shard {shard}", self.assert_works(self.repro("size", "--sizes", "4", "--shard", shard, "--cases", cases)))
        kept = {file: file.stat().st_mtime_ns for file in cases.iterdir()}
        self.assertEqual(len(kept), 5)
        out = self.dir / "run"
        result = self.json_of(self.repro("size", "--sizes", "4", "--cases", cases, "--out", out, "--json"))
        self.assertEqual({file: file.stat().st_mtime_ns for file in cases.iterdir()}, kept)  # nothing was trained again
        self.assertTrue((out / "report.html").exists())
        size = result["experiments"][0]
        self.assertEqual(size["name"], "size")
        self.assertIn("U-Net", size["measurements"][0]["name"])
        # Who trained and who was tested, for other programs.
        split = json.loads((out / "splits" / "4-seed-0.json").read_text())
        self.assertEqual((len(split["train"]), len(split["validation"])), (4, 5))
        self.assertFalse(set(split["train"]) & set(split["validation"]))

    def test_made_up_images_need_no_data(self):
        result = run(PROGRAM, "repro", "E1", "E2", "--quick", "--seeds", "1", "--minutes", "0.01", "--data", self.dir / "none",
                     "--threads", "1", "--no-progress", "--json", timeout=600)
        self.assertEqual([e["name"] for e in self.json_of(result)["experiments"]], ["E1", "E2"])

    def test_an_unknown_experiment_is_refused(self):
        self.assert_fails(self.repro("E9"), 2, "E9", "E5")

    def test_a_phantom_is_a_data_set(self):
        data = self.dir / "organs"
        phantom = [PROGRAM, "phantom", "population", "--n", "12", "--size", "32", "--seed", "3", "--oblique", "--out"]
        self.assert_works(run(*phantom, data))
        self.assert_fails(run(*phantom, data), 2, "--force")
        self.assert_works(run(*phantom, self.dir / "again"))
        for file in sorted((data / "images").iterdir()):
            self.assertEqual(file.read_bytes(), (self.dir / "again" / "images" / file.name).read_bytes())
        description = json.loads((data / "dataset.json").read_text())
        self.assertEqual(description["labels"], {"0": "background", "1": "rim", "2": "core"})
        self.assertEqual(sorted(set(description["families"].values())), list(range(6)))
        self.assertEqual(self.json_of(run(PROGRAM, "plan", data, "--json"))["dims"], 2)
        short = ["--epochs", "1", "--iterations", "2", "--threads", "1", "--no-progress"]
        self.assert_works(run(PROGRAM, "train", data, *short, "--out", self.dir / "run", timeout=300))


if __name__ == "__main__":
    unittest.main()
