"""siamese-seg inspect and convert as a user runs them; DCMTK's own programs look at what comes out."""
import gzip
import json
import pathlib
import random
import re
import shutil
import struct
import subprocess
import tempfile
import unittest

from orchard_process import BIN, SOURCE, ProgramTest, run

PROGRAM = BIN / "siamese-seg"
DATA = SOURCE / "data" / "medical"
SERIES = DATA / "mr_dicom"
IMAGES = DATA / "hippocampus" / "images"
LABELS = DATA / "hippocampus" / "labels"


def nifti(path):
    """(header fields, voxels) of a single little-endian file of version 1."""
    data = path.read_bytes()
    data = gzip.decompress(data) if path.name.endswith(".gz") else data
    dim = struct.unpack_from("<8h", data, 40)
    return {"shape": dim[1:4], "datatype": struct.unpack_from("<h", data, 70)[0],
            "sform": struct.unpack_from("<12f", data, 280), "intent": struct.unpack_from("<h", data, 68)[0]}, data[352:]


def write_nifti(path, shape, voxels, sform, datatype=2, bits=8, dims=3):
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, dims, *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", header, 70, datatype, bits)
    struct.pack_into("<4f", header, 76, 1, 1, 1, 1)
    struct.pack_into("<f", header, 108, 352)
    struct.pack_into("<h", header, 254, 1)
    struct.pack_into("<12f", header, 280, *sform)
    header[344:348] = b"n+1\0"
    path.write_bytes(bytes(header) + bytes(voxels))
    return path


IDENTITY = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)


class SiameseSegTest(ProgramTest):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)

    def convert(self, *arguments):
        return self.json_of(run(PROGRAM, "convert", *arguments, "--json"))

    def copy_series(self, name="series", keep=lambda number: True):
        folder = self.dir / name
        folder.mkdir()
        for path in SERIES.glob("*.dcm"):
            if keep(int(path.stem)):
                shutil.copy(path, folder / path.name)
        return folder


class Inspect(SiameseSegTest):
    def test_a_series(self):
        facts = self.json_of(run(PROGRAM, "inspect", SERIES, "--json"))
        (series,) = facts["series"]
        self.assertEqual(series["shape"], [35, 51, 32])
        self.assertEqual(series["spacing_mm"], [1, 1, 1])
        self.assertEqual(series["orientation"], "LPS")
        self.assertEqual((series["values"]["min"], series["values"]["max"]), (2, 154))
        self.assertEqual((series["problem"], series["gap"], series["warnings"]), ("", "", []))
        text = self.assert_works(run(PROGRAM, "inspect", SERIES))
        self.assertIn("#1 HippoCrop (MR, 32 slices of 35x51)", text)

    def test_a_file_and_a_folder_of_files(self):
        facts = self.json_of(run(PROGRAM, "inspect", LABELS / "hippocampus_003.nii.gz", "--json"))
        self.assertEqual(facts["type"], "float32")
        self.assertEqual((facts["values"]["max"], facts["values"]["integral"]), (2, True))
        facts = self.json_of(run(PROGRAM, "inspect", IMAGES, "--json"))
        self.assertEqual(len(facts["files"]), 3)

    def test_what_is_no_image(self):
        self.assert_fails(run(PROGRAM, "inspect", self.dir / "none"), 3, "none")
        self.assert_fails(run(PROGRAM, "inspect", self.dir), 3, "no medical image")
        (self.dir / "a.txt").write_text("text")
        self.assert_fails(run(PROGRAM, "inspect", self.dir / "a.txt"), 3, "a.txt", "not DICOM")
        (self.dir / "bad.nii").write_bytes(b"\0" * 400)
        self.assert_fails(run(PROGRAM, "inspect", self.dir / "bad.nii"), 3, "bad.nii", "not a NIfTI")

    def test_nothing_of_the_patient_is_shown(self):
        for flags in ([], ["--json"]):
            self.assertNotIn("Avasarala", run(PROGRAM, "inspect", SERIES, *flags).stdout)

    def test_starts_without_libtorch(self):
        self.assertNotIn("torch", subprocess.run(["ldd", PROGRAM], capture_output=True, text=True).stdout)


