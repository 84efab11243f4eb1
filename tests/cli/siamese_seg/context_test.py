"""siamese-seg in context: labels that training never saw, banks of templates, quality without a reference, and what answered."""
import gzip
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

from orchard_process import BIN, ProgramTest, run
from shipped_scans import DATA, SMALL, copy_cases

PROGRAM = BIN / "siamese-seg"
CASES = ["hippocampus_001", "hippocampus_004", "hippocampus_006", "hippocampus_008", "hippocampus_011"]
HELD_OUT = ["hippocampus_040", "hippocampus_041"]
PEAK = "import resource, subprocess, sys; r = subprocess.run(sys.argv[1:], stdout=2); " \
       "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024); sys.exit(r.returncode)"


def voxels(path):
    return gzip.decompress(path.read_bytes())[352:]


def relabel(source, target, values):
    """A copy of an 8-bit label map with other values."""
    data = gzip.decompress(source.read_bytes())
    assert struct.unpack_from("<h", data, 70)[0] == 2, source
    table = bytes(values.get(v, v) for v in range(256))
    target.write_bytes(gzip.compress(data[:352] + data[352:].translate(table), 1))


def peak(*arguments):
    """Resident bytes at the peak of a program's run."""
    result = run(sys.executable, "-c", PEAK, *arguments, timeout=600)
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


