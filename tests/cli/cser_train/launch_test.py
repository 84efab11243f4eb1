"""cser-train launch: ranks by mpirun on this machine, and over links of its own."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "cser-train"
# 25 thousand parameters, synthetic images: steps take a millisecond.
TRAIN = ["train", "--kind", "synthetic", "--synthetic", "400", "--batch", "8", "--arch", "mlp:784-32-10", "--block", "32", "--ratio", "8",
         "--no-progress"]


def children_of(process):
    """All descendants of a process."""
    found, ask = [], [process]
    while ask:
        parent = ask.pop()
        for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, ppid = int(status.parent.name), int(status.read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if ppid == parent:
                found.append(pid)
                ask.append(pid)
    return found


def processes_with(text):
    """Those with this text on their command line: ranks are children of mpirun's daemons, which belong to nobody."""
    found = []
    for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text.encode() in line.read_bytes():
                found.append(int(line.parent.name))
    return found


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class LaunchTest(ProgramTest):
    def setUp(self):
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def needs_links(self):
        if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
            self.skipTest("network namespaces need root")
        if shutil.which("tc") is None:
            self.skipTest("there is no iproute2")

    def wait_for(self, condition, what):
        deadline = time.monotonic() + 180  # a busy machine takes half a minute to start two daemons and two ranks
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def result(self, out):
        return json.loads((self.folder / out / "summary.json").read_text())["result"]

    def test_ranks_over_memory_train_together(self):
        self.assert_works(run(PROGRAM, "launch", "-n", "3", "--", *TRAIN, "--epochs", "1", "--out", self.folder / "run"))
        self.assertEqual((self.result("run")["ranks"], self.result("run")["engine"]), (3, "MPI"))

    def rank_of(self, process):
        with contextlib.suppress(OSError):
            for variable in pathlib.Path(f"/proc/{process}/environ").read_bytes().split(b"\0"):
                if variable.startswith(b"OMPI_COMM_WORLD_RANK="):
                    return int(variable.split(b"=")[1])

    def test_a_rank_that_is_killed_is_done_without(self):
        out = self.folder / "run"
        job = subprocess.Popen([PROGRAM, "launch", "-n", "3", "--max-lost", "1", "--", *TRAIN, "--epochs", "200", "--save-every", "100",
                                "--eval-epochs", "0", "--out", out, "--force"], stderr=subprocess.PIPE, text=True)
        self.addCleanup(job.kill)
        self.wait_for(lambda: list(out.glob("checkpoints/step-*/state.json")), "a checkpoint")
        ranks = {self.rank_of(process): process for process in processes_with(str(out))}
        os.kill(ranks[1], signal.SIGKILL)
        messages = job.communicate(timeout=120)[1]
        self.assertEqual(job.returncode, 0, messages)
        self.assertIn("a rank was killed (exit code 137): going on with 2 ranks from the last checkpoint", messages)
        self.assertEqual(self.result("run")["ranks"], 2)
        first = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])
        self.assertGreater(self.result("run")["steps"], first["step"])

    def test_what_ranks_find_wrong_themselves_is_not_tried_again(self):
        wrong = run(PROGRAM, "launch", "-n", "3", "--max-lost", "2", "--", *TRAIN, "--lr", "1e30", "--epochs", "9", "--out", self.folder / "run")
        self.assertEqual(wrong.returncode, 5, wrong.stderr)
        self.assertNotIn("going on", wrong.stderr)
        self.assert_fails(run(PROGRAM, "launch", "--max-lost", "1", "--", "verify"), 2, "--max-lost", "train")

    def test_without_a_command_it_says_where_to_write_it(self):
        self.assert_fails(run(PROGRAM, "launch", "-n", "2", "train"), 2, "--")
        self.assert_fails(run(PROGRAM, "launch", "--netns", "fast", "--", "train"), 2, "'fast' is no rate", "--netns")
        self.assert_fails(run(PROGRAM, "launch", "--delay-ms", "3", "--", "train"), 2, "--netns")

    def test_the_exit_code_is_that_of_the_program(self):
        wrong = run(PROGRAM, "launch", "-n", "2", "--", *TRAIN, "--arch", "mlp:1-2", "--out", self.folder / "run")
        self.assertEqual(wrong.returncode, 2, wrong.stderr)
        diverged = run(PROGRAM, "launch", "-n", "2", "--", *TRAIN, "--lr", "1e30", "--epochs", "9", "--out", self.folder / "wild")
        self.assertEqual(diverged.returncode, 5, diverged.stderr)
        other = run(PROGRAM, "launch", "-n", "2", "--program", "sh", "--", "-c", "exit 9")
        self.assertEqual(other.returncode, 9, other.stderr)

    def start(self, *options):
        process = subprocess.Popen([str(PROGRAM), "launch", "-n", "2", *options, "--", *TRAIN, "--epochs", "5000", "--eval-epochs", "0",
                                    "--out", str(self.folder / "run")], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        metrics = self.folder / "run" / "metrics.jsonl"
        self.wait_for(lambda: metrics.exists() and metrics.stat().st_size, "training does not start")
        return process

    def test_a_request_to_stop_reaches_the_ranks_and_a_resumed_run_goes_on(self):
        process = self.start()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 75)
        self.assertEqual(len(list((self.folder / "run" / "checkpoints").glob("step-*/rank*.safetensors"))), 2)

    def test_links_carry_what_was_counted(self):
        self.needs_links()
        # The difference of two runs is free of what starting and ending a job takes.
        carried, counted = [], []
        for steps in ("20", "220"):
            links = self.folder / f"links{steps}.json"
            self.assert_works(run(PROGRAM, "launch", "-n", "3", "--netns", "unlimited", "--links", links, "--", *TRAIN, "--algo", "sgd",
                                  "--epochs", "100", "--max-steps", steps, "--eval-epochs", "0", "--out", self.folder / steps))
            carried.append([rank["sent"] for rank in json.loads(links.read_text())["ranks"]])
            counted.append(self.result(steps)["bytes_sent"])
        more = counted[1] - counted[0]
        # 200 steps of an arena of 25,504 floats, of which each of three ranks sends 4/3.
        self.assertAlmostEqual(more / (200 * 4 * 25504 * 4 / 3), 1, delta=0.01)
        for rank in range(3):
            # Headers of Ethernet, IP and TCP, and acknowledgements, come on top.
            self.assertAlmostEqual((carried[1][rank] - carried[0][rank]) / more, 1.03, delta=0.04)

    def test_the_estimate_of_a_wire_is_that_of_links_that_carry_frames(self):
        self.needs_links()
        # Messages of 0.5, 4 and 34 kB: of small ones headers are a third, of large ones a twentieth.
        for hidden in ("1", "4", "32"):
            with self.subTest(hidden):
                carried, estimated, counted = [], [], []
                for steps in ("20", "220"):
                    links = self.folder / f"links{hidden}-{steps}.json"
                    self.assert_works(run(PROGRAM, "launch", "-n", "3", "--netns", "unlimited", "--frames", "--links", links, "--", *TRAIN,
                                          "--arch", f"mlp:784-{hidden}-10", "--algo", "sgd", "--epochs", "100", "--max-steps", steps,
                                          "--log-every", "1000", "--eval-epochs", "0", "--out", self.folder / f"{hidden}-{steps}", timeout=180))
                    carried.append(json.loads(links.read_text())["ranks"][0]["sent"])
                    estimated.append(self.result(f"{hidden}-{steps}")["wire_bytes_estimated"])
                    counted.append(self.result(f"{hidden}-{steps}")["bytes_sent"])
                more = carried[1] - carried[0]
                self.assertGreater(more, counted[1] - counted[0])
                self.assertAlmostEqual((estimated[1] - estimated[0]) / more, 1, delta=0.05)

    def test_a_link_has_the_rate_that_was_asked_for(self):
        self.needs_links()
        self.assert_works(run(PROGRAM, "launch", "-n", "2", "--netns", "20mbit", "--links", self.folder / "links.json", "--", *TRAIN,
                              "--algo", "sgd", "--epochs", "100", "--max-steps", "60", "--eval-epochs", "0", "--out", self.folder / "run"))
        result = self.result("run")
        # 60 steps of 102 kB at 20 Mb/s take 2.4 s; the bucket lets 256 KiB through at once, and a second one at the switch.
        # Buckets fill while ranks compute, so that time counts too.
        fastest = (result["bytes_sent"] - 2 * (256 << 10)) * 8 / 20e6
        self.assertGreater(result["train_seconds"], fastest)

    def test_a_tuned_run_compresses_on_a_slow_link_and_goes_on_as_it_began(self):
        self.needs_links()
        # 102 kB per step at 2 Mb/s: 0.4 s on the wire, a step's computation is some milliseconds.
        command = (PROGRAM, "launch", "-n", "2", "--netns", "2mbit", "--burst", "16384", "--", *TRAIN, "--auto-tune", "--auto-tune-steps", "5", "--epochs", "4",
                   "--save-every", "20", "--eval-epochs", "0", "--out", self.folder / "run")
        self.assert_works(run(*command, timeout=240))
        choice = json.loads((self.folder / "run" / "tuning.json").read_text())
        self.assertNotEqual(choice["algorithm"], "sgd")
        self.assertGreater(choice["ratio"], 1)
        result = self.result("run")
        self.assertEqual(result["algorithm"], choice["algorithm"])
        self.assertEqual(result["nominal_ratio"], choice["ratio"])
        self.assertGreater(result["ratio"], 0.8 * choice["ratio"])  # what tuning itself sent is not training's
        self.assertIn(f"training with --algo {choice['algorithm']} --ratio {choice['ratio']:g}", result["tuning"])
        # Over memory, where another choice may follow, the run resumes with that of its file.
        weights = (self.folder / "run" / "final" / "model.safetensors").read_bytes()
        again = [str(word) for word in command]
        del again[4:8]
        self.assert_works(run(*again, "--resume", timeout=240))
        self.assertEqual(self.result("run")["tuning"], result["tuning"])
        self.assertEqual((self.folder / "run" / "final" / "model.safetensors").read_bytes(), weights)

    def test_tuning_needs_a_link(self):
        self.assert_fails(run(PROGRAM, "simulate", *TRAIN[1:], "--auto-tune", "--out", self.folder / "run"), 2, "no link between simulated ranks")

    def test_nothing_is_left_of_a_launcher_that_is_killed(self):
        self.needs_links()
        before = subprocess.check_output(["ip", "link"])
        process = self.start("--netns", "unlimited")
        self.assertEqual(subprocess.check_output(["ip", "link"]), before)
        namespaces, ranks = children_of(process.pid), processes_with(str(self.folder))
        self.assertGreaterEqual(len(namespaces), 3)  # one per rank, and mpirun
        self.assertGreaterEqual(len(ranks), 4)  # with the launcher and mpirun themselves
        process.kill()
        process.wait()
        self.wait_for(lambda: not any(map(alive, namespaces + ranks)), "processes are left")
        self.assertEqual(subprocess.check_output(["ip", "link"]), before)


if __name__ == "__main__":
    unittest.main()
