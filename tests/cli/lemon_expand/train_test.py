"""lemon-expand train, eval and schedule on real processes: signals, resume, MPI."""
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "lemon-expand"
CONFIG = """
[common]
threads = 1
device = "cpu"
[model]
hidden = 16
heads = 2
dropout = 0.1
[data]
characters = 20000
block = 32
[opt]
ema = 0.9
[sched]
steps = 20
[run]
batch = 2
eval_every = 10
"""


class TrainTest(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "run.toml").write_text(CONFIG)

    def command(self, out, *more):
        return [str(PROGRAM), "train", "--config", str(self.folder / "run.toml"),
                "--out", str(self.folder / out), "--no-progress", *more]

    def train(self, out, *more):
        self.assert_works(run(*self.command(out, *more)))

    def weights(self, out):
        return (self.folder / out / "final" / "model.safetensors").read_bytes()

    def metrics(self, out):
        lines = (self.folder / out / "metrics.jsonl").read_text().splitlines()
        clock = ("tokens_per_second", "peak_memory_bytes")
        return [{k: v for k, v in json.loads(line).items() if k not in clock} for line in lines]

    def test_an_interrupted_run_resumes_to_the_same_bytes(self):
        steps = ("--steps", "600")
        self.train("plain", *steps)
        process = subprocess.Popen(self.command("stopped", *steps), stderr=subprocess.PIPE)
        metrics = self.folder / "stopped" / "metrics.jsonl"
        deadline = time.monotonic() + 30
        while not (metrics.exists() and metrics.read_text().count("\n") > 20):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 75, errors)
        self.assertIn(b"--resume", errors)
        self.assertFalse((self.folder / "stopped" / "final").exists())
        self.train("stopped", *steps, "--resume")
        self.assertEqual(self.weights("plain"), self.weights("stopped"))
        self.assertEqual(self.metrics("plain"), self.metrics("stopped"))

    def test_mpi_gives_the_bytes_of_simulated_ranks(self):
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        self.train("simulated", "--ranks", "2")
        launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"]
        self.assert_works(run(*launcher, *self.command("mpi")))
        self.assertEqual(self.weights("simulated"), self.weights("mpi"))
        self.assertEqual(self.metrics("simulated"), self.metrics("mpi"))

    def test_a_staged_run_gives_the_same_bytes_by_mpi(self):
        staged = ("--staged", "at_step=6 hidden=24,at_step=12 hidden=32 layers=3 optim=asym", "--rewarm", "2")
        self.train("simulated", *staged, "--ranks", "2")
        if shutil.which("mpirun") is not None:
            launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"]
            self.assert_works(run(*launcher, *self.command("mpi", *staged)))
            self.assertEqual(self.weights("simulated"), self.weights("mpi"))
            self.assertEqual(self.metrics("simulated"), self.metrics("mpi"))
        summary = json.loads((self.folder / "simulated" / "summary.json").read_text())["result"]
        self.assertEqual([s["first_step"] for s in summary["stages"]], [0, 6, 12])
        self.assertAlmostEqual(sum(s["flops"] for s in summary["stages"]), summary["flops"])
        for stage in summary["stages"][1:]:
            self.assertAlmostEqual(stage["loss_before"], stage["loss_after"], 4)
        # What grew within a run can be verified, expanded and trained like any other model.
        inspected = run(PROGRAM, "inspect", self.folder / "simulated" / "stages" / "2", "--json")
        self.assert_works(inspected)
        self.assertIn("Growth within the run", (self.folder / "simulated" / "report.html").read_text())

    def test_eval_finds_the_loss_that_training_reported(self):
        self.train("run")
        result = run(PROGRAM, "eval", self.folder / "run" / "final", "grammar", "--holdout", "0.05",
                     "--characters", "20000", "--block", "32", "--batch", "2", "--device", "cpu",
                     "--threads", "1", "--json")
        self.assert_works(result)
        summary = json.loads((self.folder / "run" / "summary.json").read_text())
        # The moving average was evaluated in training; it stands in final-ema.
        averaged = run(*[str(a).replace("final", "final-ema") for a in result.args])
        self.assertAlmostEqual(self.json_of(averaged)["loss"], summary["result"]["valid_loss"], 6)
        self.assertNotEqual(self.json_of(result)["loss"], summary["result"]["valid_loss"])

    def test_the_grown_model_trains_for_a_shorter_time(self):
        result = run(PROGRAM, "schedule", "--scratch-steps", "300", "--rule", "vit", "--json")
        self.assert_works(result)
        scratch, grown = self.json_of(result)["curves"]
        self.assertEqual((scratch["steps"], grown["steps"]), (300, 130))
        self.assertEqual(scratch["lr_max"], grown["lr_max"])
        table = self.assert_works(run(PROGRAM, "schedule", "--scratch-steps", "300"))
        self.assertIn("grown model", table)

    def test_a_run_needs_a_directory(self):
        self.assert_fails(run(PROGRAM, "train"), 2, "--out")


if __name__ == "__main__":
    unittest.main()
