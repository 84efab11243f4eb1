"""What siamese-seg says to input that is not what it should be: one line, the file, and the right exit code."""
import gzip
import json
import math
import shutil
import struct

from orchard_process import BIN, ScratchTest, run

import unittest

PROGRAM = BIN / "siamese-seg"
SHAPE = (16, 16, 16)
COUNT = 16 ** 3
GREY = [(37 * i * i + 11 * i) % 201 for i in range(COUNT)]
BOX = [1 if 5 <= i % 16 < 10 and 5 <= i // 16 % 16 < 10 else 0 for i in range(COUNT)]
UNIT = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
KINDS = {"u1": (2, 8, "B"), "f4": (16, 32, "f"), "rgb": (128, 24, "B")}


def nifti(path, values, shape=SHAPE, kind="u1", sform=UNIT, spacing=(1, 1, 1)):
    number, bits, letter = KINDS[kind]
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", header, 70, number, bits)
    struct.pack_into("<4f", header, 76, 1, *spacing)
    struct.pack_into("<f", header, 108, 352)
    header[123] = 2
    struct.pack_into("<h", header, 254, 1 if sform else 0)
    if sform:
        struct.pack_into("<12f", header, 280, *sform)
    header[344:348] = b"n+1\0"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(bytes(header) + struct.pack(f"<{len(values)}{letter}", *values), mtime=0))
    return path


