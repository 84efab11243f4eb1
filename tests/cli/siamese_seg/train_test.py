"""siamese-seg plan, train and predict as a user runs them: few steps, small network."""
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from orchard_process import BIN, SOURCE, ProgramTest, run
from shipped_scans import SMALL, copy_cases

PROGRAM = BIN / "siamese-seg"
SERIES = SOURCE / "data" / "medical" / "mr_dicom"
CASES = ["hippocampus_001", "hippocampus_003", "hippocampus_004", "hippocampus_006", "hippocampus_008"]
SHORT = ["--epochs", "2", "--iterations", "3", "--log-every", "1", "--set", "optim.name=adamw", "--no-progress", "--threads", "2"]


def nifti(path):
    """(shape, form bytes, voxels) of a single little-endian file of version 1."""
    data = gzip.decompress(path.read_bytes())
    return struct.unpack_from("<8h", data, 40)[1:4], data[252:328], data[352:]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def losses(run_dir):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["ce"]) for line in lines]


class TrainTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        cls.data = copy_cases(cls.root / "data", CASES)
        result = run(PROGRAM, "plan", cls.data, *SMALL)
        assert result.returncode == 0, result.stderr
        cls.model = cls.root / "model"
        result = cls.train(cls.model)
        assert result.returncode == 0, result.stderr

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def train(cls, out, *more, **options):
        return run(PROGRAM, "train", cls.data, *SHORT, "--out", out, *more, timeout=600, **options)

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)

    def predict(self, *arguments):
        return run(PROGRAM, "predict", "--model", self.model, *arguments, timeout=300)

    # ---- plan
    def test_a_plan_says_what_fits(self):
        result = run(PROGRAM, "plan", self.data, "--patch", "64,64,64", "--memory", "50MB", "-o", self.dir / "p.json")
        self.assert_fails(result, 7, "the largest that fits is")
        self.assert_fails(run(PROGRAM, "plan", self.data, "--patch", "1,1,1", "-o", self.dir / "p.json"), 2, "too small", "--patch",
                          "at least 8,8,8")
        self.assertFalse((self.dir / "p.json").exists())

        text = self.assert_works(run(PROGRAM, "plan", self.data, "-o", self.dir / "p.json"))
        self.assertIn("data: 5 cases, 1 channel, labels 1 (label 1), 2 (label 2)\n", text)

    def test_a_bad_case_is_named(self):
        data = self.dir / "data"
        shutil.copytree(self.data, data)
        shutil.copy(data / "labels" / f"{CASES[1]}.nii.gz", data / "labels" / f"{CASES[0]}.nii.gz")
        self.assert_fails(run(PROGRAM, "plan", data), 3, CASES[0], "other voxels")

    def test_a_folder_that_is_no_data_set_is_refused(self):
        self.assert_fails(run(PROGRAM, "plan", self.dir), 3, "no data set")

    # ---- train
    def test_a_run_leaves_what_it_promises(self):
        for name in ["metrics.jsonl", "report.html", "summary.json", "config.toml", "final/model.safetensors", "final/plan.json",
                     "final/network.json", "final/templates.h5", "best/model.safetensors"]:
            self.assertTrue((self.model / name).exists(), name)
        result = json.loads((self.model / "summary.json").read_text())["result"]
        self.assertEqual(result["steps"], 6)
        self.assertEqual(result["training_cases"], 4)
        self.assertEqual(len(result["validation"]), 1)

    def test_a_single_validation_at_the_end_is_drawn(self):
        self.assert_works(self.train(self.dir / "out", "--epochs", "1", "--iterations", "1"))
        self.assertIn("Dice of the validation cases at the end", (self.dir / "out" / "report.html").read_text())

    def test_a_fold_that_leaves_too_little(self):
        train = ["--epochs", "1", "--iterations", "1", "--out", self.dir / "out"]
        one = copy_cases(self.dir / "one", CASES[:1])
        for plan in [[], ["--plan", self.data / "plan.json"]]:
            for more in [[], ["--set", "sampling.p_self=1"], ["--attention", "off"]]:
                self.assert_fails(run(PROGRAM, "train", one, *train, *plan, *more), 3, "fold 0 leaves no training case", "--fold -1")
        self.assert_fails(run(PROGRAM, "plan", one, "--fold", "0", "-o", self.dir / "plan.json"), 3, "fold 0 leaves no training case")
        two = copy_cases(self.dir / "two", CASES[:2])
        self.assert_fails(run(PROGRAM, "train", two, *train), 4, "1 of 2 subjects is left", "fold 0", "--fold -1")
        self.assertFalse((self.dir / "out").exists())

    def test_two_runs_are_equal(self):
        self.assert_works(self.train(self.dir / "again"))
        self.assertEqual(losses(self.dir / "again"), losses(self.model))
        self.assertEqual(digest(self.dir / "again/final/model.safetensors"), digest(self.model / "final/model.safetensors"))

    def test_a_stopped_run_continues_to_the_same_bits(self):
        out = self.dir / "stopped"
        process = subprocess.Popen([str(PROGRAM), "train", str(self.data), *SHORT, "--out", str(out)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.time() + 300
        while time.time() < deadline and process.poll() is None:
            if (out / "metrics.jsonl").exists() and (out / "metrics.jsonl").read_text().count("\n") >= 1:
                process.send_signal(signal.SIGUSR1)
                break
            time.sleep(0.02)
        error = process.communicate(timeout=300)[1]
        self.assertEqual(process.returncode, 75, error)
        self.assert_works(self.train(out, "--resume"))
        self.assertEqual(losses(out), losses(self.model))
        self.assertEqual(digest(out / "final/model.safetensors"), digest(self.model / "final/model.safetensors"))

    def test_two_ranks_take_both_halves_of_a_batch(self):
        # One step of two ranks with one patch each is one step of a batch of two: the same samples, gradients averaged.
        plan = json.loads((self.data / "plan.json").read_text())
        plan["batch"] = 1
        (self.dir / "one.json").write_text(json.dumps(plan))
        short = ["--epochs", "1", "--iterations", "1", "--no-progress", "--log-every", "1"]
        two = run(PROGRAM, "train", self.data, *short, "--plan", self.dir / "one.json", "--ranks", "2", "--threads", "1",
                  "--out", self.dir / "two", timeout=600)
        self.assert_works(two)
        self.assert_works(run(PROGRAM, "train", self.data, *short, "--out", self.dir / "one", timeout=600))
        norm = lambda name: json.loads((self.dir / name / "metrics.jsonl").read_text().splitlines()[-1])["grad_norm"]
        self.assertAlmostEqual(norm("two") / norm("one"), 1, places=4)

    def test_a_network_without_template_trains_and_predicts(self):
        self.assert_works(self.train(self.dir / "unet", "--attention", "off"))
        result = run(PROGRAM, "predict", "--model", self.dir / "unet", self.data / "images" / f"{CASES[0]}.nii.gz", "--out",
                     self.dir / "out", "--json", timeout=300)
        self.assertEqual(self.json_of(result)["cases"][0]["templates"], [])

    def test_no_out_no_run(self):
        self.assert_fails(run(PROGRAM, "train", self.data), 2, "--out")

    def test_time_ends_a_run(self):
        result = self.json_of(run(PROGRAM, "train", self.data, "--minutes", "0.01", "--threads", "1", "--no-progress", "--set",
                                  "optim.name=adamw", "--out", self.dir / "timed", "--json", timeout=300))
        self.assertGreaterEqual(result["cpu_seconds"], 0.6)
        self.assertLess(result["steps"], 1000 * 250)

    def test_memory_is_asked_before_anything_is_trained(self):
        result = run(PROGRAM, "train", self.data, *SHORT, "--memory", "5MB", "--out", self.dir / "big")
        self.assert_fails(result, 7, "24x32x24", "--patch")
        self.assertFalse((self.dir / "big").exists())

    # ---- predict
    def test_a_model_in_one_file_predicts_the_same(self):
        image = self.data / "images" / f"{CASES[0]}.nii.gz"
        self.assert_works(run(PROGRAM, "export", self.model, self.dir / "model.safetensors"))
        self.assert_fails(run(PROGRAM, "export", self.model, self.dir / "model.safetensors"), 2, "--force")
        self.assert_works(self.predict(image, "--out", self.dir / "folder"))
        self.assert_works(run(PROGRAM, "predict", "--model", self.dir / "model.safetensors", image, "--out", self.dir / "file"))
        name = f"{CASES[0]}.nii.gz"
        self.assertEqual(digest(self.dir / "folder" / name), digest(self.dir / "file" / name))
        small = self.json_of(run(PROGRAM, "export", self.model, self.dir / "small.safetensors", "--dtype", "bf16", "--templates", "1",
                                 "--json"))
        self.assertEqual(small["templates"], 1)
        self.assert_works(run(PROGRAM, "predict", "--model", self.dir / "small.safetensors", image, "--out", self.dir / "small"))
        self.assert_fails(run(PROGRAM, "predict", "--model", image, image, "--out", self.dir / "x"), 3, "safetensors")

    def test_probabilities_and_pictures(self):
        image = self.data / "images" / f"{CASES[0]}.nii.gz"
        for series, name in [([image], CASES[0]), ([SERIES, "--format", "dicom-seg"], "mr_dicom")]:
            self.assert_works(self.predict(*series, "--probs", "--overlay", "--out", self.dir / "out"))
            self.assertEqual((self.dir / "out" / f"{name}.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
            self.assertEqual((self.dir / "out" / f"{name}.probs.h5").read_bytes()[:4], b"\x89HDF")
        self.assert_fails(run(PROGRAM, "predict", "--model", "identity", image, "--probs", "--out", self.dir / "id"), 2, "--probs")

    def test_labels_lie_on_the_image(self):
        image = self.data / "images" / f"{CASES[0]}.nii.gz"
        self.assert_works(self.predict(image, "--out", self.dir / "out"))
        shape, form, voxels = nifti(self.dir / "out" / f"{CASES[0]}.nii.gz")
        image_shape, image_form, _ = nifti(image)
        self.assertEqual((shape, form), (image_shape, image_form))
        self.assertLessEqual(set(voxels), {0, 1, 2})

    def test_a_dicom_series_becomes_a_segmentation(self):
        self.assert_works(self.predict(SERIES, "--format", "dicom-seg", "--out", self.dir / "out"))
        shown = self.assert_works(run(PROGRAM, "inspect", self.dir / "out" / "mr_dicom.dcm"))
        self.assertIn("DICOM segmentation", shown)
        self.assert_works(self.predict(SERIES, "--format", "dicom-seg", "--names", "1=anterior,2=posterior", "--out", self.dir / "named"))
        facts = self.json_of(run(PROGRAM, "inspect", self.dir / "named" / "mr_dicom.dcm", "--json"))
        self.assertEqual([s["name"] for s in facts["segments"]], ["anterior", "posterior"])

    def test_finished_cases_are_kept_and_shards_divide_the_rest(self):
        out = self.dir / "out"
        images = self.data / "images"
        first = self.json_of(self.predict(images, "--out", out, "--shard", "1/2", "--json"))
        self.assertEqual(len(first["cases"]), 3)
        everything = self.json_of(self.predict(images, "--out", out, "--json"))
        self.assertEqual([c["kept"] for c in everything["cases"]], [True, False, True, False, True])

    def test_one_bad_file_does_not_stop_the_others(self):
        folder = self.dir / "in"
        folder.mkdir()
        good = self.data / "images" / f"{CASES[0]}.nii.gz"
        shutil.copy(good, folder)
        (folder / "cut.nii.gz").write_bytes(good.read_bytes()[:2000])
        result = self.predict(folder, "--out", self.dir / "out")
        self.assertEqual(result.returncode, 4, result.stderr)
        failures = json.loads((self.dir / "out" / "failures.json").read_text())["failures"]
        self.assertEqual([f["case"] for f in failures], ["cut"])
        self.assertTrue((self.dir / "out" / f"{CASES[0]}.nii.gz").exists())
        only_bad = self.predict(folder / "cut.nii.gz", "--out", self.dir / "none")
        self.assert_fails(only_bad, 3, "cut.nii.gz")

    def test_own_templates_and_ensembles(self):
        image, label = self.data / "images", self.data / "labels"
        pairs = [f"{image}/{c}.nii.gz:{label}/{c}.nii.gz" for c in CASES[1:3]]
        for ensemble in ["tokens", "logits"]:
            result = self.predict(image / f"{CASES[0]}.nii.gz", "--template", ",".join(pairs), "--ensemble", ensemble, "--tta", "0",
                                  "--out", self.dir / ensemble, "--json")
            self.assertEqual(sorted(self.json_of(result)["cases"][0]["templates"]), CASES[1:3])

    def test_every_alignment_and_choice_predicts(self):
        image = self.data / "images" / f"{CASES[0]}.nii.gz"
        for n, options in enumerate([["--align", "global"], ["--align", "search"], ["--select", "nearest", "--templates", "3"],
                                     ["--select", "random"], ["--select", "fixed", "--fixed", CASES[2]], ["--largest"]]):
            self.assert_works(self.predict(image, "--out", self.dir / str(n), *options))

    def test_a_fixed_template_that_is_none(self):
        image = self.data / "images" / f"{CASES[0]}.nii.gz"
        for more in [[], ["--fixed", "nobody"]]:
            self.assert_fails(self.predict(image, "--select", "fixed", *more, "--out", self.dir / "out"), 2, "--fixed")

    def test_a_case_is_never_its_own_template(self):
        result = self.predict(self.data / "images" / f"{CASES[2]}.nii.gz", "--select", "fixed", "--fixed", CASES[2], "--out",
                              self.dir / "out")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("no template", result.stderr)

    def test_identity_gives_back_the_labels(self):
        # Through canonical axes and cutting and back: the label map as image, turned by permuted and flipped axes.
        for case in CASES[:2]:
            path = self.data / "labels" / f"{case}.nii.gz"
            self.assert_works(run(PROGRAM, "predict", "--model", "identity", path, "--out", self.dir / "out"))
            shape, form, voxels = nifti(self.dir / "out" / f"{case}.nii.gz")
            label_shape, label_form, label_voxels = nifti(path)
            if case == "hippocampus_003":  # stored as float32
                label_voxels = bytes(int(v) for v in struct.unpack(f"<{len(label_voxels) // 4}f", label_voxels))
            self.assertEqual((shape, form, voxels), (label_shape, label_form, label_voxels))


if __name__ == "__main__":
    unittest.main()
