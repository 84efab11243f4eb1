"""cser-train when something breaks on the way: a rank that is killed, a disk that is full."""
import json
import pathlib
import shutil
import tempfile
import unittest

from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "cser-train"
TRAIN = ["train", "--kind", "synthetic", "--synthetic", "400", "--batch", "8", "--arch", "mlp:784-32-10", "--block", "32", "--ratio", "8",
         "--epochs", "80", "--save-every", "50", "--log-every", "10", "--eval-epochs", "0", "--threads", "1", "--no-progress"]
RANKS = 2
STEPS = 80 * (400 // RANKS // 8)


class FaultsTest(ProgramTest):
    def setUp(self):
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def mpi(self, out, *more, on_rank_1=":"):
        """The job, with a shell command beside rank 1. A hang ends with 124."""
        script = f'if [ $OMPI_COMM_WORLD_RANK = 1 ]; then {on_rank_1}\nfi; exec "$@"'
        return run("timeout", "50", "mpirun", "--allow-run-as-root", "--oversubscribe", "-n", RANKS, "bash", "-c", script, "bash", PROGRAM,
                   *TRAIN, "--out", self.folder / out, *more)

    def checkpoints(self, out):
        return sorted((self.folder / out / "checkpoints").glob("step-*"))

    def assert_whole(self, checkpoint):
        """All files of a checkpoint are there, and what the headers say about them holds."""
        names = sorted(file.name for file in checkpoint.iterdir())
        self.assertLessEqual({"averaged.safetensors", "rank00000.safetensors", "rank00001.safetensors"}, set(names))
        for file in checkpoint.glob("*.safetensors"):
            data = file.read_bytes()
            header = int.from_bytes(data[:8], "little")
            tensors = json.loads(data[8 : 8 + header])
            ends = [t["data_offsets"][1] for name, t in tensors.items() if name != "__metadata__"]
            self.assertEqual(max(ends), len(data) - 8 - header, file)
        self.assertFalse([name for name in names if "partial" in name])

    def assert_resumes_to_the_same(self, out, *more):
        self.assert_works(self.mpi("undisturbed"))
        self.assert_works(self.mpi(out, "--resume", *more))
        self.assertEqual((self.folder / out / "final" / "model.safetensors").read_bytes(),
                         (self.folder / "undisturbed" / "final" / "model.safetensors").read_bytes())
        self.assertEqual(json.loads((self.folder / out / "summary.json").read_text())["result"]["steps"], STEPS)

    def beside_rank_1(self, out, what):
        """A shell command that does this to rank 1 once there is a checkpoint."""
        return f"(while ! ls {self.folder}/{out}/checkpoints/step-*/state.json; do sleep 0.01; done; {what}) > /dev/null 2>&1 &"

    def test_a_killed_rank_ends_the_job_and_the_last_checkpoint_goes_on(self):
        killed = self.mpi("killed", on_rank_1=self.beside_rank_1("killed", "kill -9 $$"))
        self.assertNotIn(killed.returncode, (0, 124), killed.stderr)
        self.assertFalse((self.folder / "killed" / "final").exists())
        self.assert_whole(self.checkpoints("killed")[-1])
        self.assert_resumes_to_the_same("killed")

    def test_a_full_disk_leaves_the_last_checkpoint_whole(self):
        stopped = self.mpi("full", on_rank_1=self.beside_rank_1("full", "kill -TERM $$"))
        self.assertEqual(stopped.returncode, 75, stopped.stderr)
        newest = self.checkpoints("full")[-1]
        before = {file.name: file.read_bytes() for file in newest.iterdir()}
        # Files of at most 64 KiB for rank 1, whose part of a checkpoint needs more.
        failed = self.mpi("full", "--resume", on_rank_1="trap '' XFSZ; ulimit -f 64")
        self.assertEqual(failed.returncode, 7, failed.stderr)
        self.assertEqual(self.checkpoints("full")[-1], newest)
        self.assertEqual({file.name: file.read_bytes() for file in newest.iterdir()}, before)
        self.assert_whole(newest)
        self.assert_resumes_to_the_same("full")


if __name__ == "__main__":
    unittest.main()
