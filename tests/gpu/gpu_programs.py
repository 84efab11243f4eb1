"""The programs on a GPU as a user runs them, held against the same runs on the CPU. scripts/gpu_check runs it.

  ORCHARD_BIN=build/release/bin ORCHARD_SOURCE_DIR=. python3 tests/gpu/gpu_programs.py -v

Needs a GPU, and siamese-seg the shipped hippocampus cases (data/hippocampus); mpirun where it is there.
"""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ.get("ORCHARD_BIN", "build/release/bin")).resolve()
DATA = pathlib.Path(os.environ.get("ORCHARD_SOURCE_DIR", ".")).resolve() / "data" / "hippocampus"
SECONDS = 150  # of one program


class ProgramTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)

    def run_program(self, program, *arguments, ranks=0):
        command = [str(BIN / program), *map(str, arguments)]
        if ranks:
            if shutil.which("mpirun") is None:
                self.skipTest("there is no mpirun")
            command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), *command]
        result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(result.returncode, 0, f"{' '.join(command)}\n{result.stderr[-2000:]}")
        return result.stdout

    def metrics(self, run, key):
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [line[key] for line in lines if key in line]


class CserTrainTest(ProgramTest):
    def train(self, out, device, *more, ranks=0, verb="train"):
        self.run_program("cser-train", verb, "--kind", "synthetic", "--synthetic", "800", "--batch", "16", "--arch", "lenet",
                         "--max-steps", "30", "--log-every", "10", "--seed", "3", "--threads", "2", "--device", device, "--out",
                         self.dir / out, "--no-progress", *more, ranks=ranks)
        return self.metrics(self.dir / out, "loss")

    def assert_alike(self, found, expected, relative=0.02):
        self.assertEqual(len(found), len(expected))
        for a, b in zip(found, expected):
            self.assertLess(abs(a - b), relative * abs(b), (found, expected))

    def test_one_rank_trains_as_on_the_cpu(self):
        self.assert_alike(self.train("gpu", "cuda"), self.train("cpu", "cpu"))

    def test_simulated_ranks_share_the_gpu(self):
        for n, options in enumerate([["--algo", "sgd"], ["--ratio", "16"], ["--ratio", "16", "--impl", "1"],
                                     ["--ratio", "16", "--impl", "1", "--wire", "bf16"],
                                     ["--ratio", "16", "--impl", "1", "--wire", "int8"],
                                     ["--algo", "dgc"], ["--algo", "powersgd"], ["--ratio", "16", "--delay", "2"]]):
            with self.subTest(options=options):
                more = ["--ranks", "2", *options]
                self.assert_alike(self.train(f"gpu{n}", "cuda", *more, verb="simulate"),
                                  self.train(f"cpu{n}", "cpu", *more, verb="simulate"), 0.05)

    def test_two_processes_share_the_gpu(self):
        self.assert_alike(self.train("gpu", "cuda", "--ratio", "16", ranks=2), self.train("cpu", "cpu", "--ratio", "16", ranks=2),
                          0.05)

    def test_a_checkpoint_continues(self):
        whole = self.train("whole", "cuda", "--deterministic", "--save-every", "10")
        self.assertTrue(any((self.dir / "whole").glob("checkpoints/*")) or any((self.dir / "whole").rglob("rank00000*")))
        self.assertEqual(self.train("again", "cuda", "--deterministic", "--save-every", "10"), whole)


@unittest.skipUnless((DATA / "images").is_dir(), "there is no data/hippocampus")
class SiameseSegTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.data = self.dir / "data"
        for part in ["images", "labels"]:
            (self.data / part).mkdir(parents=True)
            for path in sorted((DATA / part).glob("*.nii.gz"))[:5]:
                shutil.copy(path, self.data / part)
        self.run_program("siamese-seg", "plan", self.data, "--base-channels", "8", "--max-stages", "3", "--patch", "32,40,32")

    def train(self, out, device, *more, ranks=0):
        self.run_program("siamese-seg", "train", self.data, "--epochs", "1", "--iterations", "12", "--log-every", "1", "--set",
                         "optim.lr=0.005", "--no-progress", "--threads", "2", "--device", device, "--out", self.dir / out, *more,
                         ranks=ranks)
        return self.metrics(self.dir / out, "loss")

    def test_f32_trains_as_on_the_cpu(self):
        gpu, cpu = self.train("gpu", "cuda", "--amp", "off"), self.train("cpu", "cpu")
        self.assertEqual(len(gpu), len(cpu))
        self.assertLess(abs(gpu[0] - cpu[0]), 1e-3)
        for a, b in zip(gpu, cpu):
            self.assertLess(abs(a - b), 0.05, (gpu, cpu))
        self.assertGreater(self.metrics(self.dir / "gpu", "device_peak_memory_bytes")[-1], 1e6)

    def test_16_bits_train_about_as_well(self):
        full = self.train("full", "cuda", "--amp", "off")
        for amp in ["bf16", "fp16"]:
            half = self.train(amp, "cuda", "--amp", amp)
            self.assertLess(abs(half[0] - full[0]), 0.03)
            self.assertLess(abs(sum(half[-4:]) - sum(full[-4:])) / 4, 0.15, (half, full))

    def test_deterministic_runs_repeat(self):
        self.assertEqual(self.train("once", "cuda", "--deterministic"), self.train("twice", "cuda", "--deterministic"))

    def test_two_ranks_share_the_gpu(self):
        gpu = self.train("gpu", "cuda", "--amp", "off", "--ranks", "2")
        cpu = self.train("cpu", "cpu", "--ranks", "2")
        for a, b in zip(gpu, cpu):
            self.assertLess(abs(a - b), 0.05, (gpu, cpu))
        self.train("mpi", "cuda", "--amp", "off", ranks=2)
        self.assertEqual(self.metrics(self.dir / "mpi", "loss")[0], gpu[0])

    def test_predictions_are_those_of_the_cpu(self):
        self.train("model", "cpu")
        for n, options in enumerate([[], ["--tta", "0", "--templates", "2", "--align", "search"], ["--amp", "off", "--largest"]]):
            labels = []
            for device in ["cuda", "cpu"]:
                out = self.dir / f"{device}{n}"
                self.run_program("siamese-seg", "predict", "--model", self.dir / "model", self.data / "images", "--out", out,
                                 "--device", device, *options)
                labels.append([gzip.decompress(path.read_bytes())[352:] for path in sorted(out.glob("*.nii.gz"))])
            self.assertEqual(len(labels[0]), 5)
            for gpu, cpu in zip(*labels):
                self.assertEqual(len(gpu), len(cpu))
                differ = sum(a != b for a, b in zip(gpu, cpu))
                self.assertLess(differ, 0.02 * len(cpu), options)


if __name__ == "__main__":
    unittest.main()
