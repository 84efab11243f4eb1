"""siamese-seg evaluate and render as a user runs them."""
import csv
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


def write_labels(path, shape, voxels, sform=(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0), datatype=2):
    """A NIfTI label map; `voxels` lists values with i fastest."""
    kinds = {2: ("B", 8), 16: ("f", 32), 512: ("H", 16)}
    letter, bits = kinds[datatype]
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, datatype, bits)
    struct.pack_into("<4f", header, 76, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<h", header, 254, 1)
    struct.pack_into("<12f", header, 280, *sform)
    header[344:348] = b"n+1\0"
    data = bytes(header) + struct.pack(f"<{len(voxels)}{letter}", *voxels)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def box(shape, lo, hi, value=1):
    return [value if all(l <= x < h for x, l, h in zip((i, j, k), lo, hi)) else 0
            for k in range(shape[2]) for j in range(shape[1]) for i in range(shape[0])]


SHAPE = (12, 10, 8)


class EvaluateTest(ProgramTest):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.pred, self.ref = self.dir / "pred", self.dir / "ref"

    def add(self, name, pred=None, ref=None):
        for folder, voxels in ((self.pred, pred), (self.ref, ref)):
            if voxels is not None:
                write_labels(folder / f"{name}.nii.gz", SHAPE, voxels)

    def evaluate(self, *arguments):
        return run(PROGRAM, "evaluate", "--pred", self.pred, "--ref", self.ref, *arguments)

    def test_a_shifted_box_has_known_metrics(self):
        self.add("a", box(SHAPE, (3, 2, 2), (8, 6, 6)), box(SHAPE, (2, 2, 2), (7, 6, 6)))
        metrics = self.json_of(self.evaluate("--json"))
        one = metrics["metric_per_case"][0]["metrics"]["1"]
        self.assertAlmostEqual(one["Dice"], 0.8)
        self.assertAlmostEqual(one["IoU"], 4 / 6)
        self.assertEqual(one["HD"], 1)
        self.assertEqual((one["TP"], one["FP"], one["FN"], one["n_ref"]), (64, 16, 16, 80))
        self.assertAlmostEqual(one["VolumeMl"], 0.08)
        self.assertEqual(one["NSD@1mm"], 1)
        self.assertAlmostEqual(metrics["foreground_mean"]["Dice"], 0.8)
        voxel = self.json_of(self.evaluate("--json", "--surface", "voxel", "--tolerances", "0.5,2"))
        one = voxel["metric_per_case"][0]["metrics"]["1"]
        self.assertEqual(one["HD"], 1)
        self.assertLess(one["NSD@0.5mm"], 1)
        self.assertEqual(one["NSD@2mm"], 1)

    def test_empty_masks_follow_the_rules(self):
        empty, full = [0] * len(box(SHAPE, (0, 0, 0), (1, 1, 1))), box(SHAPE, (2, 2, 2), (4, 4, 4))
        self.add("missed", empty, full)
        self.add("nothing", empty, empty)
        metrics = self.json_of(self.evaluate("--json"))
        missed, nothing = (c["metrics"]["1"] for c in metrics["metric_per_case"])
        diagonal = sum(n * n for n in SHAPE) ** 0.5
        self.assertEqual(missed["Dice"], 0)
        self.assertAlmostEqual(missed["HD95"], diagonal)
        self.assertTrue(missed["empty_pred"])
        self.assertIsNone(nothing["Dice"])
        self.assertIsNone(nothing["HD"])
        statistics = metrics["statistics"]["1"]["Dice"]
        self.assertEqual((statistics["mean"], statistics["cases"], statistics["undefined"]), (0, 1, 1))
        deepmind = self.json_of(self.evaluate("--json", "--compat", "deepmind"))
        self.assertEqual(deepmind["metric_per_case"][0]["metrics"]["1"]["HD95"], "inf")

    def test_regions_join_labels(self):
        ref = box(SHAPE, (2, 2, 2), (6, 6, 6), 1)
        pred = [2 if v else 0 for v in ref]
        self.add("a", pred, ref)
        metrics = self.json_of(self.evaluate("--json", "--labels", "1", "--regions", "whole=1+2"))
        one = metrics["metric_per_case"][0]["metrics"]
        self.assertEqual(one["1"]["Dice"], 0)
        self.assertEqual(one["whole"]["Dice"], 1)

    def test_labels_that_occur_nowhere_are_named(self):
        self.add("a", box(SHAPE, (2, 2, 2), (6, 6, 6)), box(SHAPE, (2, 2, 2), (6, 6, 6)))
        cases = self.dir / "cases"
        for _ in range(2):  # the second time from what was kept
            result = self.evaluate("--labels", "1,7", "--regions", "whole=1+2", "--cases", cases, "--no-progress")
            self.assert_works(result)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
            self.assertIn("no label map has labels 2, 7", result.stderr)
        self.assertEqual(self.evaluate("--no-progress").stderr, "")

    def test_a_run_directory_holds_json_csv_and_a_page(self):
        out = self.dir / "out"
        result = run(PROGRAM, "evaluate", "--pred", DATA / "labels", "--ref", DATA / "labels", "--images",
                     DATA / "images", "--names", "1=anterior,2=posterior", "--worst", "2", "--out", out)
        text = self.assert_works(result)
        self.assertIn("anterior", text)
        metrics = json.loads((out / "metrics.json").read_text())
        self.assertEqual(len(metrics["metric_per_case"]), 24)
        self.assertEqual(metrics["mean"]["2"]["Dice"], 1)
        self.assertEqual(metrics["mean"]["1"]["HD95"], 0)
        rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
        self.assertEqual(len(rows), 48)
        self.assertEqual({row["name"] for row in rows}, {"anterior", "posterior"})
        self.assertTrue(all(float(row["Dice"]) == 1 for row in rows))
        page = (out / "report.html").read_text()
        self.assertEqual(page.count("data:image/png;base64,"), 2)
        self.assertGreaterEqual(page.count("data:image/svg+xml;base64,"), 4)
        self.assertFalse((out / "failures.json").exists())
        self.assertEqual(json.loads((out / "summary.json").read_text())["exit"]["state"], "done")

    def test_files_without_a_partner_and_bad_files_are_listed_and_the_rest_is_done(self):
        mask = box(SHAPE, (2, 2, 2), (6, 6, 6))
        self.add("good", mask, mask)
        self.add("only_pred", pred=mask)
        self.add("only_ref", ref=mask)
        self.add("fraction", ref=mask)
        write_labels(self.pred / "fraction.nii", SHAPE, [0.5] + mask[1:], datatype=16)
        self.add("cut", mask, mask)
        (self.pred / "cut.nii.gz").write_bytes((self.pred / "cut.nii.gz").read_bytes()[:60])
        self.add("elsewhere", ref=mask)
        write_labels(self.pred / "elsewhere.nii", SHAPE, mask, sform=(1, 0, 0, 9, 0, 1, 0, 0, 0, 0, 1, 0))
        result = self.evaluate("--out", self.dir / "out")
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertIn("only_pred: no reference", result.stderr)
        failures = json.loads((self.dir / "out" / "failures.json").read_text())
        self.assertEqual(failures["unmatched"], ["only_ref: no prediction", "only_pred: no reference"])
        errors = {f["case"]: f["error"] for f in failures["failures"]}
        self.assertEqual(set(errors), {"fraction", "cut", "elsewhere"})
        self.assertIn("a label of 0.5 at voxel (0, 0, 0)", errors["fraction"])
        self.assertIn("grids differ", errors["elsewhere"])
        metrics = json.loads((self.dir / "out" / "metrics.json").read_text())
        self.assertEqual([c["case"] for c in metrics["metric_per_case"]], ["good"])

    def test_float_labels_and_turned_axes_are_the_same_labels(self):
        mask = box(SHAPE, (2, 2, 2), (6, 5, 7))
        self.add("a", ref=mask)
        flipped = [mask[(SHAPE[0] - 1 - i) + SHAPE[0] * (j + SHAPE[1] * k)]
                   for k in range(SHAPE[2]) for j in range(SHAPE[1]) for i in range(SHAPE[0])]
        write_labels(self.pred / "a_0000.nii", SHAPE, flipped, datatype=16, sform=(-1, 0, 0, SHAPE[0] - 1, 0, 1, 0, 0, 0, 0, 1, 0))
        metrics = self.json_of(self.evaluate("--json"))
        self.assertEqual(metrics["mean"]["1"]["Dice"], 1)

    def test_shards_leave_their_cases_to_the_whole(self):
        for n in range(5):
            self.add(f"case{n}", box(SHAPE, (3, 2, 2), (8, 6, 6)), box(SHAPE, (2 + n % 2, 2, 2), (7, 6, 6)))
        whole = self.json_of(self.evaluate("--json"))
        cases = self.dir / "cases"
        for task in (1, 2):
            part = self.json_of(self.evaluate("--json", "--shard", f"{task}/2", "--cases", cases))
            self.assertEqual(len(part["metric_per_case"]), 3 if task == 1 else 2)
        shutil.rmtree(self.pred)  # what is there is not computed again
        for n in range(5):
            self.add(f"case{n}", pred=[0] * len(box(SHAPE, (0, 0, 0), (1, 1, 1))))
        self.assertEqual(self.json_of(self.evaluate("--json", "--cases", cases))["statistics"], whole["statistics"])
        other = self.evaluate("--json", "--cases", cases, "--compat", "medpy")
        self.assertEqual(other.returncode, 2)

    def test_impossible_requests_are_one_line(self):
        mask = box(SHAPE, (2, 2, 2), (6, 6, 6))
        self.add("a", mask, mask)
        self.assert_fails(self.evaluate("--regions", "whole=1+x"), 2, "not a region")
        self.assert_fails(self.evaluate("--shard", "1/2"), 2, "--cases")
        self.assert_fails(run(PROGRAM, "evaluate", "--pred", self.dir / "none", "--ref", self.ref), 3, "no such file")
        self.add("b", ref=mask)
        (self.ref / "a.nii.gz").unlink()
        self.assert_fails(self.evaluate(), 3, "no case has both")

    def test_two_files_are_a_pair_whatever_their_names(self):
        mask = box(SHAPE, (2, 2, 2), (6, 6, 6))
        one = write_labels(self.dir / "mine.nii", SHAPE, mask)
        two = write_labels(self.dir / "theirs.nii.gz", SHAPE, mask)
        metrics = self.json_of(run(PROGRAM, "evaluate", "--pred", one, "--ref", two, "--json"))
        self.assertEqual(metrics["mean"]["1"]["Dice"], 1)

    def test_threads_do_not_change_a_byte(self):
        outputs = []
        for threads in (1, 3):
            result = run(PROGRAM, "evaluate", "--pred", DATA / "labels", "--ref", DATA / "labels", "--threads", threads, "--json")
            outputs.append(self.assert_works(result))
        self.assertEqual(outputs[0], outputs[1])


class CompareTest(ProgramTest):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)

    def metrics(self, name, dice):
        cases = [{"case": f"c{n}", "metrics": {"1": {"Dice": d}}} for n, d in enumerate(dice)]
        path = self.dir / f"{name}.json"
        path.write_text(json.dumps({"metric_per_case": cases}))
        return path

    def test_pairs_cases_and_tests_their_differences(self):
        first = self.metrics("first", [0.5, 0.6, 0.7, None, 0.4, 0.3])
        second = self.metrics("second", [0.51, 0.62, 0.73, 0.9, 0.44, 0.35, 0.99])
        result = self.json_of(run(PROGRAM, "compare", first, second, "--metrics", "Dice", "--json"))
        only = result["differences"][0]
        self.assertEqual(only["cases"], 5)
        self.assertAlmostEqual(only["difference"], 0.03)
        self.assertAlmostEqual(only["p"], 2 / 32)
        self.assertLess(only["low"], 0.03)
        self.assertEqual(result["unpaired"], ["c6"])
        self.assertIn("+0.0300", self.assert_works(run(PROGRAM, "compare", first, second, "--metrics", "Dice")))

    def test_what_cannot_be_compared_is_one_line(self):
        first = self.metrics("first", [0.5])
        self.assert_fails(run(PROGRAM, "compare", first, first, "--metrics", "Dise"), 2, "Dise")
        (self.dir / "other.json").write_text("{}")
        self.assert_fails(run(PROGRAM, "compare", first, self.dir / "other.json"), 3, "not the metrics")


