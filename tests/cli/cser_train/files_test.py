"""cser-train convert and export: images in, models out."""
import json
import pathlib
import struct
import subprocess
import tempfile
import unittest

from orchard_process import BIN, SOURCE, ProgramTest, run

PROGRAM = BIN / "cser-train"


def idx(shape, data):
    return struct.pack(">BBBB", 0, 0, 8, len(shape)) + b"".join(struct.pack(">I", n) for n in shape) + data


class FilesTest(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, data):
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def convert(self, *arguments):
        return run(PROGRAM, "convert", *arguments, "--json")

    def train(self, *more):
        return run(PROGRAM, "simulate", "--ranks", "2", "--batch", "4", "--epochs", "2", "--block", "32", "--ratio", "4", "--threads", "1",
                   "--no-progress", "--lr", "0.01", *more)

    def test_images_of_all_formats_train_the_same(self):
        # The same ten grey pictures of 4 x 4 as IDX and as CSV.
        pixels = [bytes((image * 31 + i * 7) % 256 for i in range(16)) for image in range(20)]
        labels = bytes(image % 10 for image in range(20))
        images = self.write("some-images-idx3-ubyte", idx([20, 4, 4], b"".join(pixels)))
        self.write("some-labels-idx1-ubyte", idx([20], labels))
        csv = self.write("some.csv", "label,pixels" + ",p" * 15 + "\n" +
                         "".join(f"{label},{','.join(map(str, picture))}\n" for label, picture in zip(labels, pixels)))
        for name, source in (("idx", (images,)), ("csv", (csv, "--format", "csv", "--shape", "1,4,4"))):
            shape = self.json_of(self.convert(source[0], self.folder / f"{name}.h5", *source[1:]))
            self.assertEqual(shape, {"images": 20, "channels": 1, "height": 4, "width": 4, "classes": 10})
        models = []
        for path in (images, self.folder / "idx.h5", self.folder / "csv.h5"):
            out = self.folder / f"run-{path.name}"
            self.assert_works(self.train("--kind", "images", "--path", path, "--test", path, "--arch", "mlp:16-32-10", "--out", out))
            models.append((out / "final" / "model.safetensors").read_bytes())
        self.assertEqual(models[0], models[1])
        self.assertEqual(models[0], models[2])

    def test_cifar_files_become_one(self):
        (self.folder / "cifar").mkdir()
        for batch in range(1, 6):
            self.write(f"cifar/data_batch_{batch}.bin", bytes([batch]) + bytes(3072))
        shape = self.json_of(self.convert(self.folder / "cifar", self.folder / "train.h5", "--format", "cifar10"))
        self.assertEqual(shape, {"images": 5, "channels": 3, "height": 32, "width": 32, "classes": 10})
        self.write("cifar/train.bin", bytes([3, 77]) + bytes(3072))
        shape = self.json_of(self.convert(self.folder / "cifar", self.folder / "fine.h5", "--format", "cifar100"))
        self.assertEqual((shape["images"], shape["classes"]), (1, 100))

    def test_a_csv_file_with_what_is_no_pixel_names_its_line(self):
        for value in ("nan", "256", "-1", "1.5", "inf", "", "x"):
            with self.subTest(value):
                csv = self.write("bad.csv", f"3,{','.join(['9'] * 4)}\n4,1,2,{value},4\n")
                result = run(PROGRAM, "convert", csv, self.folder / "bad.h5", "--format", "csv", "--shape", "1,2,2")
                self.assert_fails(result, 3, "bad.csv:2, column 4", "no pixel of 0 to 255")
                self.assertFalse(list(self.folder.glob("bad.h5*")))
        short = self.write("short.csv", "3,1,2\n")
        self.assert_fails(run(PROGRAM, "convert", short, self.folder / "bad.h5", "--format", "csv", "--shape", "1,2,2"), 3, "short.csv:1",
                          "a label and 4 pixels")

    def test_a_file_that_exists_is_kept(self):
        target = self.write("there.h5", b"mine")
        self.assert_fails(run(PROGRAM, "convert", self.write("a.csv", "1,2\n"), target, "--format", "csv", "--shape", "1,1,1"), 2, "--force")
        self.assertEqual(target.read_bytes(), b"mine")

    def test_pytorch_loads_an_exported_model(self):
        out = self.folder / "run"
        self.assert_works(self.train("--kind", "synthetic", "--synthetic", "80", "--arch", "wrn-10-1", "--max-steps", "3", "--out", out))
        self.assert_works(run(PROGRAM, "export", out, self.folder / "model.pth"))
        self.assert_works(run(PROGRAM, "export", out / "final", self.folder / "model.safetensors"))
        self.assert_fails(run(PROGRAM, "export", out, self.folder / "model.pth"), 2, "--force")
        (self.folder / "empty").mkdir()
        self.assert_fails(run(PROGRAM, "export", self.folder / "empty", self.folder / "x.pth"), 3, "no averaged model")
        python = run(SOURCE / "scripts" / "setup", "--where", "oracles")
        if python.returncode:
            self.skipTest("there is no oracle environment (scripts/setup --oracles)")
        check = ("import sys, torch, safetensors.torch as s; a = torch.load(sys.argv[1], weights_only=True); "
                 "b = s.load_file(sys.argv[2]); c = s.load_file(sys.argv[3]); assert len(a) > 20; "
                 "assert set(a) == set(b) == set(c); assert all(torch.equal(a[k], c[k]) and torch.equal(b[k], c[k]) for k in c)")
        compared = subprocess.run([python.stdout.strip() + "/bin/python", "-c", check, self.folder / "model.pth",
                                   self.folder / "model.safetensors", out / "final" / "model.safetensors"], capture_output=True, text=True)
        self.assertEqual(compared.returncode, 0, compared.stderr)

    def test_bench_counts_what_an_all_reduce_sends(self):
        result = self.json_of(run(PROGRAM, "bench", "allreduce", "--ranks", "4", "--sizes", "4096,40960", "--repeat", "3", "--json"))
        self.assertEqual([row["sent"] for row in result["rows"]], [4096 * 1.5, 40960 * 1.5])
        result = self.json_of(run(PROGRAM, "bench", "psync", "--ranks", "2", "--sizes", "4194304", "--algos", "sgd,cser", "--repeat", "2",
                                  "--json"))
        dense, sparse = (row["sent"] for row in result["rows"])
        self.assertEqual(dense, 4194304)
        self.assertAlmostEqual(dense / sparse / 66.1, 1, delta=0.03)
        kernels = run(PROGRAM, "bench", "kernels", "--sizes", "65536", "--repeat", "2", "--algos", "cser")
        self.assertIn("copies", self.assert_works(kernels))
        self.assert_fails(run(PROGRAM, "bench", "kernels", "--algos", "magic"), 2, "there is no algorithm 'magic'")


if __name__ == "__main__":
    unittest.main()