class ContextTest(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.scratch.name)
        cls.data = copy_cases(cls.root / "data", CASES)
        result = run(PROGRAM, "plan", cls.data, *SMALL)
        assert result.returncode == 0, result.stderr
        cls.context = cls.train("context", "--mode", "in_context")
        cls.joint = cls.train("joint")

    @classmethod
    def train(cls, name, *more):
        out = cls.root / name
        result = run(PROGRAM, "train", cls.data, "--epochs", "2", "--iterations", "4", "--set", "optim.name=adamw", "--fold", "-1",
                     "--no-progress", "--threads", "2", "--out", out, *more, timeout=600)
        assert result.returncode == 0, result.stderr
        return out

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)

    def pair(self, case, labels=None):
        return f"{DATA}/images/{case}.nii.gz:{labels or DATA / 'labels' / (case + '.nii.gz')}"

    def predict(self, model, out, *more):
        image = DATA / "images" / f"{HELD_OUT[0]}.nii.gz"
        result = self.json_of(run(PROGRAM, "predict", "--model", model, image, "--out", self.dir / out, "--json", *more, timeout=300))
        return result["cases"][0], voxels(self.dir / out / f"{HELD_OUT[0]}.nii.gz")

    def build(self, model, *more):
        return run(PROGRAM, "templates", "build", self.dir / "bank.h5", "--model", model, "--data", self.data, *more, timeout=300)

    # ---- in context
    def test_other_values_in_the_template_are_other_values_in_the_result(self):
        for values in [{1: 2, 2: 1}, {1: 7, 2: 3}]:
            relabel(DATA / "labels" / f"{CASES[1]}.nii.gz", self.dir / "l.nii.gz", values)
            _, plain = self.predict(self.context, "plain", "--template", self.pair(CASES[1]), "--force")
            case, other = self.predict(self.context, "other", "--template", self.pair(CASES[1], self.dir / "l.nii.gz"), "--force")
            self.assertEqual(other, bytes(values.get(v, v) for v in plain))
            self.assertEqual(len(case["voxels"]), max(values.values()))

    def test_names_are_those_of_the_templates(self):
        case, _ = self.predict(self.context, "out", "--template", self.pair(CASES[1]), "--names", "1=head,2=tail")
        self.assertEqual(list(case["voxels"]), ["head", "tail"])
        case, _ = self.predict(self.joint, "joint", "--names", "2=tail", "--qc", "--witnesses", "2", "--reverse-cases", "1")
        self.assertEqual(list(case["voxels"]), ["label 1", "tail"])
        quality = json.loads((self.dir / "joint" / f"{HELD_OUT[0]}_qc.json").read_text())
        self.assertEqual(list(quality["classes"]), ["label 1", "tail"])
        image = DATA / "images" / f"{HELD_OUT[0]}.nii.gz"
        for model in [self.context, self.joint]:
            self.assert_fails(run(PROGRAM, "predict", "--model", model, image, "--names", "3=x", "--out", self.dir / "x"), 2, "no label 3",
                              "--names")

    def test_a_network_without_template_is_not_in_context(self):
        result = run(PROGRAM, "train", self.data, "--mode", "in_context", "--attention", "off", "--out", self.dir / "x")
        self.assert_fails(result, 2, "model.attention")

    # ---- banks
    def test_a_bank_says_what_it_holds(self):
        self.assert_works(self.build(self.joint))
        listed = self.json_of(run(PROGRAM, "templates", "list", self.dir / "bank.h5", "--model", self.joint, "--json"))
        self.assertEqual([t["id"] for t in listed["templates"]], CASES)
        self.assertEqual(listed["templates"][0]["labels"], ["label 1", "label 2"])
        image = DATA / "images" / f"{CASES[2]}.nii.gz"
        chosen = self.json_of(run(PROGRAM, "templates", "select", self.dir / "bank.h5", "--model", self.joint, "--image", image,
                                  "--templates", "2", "--json"))
        self.assertEqual(chosen["templates"][0]["id"], CASES[2])
        self.assertAlmostEqual(chosen["templates"][0]["similarity"], 1, places=5)
        others = self.json_of(run(PROGRAM, "templates", "select", self.dir / "bank.h5", "--model", self.joint, "--image", image,
                                  "--subject", CASES[2], "--json"))
        self.assertNotIn(CASES[2], [t["id"] for t in others["templates"]])

    def test_a_bank_predicts_as_its_files_do(self):
        for model in [self.joint, self.context]:
            self.assert_works(self.build(model, "--force"))
            bank = ["--template-set", self.dir / "bank.h5", "--templates", str(len(CASES))]
            case, stored = self.predict(model, "stored", *bank, "--force")
            _, again = self.predict(model, "again", *bank, "--token-memory", "0", "--force")
            files, given = self.predict(model, "given", "--template", ",".join(map(self.pair, CASES)), "--force")
            self.assertEqual(sorted(case["templates"]), sorted(files["templates"]))
            self.assertEqual(stored, given)
            self.assertEqual(again, given)

    def test_encoded_templates_are_used_again_but_never_wrongly(self):
        first = self.json_of(self.build(self.joint, "--json"))
        self.assertGreater(first["encoded"], 0)
        self.assertEqual(first["were_encoded"], 0)
        second = self.json_of(self.build(self.joint, "--json", "--force"))
        self.assertEqual((second["encoded"], second["were_encoded"]), (0, first["encoded"]))
        _, good = self.predict(self.joint, "good", "--template-set", self.dir / "bank.h5", "--templates", "3")
        for n, file in enumerate(sorted((self.dir / "bank.h5.tokens").iterdir())):
            data = bytearray(file.read_bytes())
            data[-5 - n] ^= 16
            file.write_bytes(data)
        result = run(PROGRAM, "predict", "--model", self.joint, DATA / "images" / f"{HELD_OUT[0]}.nii.gz", "--template-set",
                     self.dir / "bank.h5", "--templates", "3", "--out", self.dir / "damaged", timeout=300)
        self.assert_works(result)
        self.assertIn("made anew", result.stderr)
        self.assertEqual(voxels(self.dir / "damaged" / f"{HELD_OUT[0]}.nii.gz"), good)

    def test_a_bank_of_another_plan_is_refused(self):
        self.assert_works(self.build(self.joint, "--no-encode"))
        plan = json.loads((self.joint / "final" / "plan.json").read_text())
        shutil.copytree(self.joint / "final", self.dir / "other")
        plan["spacing"] = [1, 1, 1.5]
        (self.dir / "other" / "plan.json").write_text(json.dumps(plan))
        result = run(PROGRAM, "templates", "list", self.dir / "bank.h5", "--model", self.dir / "other")
        self.assert_fails(result, 3, "another model")

    def test_memory_does_not_grow_with_the_templates(self):
        many = self.dir / "many"
        for part in ["images", "labels"]:
            (many / part).mkdir(parents=True)
            for n in range(12):
                for case in CASES:
                    os.link(self.data / part / f"{case}.nii.gz", many / part / f"{case}x{n}.nii.gz")
        self.assert_works(run(PROGRAM, "templates", "build", self.dir / "bank.h5", "--model", self.joint, "--data", many, timeout=600))
        image = DATA / "images" / f"{HELD_OUT[0]}.nii.gz"
        predict = [PROGRAM, "predict", "--model", self.joint, image, "--template-set", self.dir / "bank.h5", "--threads", "1", "--force"]
        few = peak(*predict, "--templates", "2", "--token-memory", "4MB", "--out", self.dir / "few")
        all_of_them = peak(*predict, "--templates", "60", "--token-memory", "4MB", "--out", self.dir / "all")
        kept = peak(*predict, "--templates", "60", "--token-memory", "1GB", "--out", self.dir / "kept")
        self.assertLess(all_of_them - few, 30e6)
        self.assertGreater(kept - few, 60e6)  # what would have grown
        self.assertEqual(voxels(self.dir / "all" / f"{HELD_OUT[0]}.nii.gz"), voxels(self.dir / "kept" / f"{HELD_OUT[0]}.nii.gz"))

    # ---- quality
    def test_quality_without_a_reference(self):
        # True labels, and ones moved by a quarter of the image.
        (self.dir / "pred").mkdir()
        for n, case in enumerate(CASES[:4]):
            data = gzip.decompress((DATA / "labels" / f"{case}.nii.gz").read_bytes())
            body = data[352:]
            if n >= 2:
                shift = len(body) // 4
                body = body[shift:] + body[:shift]
            (self.dir / "pred" / f"{case}.nii.gz").write_bytes(gzip.compress(data[:352] + body))
        out = self.dir / "qc"
        qc = [PROGRAM, "qc", DATA / "images", "--pred", self.dir / "pred", "--model", self.context, "--reverse-cases", "3",
              "--witnesses", "2"]
        self.assert_works(run(*qc, "--ref", DATA / "labels", "--out", out, timeout=300))
        found = json.loads((out / "qc.json").read_text())
        self.assertEqual(len(found["cases"]), 4)
        predicted = [sum(c["PredictedDice"] for c in case["classes"].values()) / 2 for case in found["cases"]]
        truth = [sum(c["Dice"] for c in case["classes"].values()) / 2 for case in found["cases"]]
        self.assertEqual(truth[:2], [1, 1])
        self.assertLess(max(truth[2:]), 0.5)
        self.assertTrue(all(0 <= dice <= 1 for dice in predicted), predicted)
        for case in found["cases"]:
            for quality in case["classes"].values():
                self.assertEqual(quality["flagged"], quality["Support"] < 0.7)
        # Predicted Dice has a say where it is asked.
        strict = self.json_of(run(*qc, "--flag-below", "0", "--reverse-below", "0.9", "--json", timeout=300))
        for case in strict["cases"]:
            for quality in case["classes"].values():
                self.assertEqual(quality["flagged"], quality["PredictedDice"] < 0.9)
        self.assertIn("pearson", found["against_reference"]["PredictedDice"])
        page = (out / "report.html").read_text()
        self.assertIn("Quality without a reference", page)
        self.assertIn("where support is below 0.7", page)
        self.assertEqual(len((out / "qc.csv").read_text().splitlines()), 1 + 4 * 2)
        series = DATA.parent / "medical" / "mr_dicom"
        self.assert_fails(run(PROGRAM, "qc", series, "--pred", self.dir / "pred", "--model", self.context), 2, "NIfTI", "is DICOM",
                          "siamese-seg convert")

    def test_predict_says_where_to_look(self):
        self.predict(self.context, "out", "--qc", "--correspondences", "--witnesses", "2", "--reverse-cases", "2")
        out = self.dir / "out"
        quality = json.loads((out / f"{HELD_OUT[0]}_qc.json").read_text())
        self.assertEqual(len(quality["witnesses"]), 2)
        self.assertEqual(len(voxels(out / "qc" / f"{HELD_OUT[0]}_disagreement.nii.gz")),
                         4 * len(voxels(DATA / "images" / f"{HELD_OUT[0]}.nii.gz")) // self.bytes_a_voxel(HELD_OUT[0]))
        self.assertIn("Which part of a template answered", (out / "attention.html").read_text())
        self.assertTrue((out / f"{HELD_OUT[0]}_correspondence.h5").exists())
        self.assertTrue((out / "qc.html").exists())
        # What lies beside the label maps is not taken for one.
        (self.dir / "ref").mkdir()
        shutil.copy(DATA / "labels" / f"{HELD_OUT[0]}.nii.gz", self.dir / "ref")
        self.assert_works(run(PROGRAM, "evaluate", "--pred", out, "--ref", self.dir / "ref"))

    def bytes_a_voxel(self, case):
        data = gzip.decompress((DATA / "images" / f"{case}.nii.gz").read_bytes())
        return struct.unpack_from("<h", data, 72)[0] // 8

    # ---- tuning
    def test_tuning_changes_the_result_and_lowers_the_loss(self):
        pairs = ["--template", ",".join(map(self.pair, CASES[:2]))]
        _, plain = self.predict(self.joint, "plain", *pairs)
        result = run(PROGRAM, "predict", "--model", self.joint, DATA / "images" / f"{HELD_OUT[0]}.nii.gz", *pairs, "--tune-steps", "20",
                     "--out", self.dir / "tuned", timeout=300)
        self.assert_works(result)
        words = result.stderr.split()
        self.assertLess(float(words[-1]), float(words[-3]), result.stderr)
        self.assertNotEqual(voxels(self.dir / "tuned" / f"{HELD_OUT[0]}.nii.gz"), plain)


if __name__ == "__main__":
    unittest.main()