class ExportLabelsTest(ProgramTest):
    def test_a_file_of_logits_becomes_a_label_map(self):
        with tempfile.TemporaryDirectory() as folder:
            scratch = pathlib.Path(folder)
            header = json.dumps({"logits": {"dtype": "F32", "shape": [2, 1, 1, 4], "data_offsets": [0, 32]}}).encode()
            header += b" " * (-len(header) % 8)
            logits = struct.pack("<8f", 1, 1, 0, 0, 0, 0, 1, 1)
            (scratch / "l.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + logits)
            out = scratch / "o.nii"
            result = self.json_of(run(PROGRAM, "export-labels", scratch / "l.safetensors", out, "--size", "8,1,2", "--json"))
            self.assertEqual(result["classes"], 2)
            self.assertEqual(list(out.read_bytes()[352:]), [0, 0, 0, 0, 1, 1, 1, 1] * 2)
            self.assert_fails(run(PROGRAM, "export-labels", scratch / "l.safetensors", out), 2, "exists")
            self.assert_fails(run(PROGRAM, "export-labels", scratch / "l.safetensors", scratch / "o.png"), 2, "NIfTI")


class RenderTest(ProgramTest):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)
        self.image = DATA / "images" / "hippocampus_001.nii.gz"
        self.labels = DATA / "labels" / "hippocampus_001.nii.gz"

    def test_a_picture_of_three_planes(self):
        out = self.dir / "case.png"
        plain = self.json_of(run(PROGRAM, "render", self.image, self.dir / "plain.png", "--json"))
        self.assertEqual(plain["labels"], [])
        result = self.json_of(run(PROGRAM, "render", self.image, out, "--labels", self.labels, "--json"))
        self.assertEqual(result["labels"], [1, 2])
        self.assertEqual(out.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", out.read_bytes()[16:24])
        self.assertGreater(width, 600)
        self.assertNotEqual(out.read_bytes(), (self.dir / "plain.png").read_bytes())
        self.assert_fails(run(PROGRAM, "render", self.image, out), 2, "exists")
        self.assert_works(run(PROGRAM, "render", self.image, out, "--force", "--at", "10,20,15", "--level", "500", "--width", "1000"))

    def test_a_page_shows_every_class(self):
        out = self.dir / "case.html"
        self.assert_works(run(PROGRAM, "render", self.image, out, "--reference", self.labels, "--names", "1=anterior,2=posterior"))
        page = out.read_text()
        self.assertEqual(page.count("data:image/png;base64,"), 2)
        self.assertIn("posterior", page)

    def test_bad_requests_are_one_line(self):
        out = self.dir / "case.png"
        self.assert_fails(run(PROGRAM, "render", self.image, self.dir / "case.gif"), 2, ".png or .html")
        self.assert_fails(run(PROGRAM, "render", self.image, out, "--at", "1,2"), 2, "three numbers")
        self.assert_fails(run(PROGRAM, "render", self.image, out, "--at", "1,2,999"), 2, "outside")
        self.assert_fails(run(PROGRAM, "render", self.image, out, "--labels", DATA / "labels" / "hippocampus_003.nii.gz"), 3, "grids differ")
        self.assertFalse(out.exists())


if __name__ == "__main__":
    unittest.main()
