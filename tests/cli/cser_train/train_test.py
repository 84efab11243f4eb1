"""cser-train on real processes: simulated ranks and MPI, interruption and resume, every algorithm."""
import json
import math
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "cser-train"
CLOCK = ("train_s", "compute_s", "update_s", "wire_s", "wait_s", "eval_train_s", "peak_memory_bytes")
CONFIG = """
[common]
threads = 1
device = "cpu"
[run]
epochs = 2
log_every = 5
[data]
kind = "synthetic"
synthetic = 400
batch = 8
[model]
arch = "mlp:784-32-10"
[compress]
ratio = 8
block = 32
[eval]
eval_epochs = 1
test_batch = 50
"""
LAUNCHER = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n"]


class TrainTest(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "run.toml").write_text(CONFIG)

    def command(self, verb, out, *more):
        return [str(PROGRAM), verb, "--config", str(self.folder / "run.toml"), "--out", str(self.folder / out),
                "--no-progress", *more]

    def simulate(self, out, *more):
        return self.assert_works(run(*self.command("simulate", out, *more)))

    def mpi(self, out, ranks, *more):
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        return self.assert_works(run(*LAUNCHER, str(ranks), *self.command("train", out, *more)))

    def weights(self, out):
        return (self.folder / out / "final" / "model.safetensors").read_bytes()

    def rank_files(self, out):
        files = sorted((self.folder / out / "checkpoints").glob("step-*/rank*.safetensors"))
        return {f.relative_to(self.folder / out).as_posix(): f.read_bytes() for f in files}

    def metrics(self, out):
        lines = (self.folder / out / "metrics.jsonl").read_text().splitlines()
        return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]

    def result(self, out):
        return json.loads((self.folder / out / "summary.json").read_text())["result"]

    def assert_same(self, a, b):
        self.assertEqual(self.metrics(a), self.metrics(b))
        self.assertEqual(self.weights(a), self.weights(b))

    def test_mpi_gives_the_bytes_of_simulated_ranks(self):
        more = ("--save-every", "10")
        self.simulate("simulated", "--ranks", "3", *more)
        self.mpi("mpi", 3, *more)
        self.assert_same("simulated", "mpi")
        files = self.rank_files("simulated")
        self.assertEqual(len(files), 3 * 2)
        self.assertEqual(files, self.rank_files("mpi"))
        self.assertIn("Accuracy against traffic", (self.folder / "mpi" / "report.html").read_text())

    def test_eight_processes_are_eight_simulated_ranks(self):
        more = ("--max-steps", "10", "--batch", "4", "--save-every", "6", "--base", "adamw", "--lr", "0.01", "--second-moment-sync", "reset",
                "--momentum-sync", "reset", "--interval", "4")
        self.simulate("simulated", "--ranks", "8", *more)
        self.mpi("mpi", 8, *more)
        self.assert_same("simulated", "mpi")
        files = self.rank_files("simulated")
        self.assertEqual(len(files), 8)
        self.assertEqual(files, self.rank_files("mpi"))
        for key in ("bytes_sent", "wire_bytes_estimated", "drift"):
            self.assertEqual(self.result("simulated")[key], self.result("mpi")[key])
        self.assertGreater(self.result("mpi")["wire_bytes_estimated"], 1.04 * self.result("mpi")["bytes_sent"])

    def test_bytes_and_weights_are_the_same_by_mpi_for_every_kind_of_message(self):
        dense = None
        for algo in ("sgd", "cser", "topk-ef"):
            with self.subTest(algo):
                more = ("--algo", algo, "--max-steps", "12", "--eval-epochs", "0")
                self.simulate("s" + algo, "--ranks", "2", *more)
                self.mpi("m" + algo, 2, *more)
                self.assert_same("s" + algo, "m" + algo)
                result = self.result("s" + algo)
                self.assertTrue(math.isfinite(result["loss"]))
                dense = dense or result["bytes_sent"]  # the first is sgd
                self.assertAlmostEqual(result["ratio"], dense / result["bytes_sent"], 9)
        # Two ranks send 2 (n-1)/n = 1 times the arena in every step.
        self.assertEqual(dense, 12 * 4 * (784 * 32 + 32 + 320 + 32))

    def test_sending_during_the_backward_pass_changes_no_bit(self):
        for extra in (("--algo", "sgd"), ("--algo", "cser"), ("--algo", "csea", "--wire", "bf16"), ("--algo", "cser", "--delay", "2"),
                      ("--algo", "local-sgd", "--base", "adamw", "--lr", "0.01")):
            with self.subTest(extra):
                name = "-".join(extra).replace("/", "")
                more = (*extra, "--max-steps", "12", "--eval-epochs", "0", "--bucket-mb", "0.005")
                self.simulate("late" + name, "--ranks", "2", *more, "--no-overlap")
                self.simulate("early" + name, "--ranks", "2", *more)
                self.mpi("mpi" + name, 2, *more)
                self.assert_same("late" + name, "early" + name)
                self.assert_same("late" + name, "mpi" + name)

    def test_nodes_train_as_one_rank_each(self):
        more = ("--ranks-per-node", "2", "--max-steps", "12", "--eval-epochs", "0", "--save-every", "6")
        self.simulate("simulated", "--ranks", "4", *more)
        self.mpi("mpi", 4, *more)
        self.assert_same("simulated", "mpi")
        files = list(self.rank_files("mpi").values())
        self.assertEqual(files[0], files[1])  # the ranks of a node hold one model
        self.assertNotEqual(files[0], files[2])
        result = self.result("mpi")
        self.assertGreater(result["node_bytes_sent"], result["bytes_sent"])  # dense within, compressed between
        odd = run(*self.command("simulate", "odd", "--ranks", "3", "--ranks-per-node", "2"))
        self.assertEqual(odd.returncode, 2, odd.stderr)
        self.assertIn("no whole number of nodes", odd.stderr)

    def test_a_narrow_wire_saves_bytes_and_learns(self):
        results = {}
        for wire in ("fp32", "bf16", "int8"):
            more = ("--impl", "1", "--ranks", "4", "--synthetic", "3000", "--epochs", "4", "--lr", "0.1", "--eval-epochs", "0", "--wire", wire)
            self.simulate(wire, *more)
            results[wire] = self.result(wire)
        self.assertAlmostEqual(results["fp32"]["bytes_sent"] / results["bf16"]["bytes_sent"], 2, delta=0.01)
        self.assertGreater(results["fp32"]["bytes_sent"] / results["int8"]["bytes_sent"], 3.5)
        for result in results.values():
            self.assertLess(result["test_loss"], math.log(10) - 0.1)  # that of guessing is log(10)

    def test_tuning_times_the_link_and_says_what_to_do(self):
        command = (str(PROGRAM), "tune", "--config", str(self.folder / "run.toml"), "--steps", "5", "--json")
        alone = run(*command)
        self.assertEqual(alone.returncode, 2)
        self.assertIn("no link", alone.stderr)
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        tuning = self.json_of(run(*LAUNCHER, "2", *command))
        self.assertEqual(tuning["ranks"], 2)
        for key in ("bandwidth_bits", "compute_seconds", "dense_seconds", "configured_seconds"):
            self.assertGreater(tuning[key], 0)
        self.assertIn(tuning["advised_ratio"], [step["ratio"] for step in tuning["steps"]])

    def test_an_interrupted_run_resumes_to_the_same_bytes(self):
        for extra in (("--algo", "cser", "--impl", "1"), ("--algo", "qsparse"), ("--algo", "powersgd"),
                      ("--algo", "sparta", "--delay", "4", "--theta", "0.5"),
                      ("--algo", "csea", "--wire", "int8", "--base", "adam", "--lr", "0.01", "--ratio-growth", "4")):
            with self.subTest(extra):
                name = extra[1]
                more = (*extra, "--ranks", "2", "--epochs", "30", "--eval-epochs", "4")
                self.simulate("whole" + name, *more)
                process = subprocess.Popen(self.command("simulate", "cut" + name, *more), stderr=subprocess.PIPE)
                metrics = self.folder / ("cut" + name) / "metrics.jsonl"
                deadline = time.monotonic() + 60
                while not (metrics.exists() and metrics.read_text().count("\n") > 8):
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                _, errors = process.communicate(timeout=60)
                self.assertEqual(process.returncode, 75, errors)
                self.assertFalse((self.folder / ("cut" + name) / "final").exists())
                self.simulate("cut" + name, *more, "--resume")
                self.assert_same("whole" + name, "cut" + name)
                for key in ("bytes_sent", "bytes_received", "ratio", "top1"):
                    self.assertEqual(self.result("whole" + name)[key], self.result("cut" + name)[key])

    def test_a_run_that_is_done_is_not_trained_again(self):
        self.simulate("run", "--ranks", "2")
        before = (self.folder / "run" / "summary.json").read_bytes()
        again = self.simulate("run", "--ranks", "2", "--resume")
        self.assertIn("run was done: ", again)
        self.assertEqual((self.folder / "run" / "summary.json").read_bytes(), before)
        self.assert_fails(run(*self.command("simulate", "run", "--ranks", "2", "--epochs", "3", "--resume")), 2, "epochs")
        # Two names of one model.
        evaluations = [self.assert_works(run(PROGRAM, "eval", folder, "--kind", "synthetic", "--synthetic", "400", "--json"))
                       for folder in (self.folder / "run", self.folder / "run" / "final")]
        self.assertEqual(*evaluations)

    def test_mpi_ranks_stop_together(self):
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        # One rank's process is told; all of them stop, and mpirun passes 75 on.
        script = ("if [ $OMPI_COMM_WORLD_RANK = 1 ]; then (sleep 1; while [ ! -s %s ]; do sleep 0.05; done; kill -TERM $$) & fi; "
                  'exec "$@"' % (self.folder / "stopped" / "metrics.jsonl"))
        more = ("--epochs", "2000", "--eval-epochs", "0")
        stopped = run(*LAUNCHER, "2", "bash", "-c", script, "bash", *self.command("train", "stopped", *more))
        self.assertEqual(stopped.returncode, 75, stopped.stderr)
        checkpoints = list((self.folder / "stopped" / "checkpoints").glob("step-*"))
        self.assertEqual(len(checkpoints), 1)
        self.assertEqual(len(list(checkpoints[0].glob("rank*.safetensors"))), 2)

    def test_another_number_of_ranks_goes_on_from_the_averaged_model(self):
        for saved, now, steps in ((2, 4, 40), (4, 2, 80)):
            with self.subTest(now):
                name = "run" + str(saved)
                more = ("--save-every", "60" if saved == 2 else "30", "--epochs", "4", "--batch", "10")
                self.simulate(name, "--ranks", str(saved), *more)  # its checkpoint is of epoch 3
                summary = self.folder / name / "summary.json"
                summary.write_text(summary.read_text().replace('"done"', '"running"'))  # as if killed after it
                again = run(*self.command("simulate", name, "--ranks", str(now), *more, "--resume"))
                self.assert_works(again)
                self.assertIn("all start from the averaged model", again.stderr)
                self.assertEqual(self.result(name)["steps"], steps)
                self.assertGreater(self.result(name)["top1"], 0.15)

    def test_evaluation_leaves_training_alone(self):
        for extra in ((), ("--arch", "wrn-10-1", "--bn", "recalibrate", "--recalibrate-batches", "2", "--synthetic", "80",
                           "--max-steps", "6")):
            name = "often" + str(len(extra))
            self.simulate(name, "--ranks", "2", *extra, "--eval-epochs", "0.2")
            self.simulate("seldom" + name, "--ranks", "2", *extra, "--eval-epochs", "0")
            self.assertEqual(self.weights(name), self.weights("seldom" + name))
            self.assertGreater(len(self.metrics(name)), len(self.metrics("seldom" + name)) - 1)

    def test_it_learns(self):
        out = self.simulate("run", "--ranks", "4", "--synthetic", "3000", "--epochs", "8", "--lr", "0.1", "--json")
        result = json.loads(out)
        self.assertGreater(result["top1"], 0.3)  # chance is 0.1
        self.assertGreater(result["drift"], 0)
        self.assertAlmostEqual(result["ratio"], 1 / (7 / 8 / 16 + 1 / 2 / 8), delta=0.02)  # H = 8, R_C2 = 16, R_C1 = 2

    def test_a_dry_run_predicts_what_the_run_sends(self):
        for algo in ("cser", "topk-ef"):
            more = ("--algo", algo, "--ranks", "4", "--epochs", "8", "--eval-epochs", "0")
            plan = self.json_of(run(*self.command("simulate", "none", *more, "--dry-run", "--json")))
            self.assertFalse((self.folder / "none").exists())
            self.simulate(algo, *more)
            result = self.result(algo)
            self.assertEqual(plan["steps"], result["steps"])
            self.assertAlmostEqual(plan["bytes_per_step"] * plan["steps"] / result["bytes_sent"], 1, delta=0.02)
            self.assertAlmostEqual(plan["ratio"] / result["ratio"], 1, delta=0.02)

    def test_a_stored_model_evaluates_as_in_training(self):
        self.simulate("run", "--ranks", "2", "--arch", "wrn-10-1", "--synthetic", "100", "--max-steps", "5")
        result = run(PROGRAM, "eval", self.folder / "run" / "final", "--kind", "synthetic", "--synthetic", "100", "--test-batch", "50",
                     "--json")
        self.assert_works(result)
        self.assertAlmostEqual(self.json_of(result)["loss"], self.result("run")["test_loss"], 6)
        self.assertEqual(self.json_of(result)["top1"], self.result("run")["top1"])

    def test_verify_passes_for_algorithms_of_all_kinds(self):
        common = ("--config", str(self.folder / "run.toml"), "--ranks", "3", "--steps", "40")
        for algo in ("cser", "qsparse", "ef-sgd", "powersgd", "sparta"):
            self.assertNotIn("FAIL", self.assert_works(run(PROGRAM, "verify", *common, "--algo", algo)))
        for extra in (("--theta", "0.5"), ("--delay", "3"), ("--wire", "int8"), ("--base", "lamb"), ("--base", "lion", "--lr", "0.001")):
            self.assertNotIn("FAIL", self.assert_works(run(PROGRAM, "verify", *common, *extra)))
        checks = self.json_of(run(PROGRAM, "verify", *common, "--impl", "1", "--c1", "top-k", "--json"))["checks"]
        self.assertEqual(len(checks), 4)
        self.assertGreater(checks[0]["value"], 0)  # rounding: there is something to see
        # Models that are no numbers have nothing in common.
        wild = run(PROGRAM, "verify", *common, "--impl", "1", "--lr", "1e30")
        self.assertEqual(wild.returncode, 4, wild.stdout + wild.stderr)
        self.assertIn("FAIL", wild.stdout)

    def test_a_sweep_compares_runs_and_counts_those_that_diverge(self):
        sweep = ("sweep", "--config", str(self.folder / "run.toml"), "--out", str(self.folder / "sweep"), "--no-progress", "--algos",
                 "sgd,cser", "--rates", "0.05,1e20", "--seeds", "2", "--epochs", "1", "--ranks", "2", "--ratios", "8")
        result = run(PROGRAM, *sweep, "--json")
        self.assert_works(result)
        rows = self.json_of(result)["rows"]
        self.assertEqual([(r["algorithm"], r["lr"], r["diverged"]) for r in rows],
                         [("sgd", 0.05, 0), ("sgd", 1e20, 2), ("cser", 0.05, 0), ("cser", 1e20, 2)])
        self.assertGreater(rows[0]["bytes_sent"], 7 * rows[2]["bytes_sent"])
        self.assertIn("Accuracy against traffic", (self.folder / "sweep" / "report.html").read_text())
        again = run(PROGRAM, *sweep, "--json", "--resume")
        self.assertEqual(self.json_of(again)["rows"], rows)

    def test_the_prediction_needs_no_tensors_and_is_arithmetic(self):
        result = run(PROGRAM, "model", "--params", "1M", "--world", "4", "--bandwidth", "1e8", "--compute-ms", "30",
                     "--latency-us", "0", "--ratios", "1,64", "--json")
        self.assert_works(result)
        dense, sparse = self.json_of(result)["steps"]
        self.assertAlmostEqual(dense["seconds"], 0.03 + 6e6 * 8 / 1e8)
        self.assertAlmostEqual(sparse["seconds"], 0.03 + 6e6 * 8 / 1e8 / 64)
        self.assertIn("speed-up", self.assert_works(run(PROGRAM, "model")))


if __name__ == "__main__":
    unittest.main()
