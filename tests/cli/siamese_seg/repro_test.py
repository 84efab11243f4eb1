"""siamese-seg repro and phantom as a user runs them: trainings of about a second."""
import gzip
import json
import pathlib
import shutil
import struct
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

    def phantom(self, out, *more):
        return run(PROGRAM, "phantom", *more, "--seed", "3", "--no-progress", "--out", self.dir / out)

    def test_volumes_are_data_sets(self):
        kinds = {
            "episodes": (["--dims", "3", "--size", "24"], (1, 1, 1), 24, "image", ["ball", "shell", "rod", "plate"]),
            "population": (["--dims", "3", "--size", "24"], (1, 1, 1), 24, "image", ["rim", "core"]),
            "cardiac": (["--size", "32"], (1.5, 1.5, 8), None, "MRI", ["RV", "myocardium", "LV"]),
            "abdomen": (["--size", "32"], (1.5, 1.5, 1.5), 24, "CT", ["liver", "spleen", "right kidney", "left kidney", "aorta"]),
        }
        for kind, (options, spacing, slices, modality, names) in kinds.items():
            with self.subTest(kind):
                data = self.dir / kind
                self.assert_works(self.phantom(kind, kind, "--n", "4", *options, "--warp", "--oblique", "--threads", "1"))
                # A file depends on seed and number alone: neither on how many there are nor on threads.
                self.assert_works(self.phantom(kind + "2", kind, "--n", "5", *options, "--warp", "--oblique", "--threads", "3"))
                for part in ["images", "labels"]:
                    self.assertEqual(len(list((data / part).iterdir())), 4)
                    for file in (data / part).iterdir():
                        self.assertEqual(file.read_bytes(), (self.dir / (kind + "2") / part / file.name).read_bytes())
                description = json.loads((data / "dataset.json").read_text())
                self.assertEqual(description["modality"], {"0": modality})
                self.assertEqual(list(description["labels"].values()), ["background", *names])
                self.assertEqual("families" in description, kind == "population")
                image = gzip.decompress(sorted((data / "images").iterdir())[0].read_bytes())
                for found, wanted in zip(struct.unpack_from("<3f", image, 80), spacing):
                    self.assertAlmostEqual(found, wanted, places=4)
                size = struct.unpack_from("<3h", image, 42)
                self.assertIn(size[2], [slices] if slices else range(8, 13))
                plan = self.json_of(run(PROGRAM, "plan", data, "--json"))
                self.assertEqual(plan["dims"], 3)
                self.assertEqual(plan["channels"][0]["scale"], "ct" if kind == "abdomen" else "image")
                short = ["--epochs", "1", "--iterations", "2", "--threads", "1", "--no-progress"]
                self.assert_works(run(PROGRAM, "train", data, *short, "--out", self.dir / (kind + "-run"), timeout=300))

    def test_a_forced_phantom_leaves_nothing_of_the_former(self):
        self.assert_works(self.phantom("x", "population", "--n", "3", "--size", "16"))
        self.assert_works(self.phantom("x", "cardiac", "--n", "2", "--size", "16", "--force"))
        self.assertEqual(sorted(f.name for f in (self.dir / "x" / "images").iterdir()), ["heart_0000.nii.gz", "heart_0001.nii.gz"])

    def test_a_ct_keeps_its_values_and_volumes_are_no_slices(self):
        self.assert_fails(self.phantom("x", "abdomen", "--gain"), 2, "--gain")
        self.assert_fails(self.phantom("x", "abdomen", "--gamma"), 2, "--gamma")
        self.assert_fails(self.phantom("x", "cardiac", "--dims", "2"), 2, "--dims")
        self.assert_fails(self.phantom("x", "episodes", "--dims", "3", "--size", "1000"), 2, "--size")
        self.assert_works(self.phantom("thick", "abdomen", "--n", "1", "--size", "32", "--voxels", "thick"))
        self.assert_works(self.phantom("loud", "abdomen", "--n", "1", "--size", "16", "--noise", "1e6"))
        loud = gzip.decompress((self.dir / "loud" / "images" / "abdomen_0000.nii.gz").read_bytes())
        values = struct.unpack_from("<2000h", loud, 352)
        self.assertEqual((min(values), max(values)), (-32768, 32767))
        self.assertGreater(values.count(32767), 900)
        image = gzip.decompress((self.dir / "thick" / "images" / "abdomen_0000.nii.gz").read_bytes())
        self.assertEqual([round(s, 4) for s in struct.unpack_from("<3f", image, 80)], [0.8, 0.8, 3])
        self.assertEqual(struct.unpack_from("<h", image, 70), (4,))  # signed 16-bit numbers
        self.assertLess(min(struct.unpack_from("<2000h", image, 352)), -900)


if __name__ == "__main__":
    unittest.main()