class BadInputTest(ScratchTest):
    def predict(self, image, *more):
        return run(PROGRAM, "predict", "--model", "identity", image, "--out", self.dir / "out", *more)

    def data(self, image, labels, name="data"):
        """A data set of three cases that are all alike."""
        for n in range(3):
            for part, file in [("images", image), ("labels", labels)]:
                target = self.dir / name / part / f"c{n}.nii.gz"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
        return self.dir / name

    def plan(self, data):
        return run(PROGRAM, "plan", data, "-o", self.dir / "plan.json")

    # ---- images
    def test_no_numbers(self):
        nan = nifti(self.dir / "nan.nii.gz", [math.nan if i < 7 else float(v) for i, v in enumerate(GREY)], kind="f4")
        self.assert_fails(self.predict(nan), 3, "nan.nii.gz", "7 values are NaN", "--fix")
        inf = nifti(self.dir / "inf.nii.gz", [math.inf if i < 3 else float(v) for i, v in enumerate(GREY)], kind="f4")
        self.assert_fails(self.predict(inf), 3, "inf.nii.gz", "3 infinite")
        fixed = self.predict(nan, "--fix")
        self.assert_works(fixed)
        self.assertIn("7 values", fixed.stderr)
        self.assert_works(run(PROGRAM, "convert", nan, self.dir / "fixed.nii.gz", "--fix"))
        self.assertNotIn("NaN", self.assert_works(run(PROGRAM, "inspect", self.dir / "fixed.nii.gz")))

    def test_nothing_in_it(self):
        self.assert_fails(self.predict(nifti(self.dir / "void.nii.gz", [0] * COUNT)), 3, "void.nii.gz", "empty")

    def test_several_volumes(self):
        film = nifti(self.dir / "film.nii.gz", GREY + BOX, (*SHAPE, 2))
        self.assert_fails(self.predict(film), 3, "film.nii.gz", "2 volumes", "--frame")
        self.assert_works(self.predict(film, "--frame", "1"))
        self.assertEqual(gzip.decompress((self.dir / "out" / "film.nii.gz").read_bytes())[352:], bytes(BOX))
        self.assertEqual(self.predict(film, "--frame", "2", "--force").returncode, 3)

    def test_colours(self):
        self.assert_fails(self.predict(nifti(self.dir / "rgb.nii.gz", GREY * 3, kind="rgb")), 3, "rgb.nii.gz", "RGB24")

    def test_no_spacing(self):
        for spacing in [(0, 1, 1), (-1, 1, 1), (math.nan, 1, 1)]:
            flat = nifti(self.dir / "flat.nii.gz", GREY, sform=None, spacing=spacing)
            result = self.predict(flat, "--force")
            if spacing[0] < 0:  # NIfTI: the sign of a spacing has no meaning
                self.assert_works(result)
            else:
                self.assert_fails(result, 3, "flat.nii.gz", "spacing")

    def test_files_that_end_early(self):
        whole = nifti(self.dir / "whole.nii.gz", GREY).read_bytes()
        for size in [0, 5, 100, len(whole) // 2, len(whole) - 9]:
            (self.dir / "cut.nii.gz").write_bytes(whole[:size])
            self.assert_fails(self.predict(self.dir / "cut.nii.gz"), 3, "cut.nii.gz")

    def test_a_place_for_results_that_is_none(self):
        image = nifti(self.dir / "a.nii.gz", GREY)
        (self.dir / "file").write_text("")
        result = run(PROGRAM, "predict", "--model", "identity", image, "--out", self.dir / "file")
        self.assertIn(result.returncode, (2, 7))
        self.assertIn("file", result.stderr)

    def test_a_full_disk(self):
        image = nifti(self.dir / "a.nii.gz", GREY)
        (self.dir / "out").mkdir()
        (self.dir / "out" / "a.nii.gz.partial").symlink_to("/dev/full")
        result = run("bash", "-c", f"ulimit -f 0; exec {PROGRAM} predict --model identity {image} --out {self.dir}/out")
        self.assertNotEqual(result.returncode, 0)
        self.assertFalse((self.dir / "out" / "a.nii.gz").exists())

    # ---- labels
    def test_labels_elsewhere(self):
        image = nifti(self.dir / "image.nii.gz", GREY)
        shifted = nifti(self.dir / "shifted.nii.gz", BOX, sform=(1, 0, 0, 5, 0, 1, 0, 0, 0, 0, 1, 0))
        self.assert_fails(self.plan(self.data(image, shifted, "a")), 3, "c0.nii.gz", "elsewhere in space")
        small = nifti(self.dir / "small.nii.gz", BOX[:512], (8, 8, 8))
        self.assert_fails(self.plan(self.data(image, small, "b")), 3, "c0.nii.gz", "8x8x8, 16x16x16")

    def test_labels_that_are_no_labels(self):
        image = nifti(self.dir / "image.nii.gz", GREY)
        half = nifti(self.dir / "half.nii.gz", [v / 2 for v in BOX], kind="f4")
        self.assert_fails(self.plan(self.data(image, half, "a")), 3, "c0.nii.gz", "whole numbers")
        self.assert_fails(run(PROGRAM, "evaluate", "--pred", half, "--ref", half, "--no-progress"), 3, "half.nii.gz")
        # Whole numbers are labels, however they are stored.
        whole = nifti(self.dir / "whole.nii.gz", [float(v) for v in BOX], kind="f4")
        self.assert_works(self.plan(self.data(image, whole, "b")))
        nine = self.data(image, nifti(self.dir / "nine.nii.gz", [9 * v for v in BOX]), "c")
        (nine / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "box": 1}, "channel_names": {"0": "MRI"}}))
        self.assert_fails(self.plan(nine), 3, "c0.nii.gz", "label 9")

    def test_files_without_a_partner(self):
        image, labels = nifti(self.dir / "image.nii.gz", GREY), nifti(self.dir / "labels.nii.gz", BOX)
        data = self.data(image, labels)
        shutil.copy(image, data / "images" / "lonely.nii.gz")
        shutil.copy(labels, data / "labels" / "widow.nii.gz")
        result = self.plan(data)
        self.assert_works(result)
        self.assertIn("no labels for lonely.nii.gz", result.stderr)
        self.assertIn("no image for widow.nii.gz", result.stderr)
        result = run(PROGRAM, "evaluate", "--pred", data / "images", "--ref", data / "labels", "--no-progress")
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertIn("widow: no prediction", result.stderr)

    # ---- models and templates
    def test_a_network_with_small_images_and_foreign_templates(self):
        data = self.data(nifti(self.dir / "image.nii.gz", GREY), nifti(self.dir / "labels.nii.gz", BOX))
        self.assert_works(run(PROGRAM, "plan", data, "--base-channels", "2", "--max-stages", "2"))
        self.assert_works(run(PROGRAM, "train", data, "--epochs", "1", "--iterations", "1", "--no-progress", "--threads", "1", "--out",
                              self.dir / "model", timeout=300))
        predict = [PROGRAM, "predict", "--model", self.dir / "model"]
        # Smaller than a patch along every axis, and one voxel.
        tiny = nifti(self.dir / "tiny.nii.gz", GREY[:27], (3, 3, 3))
        self.assert_works(run(*predict, tiny, "--out", self.dir / "tiny"))
        line = nifti(self.dir / "line.nii.gz", GREY[:40], (40, 1, 1))
        self.assert_works(run(*predict, line, "--out", self.dir / "line"))
        # A template that has none of the classes steers nothing.
        image = self.dir / "image.nii.gz"
        blank = nifti(self.dir / "blank.nii.gz", [0] * COUNT)
        self.assert_fails(run(*predict, tiny, "--template", f"{image}:{blank}", "--out", self.dir / "blank"), 3, "no template has a label",
                          "blank.nii.gz")
        self.assert_fails(run(*predict, tiny, "--template", f"{image}", "--out", self.dir / "x"), 2, "--template")
        self.assert_fails(run(*predict, tiny, "--template", f"{image}:{tiny}", "--out", self.dir / "x"), 3, "tiny.nii.gz")
        # A model whose files were damaged or exchanged.
        final = self.dir / "model" / "final"
        for file, change in [("plan.json", lambda t: t.replace('"batch": 2', '"batch": -1')),
                             ("plan.json", lambda t: t[:100]),
                             ("network.json", lambda t: t.replace("pairwise", "psychic")),
                             ("network.json", lambda t: t.replace('"levels": []', '"levels": [-3]'))]:
            good = (final / file).read_text()
            self.assertNotEqual(change(good), good)
            (final / file).write_text(change(good))
            self.assert_fails(run(*predict, tiny, "--out", self.dir / "y"), 3, file)
            (final / file).write_text(good)
        weights = (final / "model.safetensors").read_bytes()
        (final / "model.safetensors").write_bytes(weights[: len(weights) // 2])
        self.assert_fails(run(*predict, tiny, "--out", self.dir / "y"), 3, "model.safetensors")


if __name__ == "__main__":
    unittest.main()