class Convert(SiameseSegTest):
    def test_the_names_and_order_of_files_play_no_part(self):
        first = self.dir / "first.nii.gz"
        self.convert(SERIES, first)
        shuffled = self.dir / "shuffled"
        shuffled.mkdir()
        names = list(range(32))
        random.Random(7).shuffle(names)
        for path, name in zip(sorted(SERIES.glob("*.dcm")), names):
            shutil.copy(path, shuffled / f"{name}")
        second = self.dir / "second.nii.gz"
        self.convert(shuffled, second)
        self.assertEqual(first.read_bytes(), second.read_bytes())

    def test_compressed_transfer_syntaxes_are_the_same_image(self):
        plain = self.dir / "plain.nii"
        self.convert(SERIES, plain)
        for program, flags in (("dcmcrle", []), ("dcmcjpeg", ["+e1"]), ("dcmcjpls", ["+el"]), ("dcmconv", ["+tb"]),
                               ("dcmconv", ["+ti"]), ("dcmconv", ["+td"])):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed (package dcmtk)")
            folder = self.dir / (program + flags[0] if flags else program)
            folder.mkdir()
            for path in SERIES.glob("*.dcm"):
                subprocess.run([program, *flags, path, folder / path.name], check=True, capture_output=True)
            out = self.dir / f"{folder.name}.nii"
            self.convert(folder, out)
            self.assertEqual(out.read_bytes(), plain.read_bytes(), folder.name)

    def test_a_missing_slice_is_named_and_can_be_interpolated(self):
        folder = self.copy_series(keep=lambda number: number not in (10, 11))
        out = self.dir / "a.nii"
        self.assert_fails(run(PROGRAM, "convert", folder, out), 3, "2 slices missing", "9.dcm", "12.dcm", "--allow-gaps")
        self.assertFalse(out.exists())
        self.assertEqual(self.convert(folder, out, "--allow-gaps")["cases"][0]["shape"], [35, 51, 32])

    def test_a_slice_twice(self):
        folder = self.copy_series()
        shutil.copy(folder / "5.dcm", folder / "copy.dcm")
        out = self.convert(folder, self.dir / "a.nii")
        self.assertIn("is a copy of", " ".join(out["cases"][0]["warnings"]))
        subprocess.run(["dcmodify", "-nb", "-m", "0008,0018=1.2.3", folder / "copy.dcm"], check=True, capture_output=True)
        self.assert_fails(run(PROGRAM, "convert", folder, self.dir / "b.nii"), 3, "two slices at", "copy.dcm")

    def test_several_series_are_listed_to_choose_from(self):
        folder = self.copy_series()
        for path in SERIES.glob("*.dcm"):
            other = folder / f"other{path.name}"
            shutil.copy(path, other)
        subprocess.run(["dcmodify", "-nb", "-m", "0020,000e=1.2.3.4567", "-m", "0008,103e=second", *folder.glob("other*")],
                       check=True, capture_output=True)
        out = self.dir / "a.nii"
        self.assert_fails(run(PROGRAM, "convert", folder, out), 3, "2 series", "HippoCrop", "second", "--series")
        for wanted in ("second", "3.4567", "#1"):
            self.convert(folder, out, "--series", wanted, "--force")
        self.assert_fails(run(PROGRAM, "convert", folder, out, "--series", "third", "--force"), 3, "'third'")
        cases = self.convert(folder, self.dir / "all")["cases"]
        self.assertEqual(sorted(case["case"] for case in cases), ["HippoCrop", "second"])

    def test_a_truncated_file_fails_the_series_and_names_it(self):
        folder = self.copy_series()
        whole = (folder / "7.dcm").read_bytes()
        (folder / "7.dcm").write_bytes(whole[:-500])
        self.assert_fails(run(PROGRAM, "convert", folder, self.dir / "a.nii"), 3, "7.dcm")
        (folder / "7.dcm").write_bytes(whole)
        (folder / "1.dcm").write_bytes(whole[:400])  # the first slice: positions alone would not show it
        self.assert_fails(run(PROGRAM, "convert", folder, self.dir / "a.nii"), 3, "1.dcm", "damaged", "--allow-gaps")
        self.assertEqual(self.convert(folder, self.dir / "a.nii", "--allow-gaps")["cases"][0]["shape"], [35, 51, 31])

    def test_canonical_and_as_it_is(self):
        path = write_nifti(self.dir / "lps.nii", (2, 3, 4), range(24), (-1, 0, 0, 5, 0, -1, 0, 6, 0, 0, 1, 7))
        self.convert(path, self.dir / "ras.nii")
        header, voxels = nifti(self.dir / "ras.nii")
        self.assertEqual(header["sform"], (1, 0, 0, 4, 0, 1, 0, 4, 0, 0, 1, 7))
        self.assertEqual(list(voxels[:6]), [5, 4, 3, 2, 1, 0])
        self.convert(path, self.dir / "same.nii", "--no-canonical")
        self.assertEqual(nifti(self.dir / "same.nii"), nifti(path))

    def test_a_volume_of_a_4d_file(self):
        path = write_nifti(self.dir / "four.nii", (2, 1, 1, 3), range(6), IDENTITY, dims=4)
        self.assert_fails(run(PROGRAM, "convert", path, self.dir / "a.nii"), 3, "3 volumes", "--frame")
        self.convert(path, self.dir / "a.nii", "--frame", 2)
        self.assertEqual(list(nifti(self.dir / "a.nii")[1]), [4, 5])

    def test_a_folder_with_failures(self):
        folder = self.dir / "in"
        (folder / "deep").mkdir(parents=True)
        shutil.copy(IMAGES / "hippocampus_001.nii.gz", folder / "good.nii.gz")
        shutil.copy(IMAGES / "hippocampus_143.nii.gz", folder / "deep" / "also.nii.gz")
        (folder / "cut.nii.gz").write_bytes((IMAGES / "hippocampus_003.nii.gz").read_bytes()[:30000])
        write_nifti(folder / "rgb.nii", (2, 2, 2), bytes(24), IDENTITY, datatype=128, bits=24)
        out = self.dir / "out"
        result = run(PROGRAM, "convert", folder, out, "--json")
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertEqual([case["case"] for case in self.json_of(result)["cases"]], ["deep/also", "good"])
        self.assertTrue((out / "deep" / "also.nii.gz").is_file())
        failures = json.loads((out / "failures.json").read_text())["failures"]
        self.assertEqual([failure["case"] for failure in failures], ["cut", "rgb"])
        self.assertIn("cut short", failures[0]["error"])
        self.assertIn("RGB24", failures[1]["error"])
        self.assertEqual({failure["exit_code"] for failure in failures}, {3})
        self.assertEqual(sorted(p.name for p in out.iterdir()), ["deep", "failures.json", "good.nii.gz"])
        (folder / "cut.nii.gz").unlink()
        (folder / "rgb.nii").unlink()
        self.assert_works(run(PROGRAM, "convert", folder, out, "--resume"))
        self.assertFalse((out / "failures.json").exists())

    def test_a_folder_where_nothing_works_is_exit_3(self):
        folder = self.dir / "in"
        folder.mkdir()
        (folder / "a.nii").write_bytes(b"x" * 400)
        self.assert_fails(run(PROGRAM, "convert", folder, self.dir / "out"), 3, "no case could be converted", "a.nii")
        self.assertTrue((self.dir / "out" / "failures.json").is_file())
        (folder / "a.nii").unlink()
        self.assert_fails(run(PROGRAM, "convert", folder, self.dir / "out2"), 3, "no image to convert")

    def test_usage(self):
        path = IMAGES / "hippocampus_001.nii.gz"
        (self.dir / "there.nii").write_text("")
        self.assert_fails(run(PROGRAM, "convert", path, self.dir / "there.nii"), 2, "exists", "--force")
        self.assert_fails(run(PROGRAM, "convert", path, self.dir / "folder"), 2, "named like a folder")
        self.assert_fails(run(PROGRAM, "convert", path, self.dir / "a.dcm"), 2, "--reference")
        self.assert_fails(run(PROGRAM, "convert", path, self.dir / "a.dcm", "--reference", SERIES, "--labels", "one"), 2, "'one'")
        self.assert_fails(run(PROGRAM, "convert", self.dir / "none.nii", self.dir / "a.nii"), 3, "none.nii")
        self.assert_works(run(PROGRAM, "convert", path, self.dir / "dry.nii", "--dry-run"))
        self.assertFalse((self.dir / "dry.nii").exists())

    def test_a_full_disk_leaves_nothing(self):
        if not pathlib.Path("/dev/full").exists():
            self.skipTest("no /dev/full")
        result = run(PROGRAM, "convert", SERIES, "/dev/full/a.nii")
        self.assertIn(result.returncode, (2, 7), result.stderr)


