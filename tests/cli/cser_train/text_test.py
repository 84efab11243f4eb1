"""cser-train on texts and on pictures of any size: language models, ImageNet folders."""
import json
import math
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "cser-train"
CLOCK = ("time_s", "train_s", "compute_s", "update_s", "wire_s", "wait_s", "eval_train_s", "peak_memory_bytes")
WORDS = "the old orchard stands behind the house and the apples of the orchard are red ".split()


def story(words):
    """A text with something to learn: words in an order that repeats now and then."""
    return " ".join(WORDS[(i * i // 7 + i) % len(WORDS)] for i in range(words)) + "\n"


def png(width, height, grey):
    """A grey picture without libraries."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes((grey + x * 3 + y) % 256 for x in range(width)) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class TextTest(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.text = self.folder / "story.txt"
        self.text.write_text(story(1500))

    def command(self, verb, out, *more):
        return [str(PROGRAM), verb, "--kind", "text", "--path", str(self.text), "--context", "16", "--arch", "gpt2:1-16-2", "--batch", "8",
                "--base", "adamw", "--lr", "0.01", "--ratio", "4", "--block", "32", "--threads", "1", "--log-every", "5", "--out",
                str(self.folder / out), "--no-progress", *more]

    def simulate(self, out, *more):
        return self.assert_works(run(*self.command("simulate", out, *more)))

    def result(self, out):
        return json.loads((self.folder / out / "summary.json").read_text())["result"]

    def metrics(self, out):
        lines = (self.folder / out / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]

    def assert_same(self, a, b):
        self.assertEqual(self.metrics(a), self.metrics(b))
        self.assertEqual((self.folder / a / "final" / "model.safetensors").read_bytes(),
                         (self.folder / b / "final" / "model.safetensors").read_bytes())

    def test_it_learns_and_tells_bits_per_byte(self):
        printed = self.simulate("run", "--ranks", "2", "--epochs", "12")
        result = self.result("run")
        self.assertLess(result["bits_per_byte"], 2.5)  # single letters of this text have 3.6
        self.assertAlmostEqual(result["bits_per_byte"], result["test_loss"] / math.log(2), 12)
        self.assertIn(f"{result['bits_per_byte']:.4f} bits per byte of the test text, perplexity {math.exp(result['test_loss']):.4f}", printed)
        first, last = self.metrics("run")[0], self.metrics("run")[-1]
        self.assertAlmostEqual(last["perplexity"], math.exp(last["test_loss"]), 9)
        self.assertAlmostEqual(first["loss"], math.log(256), delta=1.5)  # the start knows nothing
        self.assertIn("Bits per byte", (self.folder / "run" / "report.html").read_text())

    def test_mpi_gives_the_bytes_of_simulated_ranks(self):
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        for algo, shard in (("cser", "contiguous"), ("qsparse", "shuffled")):
            with self.subTest(algo):
                more = ("--algo", algo, "--shard", shard, "--max-steps", "12")
                self.simulate("s" + algo, "--ranks", "2", *more)
                self.assert_works(run("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", *self.command("train", "m" + algo, *more)))
                self.assert_same("s" + algo, "m" + algo)

    def test_an_interrupted_run_resumes_to_the_same_bytes(self):
        more = ("--ranks", "2", "--epochs", "30", "--eval-epochs", "5")
        self.simulate("whole", *more)
        process = subprocess.Popen(self.command("simulate", "cut", *more), stderr=subprocess.PIPE)
        metrics = self.folder / "cut" / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not (metrics.exists() and metrics.read_text().count("\n") > 4):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75, errors)
        self.simulate("cut", *more, "--resume")
        self.assert_same("whole", "cut")

    def test_a_folder_is_its_files_in_the_order_of_their_paths(self):
        parts = self.text.read_bytes()
        folder = self.folder / "parts"
        (folder / "b").mkdir(parents=True)
        (folder / "a.txt").write_bytes(parts[:3000])
        (folder / "b" / "c.txt").write_bytes(parts[3000:])
        (folder / ".hidden").write_bytes(b"x" * 999)
        (folder / "empty").write_bytes(b"")
        more = ("--max-steps", "6", "--ranks", "2")
        self.simulate("file", *more)
        self.simulate("folder", *more, "--path", str(folder))
        self.assert_same("file", "folder")

    def test_what_is_held_out_is_not_trained_on(self):
        # The last tenth is noise: it moves the test loss, and nothing else.
        text = self.text.read_bytes()
        kept = len(text) - round(len(text) * 0.1)
        (self.folder / "noise").write_bytes(text[:kept] + bytes(i * 37 % 256 for i in range(len(text) - kept)))
        (self.folder / "start").write_bytes(text[:kept])
        (self.folder / "end").write_bytes(text[kept:])
        more = ("--max-steps", "20", "--ranks", "1")
        self.simulate("a", *more)
        self.simulate("b", *more, "--path", str(self.folder / "noise"))
        self.simulate("c", *more, "--path", str(self.folder / "start"), "--test", str(self.folder / "end"))
        self.assertEqual((self.folder / "a" / "final" / "model.safetensors").read_bytes(),
                         (self.folder / "b" / "final" / "model.safetensors").read_bytes())
        self.assertGreater(self.result("b")["test_loss"], self.result("a")["test_loss"] + 1)
        self.assert_same("a", "c")

    def test_a_stored_model_is_evaluated_exported_verified_and_planned(self):
        self.simulate("run", "--ranks", "2", "--max-steps", "20", "--train-limit", "100", "--test-limit", "30")
        final = self.folder / "run" / "final"
        again = self.json_of(run(PROGRAM, "eval", final, "--path", self.text, "--test-limit", "30", "--json"))
        self.assertEqual(again["windows"], 30)
        self.assertAlmostEqual(again["loss"], self.result("run")["test_loss"], 6)
        self.assertAlmostEqual(again["bits_per_byte"], again["loss"] / math.log(2), 12)
        other = self.json_of(run(PROGRAM, "eval", final, "--test", self.text, "--json"))
        self.assertEqual(other["windows"], (self.text.stat().st_size - 1) // 16)
        self.assert_works(run(PROGRAM, "export", final, self.folder / "model.pth"))
        options = self.command("verify", "none")[2:]
        options = options[: options.index("--out")] + ["--no-progress"]
        self.assertNotIn("FAIL", self.assert_works(run(PROGRAM, "verify", *options, "--ranks", "3", "--steps", "20", "--log-every", "5")))
        plan = self.json_of(run(*self.command("simulate", "none", "--ranks", "2", "--dry-run", "--json")))
        self.assertEqual(plan["parameters"], 256 * 16 + 16 * 16 + 12 * 256 + 13 * 16 + 2 * 16)

    def test_bad_texts_are_told_in_a_line(self):
        def fails(code, *parts, more=()):
            self.assert_fails(run(*self.command("simulate", "bad", "--ranks", "2", *more)), code, *parts)

        self.text.write_bytes(b"")
        fails(3, "there is no text", str(self.text))
        self.text.write_bytes(b"too short")
        fails(3, "8 bytes for training, fewer than a window of 16", "story.txt", "data.context")
        self.text.write_text(story(100))
        fails(2, "fewer than a batch", more=("--batch", "64"))
        fails(2, "a text has no labels", more=("--shard", "by-label"))
        fails(2, "not augmented", more=("--augment",))
        fails(2, "'mlp:784-10' is no language model", "gpt2:", more=("--arch", "mlp:784-10"))
        fails(2, "'gpt2:2-30-4' has a width", more=("--arch", "gpt2:2-30-4"))
        fails(3, "a window of 16 and the byte after it", "testing", more=("--held-out", "0.001"))
        self.text.unlink()
        fails(3, "story.txt")
        empty = self.folder / "empty"
        empty.mkdir()
        fails(3, "there is no text", str(empty), more=("--path", str(empty)))
        self.assertFalse((self.folder / "bad" / "final").exists())


class PicturesTest(ProgramTest):
    """Pictures of all sizes in a folder per class, as ImageNet is distributed."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for part, count in (("train", 12), ("val", 4)):
            for label, name in enumerate(("dark", "light")):
                of_class = self.folder / "pictures" / part / name
                of_class.mkdir(parents=True)
                for i in range(count):
                    (of_class / f"{i:02}.png").write_bytes(png(20 + 3 * i, 50 - 2 * i, 150 * label))

    def simulate(self, out, *more):
        return run(PROGRAM, "simulate", "--ranks", "2", "--kind", "imagenet", "--path", self.folder / "pictures", "--crop-size", "16",
                   "--arch", "mlp:768-16-2", "--batch", "3", "--epochs", "3", "--lr", "0.01", "--ratio", "4", "--block", "32", "--threads",
                   "1", "--no-progress", "--out", self.folder / out, *more)

    def weights(self, out):
        return (self.folder / out / "final" / "model.safetensors").read_bytes()

    def test_crops_are_drawn_without_a_state(self):
        augment = ("--augment", "--color-jitter", "0.4", "--lighting", "0.1")
        for out, more in (("plain", ()), ("a", augment), ("b", (*augment, "--threads", "2")), ("short", (*augment, "--save-every", "4"))):
            self.assert_works(self.simulate(out, *more))
        self.assertEqual(self.weights("a"), self.weights("b"))  # however many threads decode
        self.assertNotEqual(self.weights("a"), self.weights("plain"))
        # From the checkpoint in the second epoch on the same crops come again.
        shutil.rmtree(self.folder / "short" / "final")
        first, second = sorted((self.folder / "short" / "checkpoints").glob("step-*"))
        self.assertTrue(first.name.endswith("4") and second.name.endswith("8"))
        shutil.rmtree(second)
        self.assert_works(self.simulate("short", *augment, "--save-every", "4", "--resume"))
        self.assertEqual(self.weights("a"), self.weights("short"))

    def test_a_stored_model_is_evaluated_on_center_crops(self):
        self.assert_works(self.simulate("run", "--augment"))
        result = json.loads((self.folder / "run" / "summary.json").read_text())["result"]
        again = self.json_of(run(PROGRAM, "eval", self.folder / "run" / "final", "--kind", "imagenet", "--path", self.folder / "pictures",
                                 "--json"))
        self.assertEqual(again["images"], 8)
        self.assertAlmostEqual(again["loss"], result["test_loss"], 6)

    def test_bad_folders_are_told_in_a_line(self):
        (self.folder / "pictures" / "val" / "unknown").mkdir()
        self.assert_fails(self.simulate("run"), 3, "not among those of training", "unknown")
        shutil.rmtree(self.folder / "pictures" / "val")
        self.assert_fails(self.simulate("run"), 3, "no such folder", "val")
        self.assert_fails(self.simulate("run", "--path", self.folder / "pictures" / "train"), 2, "data.test")

    def test_a_picture_that_is_damaged_names_its_file(self):
        victim = self.folder / "pictures" / "train" / "light" / "05.png"
        whole = victim.read_bytes()
        victim.write_bytes(b"no picture")
        self.assert_fails(self.simulate("run"), 3, "05.png")
        victim.write_bytes(whole[:60])
        cut = self.simulate("cut")  # libpng says something, too
        self.assertEqual(cut.returncode, 3, cut.stderr)
        self.assertIn("05.png", cut.stderr.splitlines()[-1])


if __name__ == "__main__":
    unittest.main()