class Segmentations(SiameseSegTest):
    def label_map(self, change=lambda voxels: None, name="labels.nii"):
        """A label map on the series' grid: two boxes."""
        image = self.dir / "image.nii"
        self.convert(SERIES, image, "--force")
        header, _ = nifti(image)
        w, h, d = header["shape"]
        voxels = bytearray(w * h * d)
        for z in range(8, 20):
            for y in range(10, 30):
                for x in range(5, 25):
                    voxels[x + w * (y + h * z)] = 1 if y < 20 else 2
        change(voxels)
        return write_nifti(self.dir / name, (w, h, d), voxels, header["sform"])

    def test_there_and_back(self):
        labels = self.label_map()
        for kind in ("dicom-seg", "labelmap-seg"):
            seg, back = self.dir / f"{kind}.dcm", self.dir / f"{kind}.nii"
            self.convert(labels, seg, "--reference", SERIES, "--to", kind, "--labels", "1=anterior,2=posterior")
            facts = self.json_of(run(PROGRAM, "inspect", seg, "--json"))
            self.assertEqual([(s["label"], s["name"], s["voxels"]) for s in facts["segments"]],
                             [(1, "anterior", 2400), (2, "posterior", 2400)])
            self.convert(seg, back)
            header, voxels = nifti(back)
            self.assertEqual(header["intent"], 1002)
            counts = [voxels.count(value) for value in (1, 2)]
            self.assertEqual(counts, [2400, 2400])

    def test_slices_that_a_segmentation_leaves_out_come_back(self):
        labels = self.label_map()
        seg, back = self.dir / "seg.dcm", self.dir / "back.nii"
        self.convert(labels, seg, "--reference", SERIES)
        self.assertEqual(self.convert(seg, self.dir / "part.nii")["cases"][0]["shape"], [35, 51, 12])
        self.convert(seg, back, "--reference", SERIES)
        self.assertEqual(nifti(back)[1], nifti(labels)[1])
        self.assertEqual(nifti(back)[0]["sform"], nifti(labels)[0]["sform"])
        for pair in [(seg, labels), (labels, seg)]:
            metrics = self.json_of(run(PROGRAM, "evaluate", "--pred", pair[0], "--ref", pair[1], "--json", "--no-progress"))
            self.assertEqual(metrics["foreground_mean"]["Dice"], 1)
            self.assertEqual(metrics["metric_per_case"][0]["metrics"]["1"]["TN"], 35 * 51 * 32 - 2400)
        # Another place is still another place, and a NIfTI file that has fewer slices is no part.
        header, voxels = nifti(labels)
        form = list(header["sform"])
        for name, shape, form, data in [("moved.nii", header["shape"], form[:3] + [form[3] + 0.5] + form[4:], voxels),
                                        ("few.nii", (35, 51, 20), form, voxels[:35 * 51 * 20])]:
            other = write_nifti(self.dir / name, shape, data, form)
            self.assert_fails(run(PROGRAM, "evaluate", "--pred", seg if name == "moved.nii" else other, "--ref",
                                  other if name == "moved.nii" else labels, "--no-progress"), 3, "grids differ")
        few = self.copy_series(keep=lambda number: 10 < number < 17)
        self.assert_fails(run(PROGRAM, "convert", seg, self.dir / "a.nii", "--reference", few), 3, "not on the grid of the series")
        self.assert_fails(run(PROGRAM, "convert", labels, self.dir / "a.nii", "--reference", SERIES), 2, "--reference")
        self.assert_fails(run(PROGRAM, "convert", SERIES, self.dir / "a.nii", "--reference", SERIES), 2, "--reference")

    def test_dcmtk_reads_it_and_every_frame_has_its_image(self):
        if not shutil.which("dcmdump"):
            self.skipTest("dcmdump is not installed (package dcmtk)")
        seg = self.dir / "seg.dcm"
        self.convert(self.label_map(), seg, "--reference", SERIES)
        dump = subprocess.run(["dcmdump", "-q", seg], capture_output=True, text=True)
        self.assertEqual((dump.returncode, dump.stderr), (0, ""))
        self.assertIn("=SegmentationStorage", dump.stdout)
        where = {}
        for path in SERIES.glob("*.dcm"):
            text = subprocess.run(["dcmdump", "-q", "+P", "0008,0018", "+P", "0020,0032", path], capture_output=True, text=True).stdout
            uid, position = re.findall(r"\[([^]]*)\]", text)
            where[uid] = position
        per_frame = dump.stdout.split("PerFrameFunctionalGroupsSequence")[1]
        sources = re.findall(r"\(0008,1155\) UI \[([^]]*)\]", per_frame)
        positions = re.findall(r"\(0020,0032\) DS \[([^]]*)\]", per_frame)
        self.assertEqual(len(sources), 24)
        self.assertEqual([where[uid] for uid in sources], positions)

    def test_deterministic(self):
        labels = self.label_map()
        for name in ("a.dcm", "b.dcm"):
            self.convert(labels, self.dir / name, "--reference", SERIES, "--deterministic")
        self.assertEqual((self.dir / "a.dcm").read_bytes(), (self.dir / "b.dcm").read_bytes())

    def test_another_grid_is_refused(self):
        result = run(PROGRAM, "convert", LABELS / "hippocampus_001.nii.gz", self.dir / "seg.dcm", "--reference", SERIES)
        self.assert_fails(result, 3, "not on the grid of the series", "35x51x35", "35x51x32")
        self.assertFalse((self.dir / "seg.dcm").exists())


if __name__ == "__main__":
    unittest.main()
