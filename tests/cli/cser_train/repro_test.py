"""cser-train repro: experiments that are divided, stopped and resumed give one page."""
import gzip
import json
import pathlib
import struct
import tempfile
import unittest

from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "cser-train"


def idx(shape, data):
    return struct.pack(">BBBB", 0, 0, 8, len(shape)) + b"".join(struct.pack(">I", n) for n in shape) + data


class ReproTest(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        # Bars at places that tell classes apart.
        for part, count in (("train", 640), ("t10k", 100)):
            labels = bytes(i % 10 for i in range(count))
            pictures = b"".join(bytes(255 if (row // 2 == label) or (i * row) % 13 == 0 else 0 for row in range(28) for _ in range(28))
                                for i, label in enumerate(labels))
            (self.folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx([count, 28, 28], pictures), 1))
            (self.folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx([count], labels), 1))

    def repro(self, *more):
        return run(PROGRAM, "repro", "C2", "C4", "C7", "--quick", "--runs", "1", "--data", self.folder, "--no-progress", *more, timeout=300)

    def test_shards_together_are_the_whole(self):
        cases = self.folder / "cases"
        self.assert_fails(self.repro("--shard", "1/2"), 2, "--cases")
        for shard in ("1/2", "2/2"):
            self.assertIn("trainings of shard", self.assert_works(self.repro("--shard", shard, "--cases", cases)))
        done = sorted(cases.iterdir())
        self.assertGreater(len(done), 8)
        whole = self.repro("--cases", cases, "--out", self.folder / "run", "--json")
        self.assert_works(whole)
        self.assertEqual(sorted(cases.iterdir()), done)  # nothing was trained again
        experiments = self.json_of(whole)["experiments"]
        self.assertEqual([e["name"] for e in experiments], ["C2", "C4", "C7"])
        page = (self.folder / "run" / "report.html").read_text()
        self.assertIn("Ranks that see few classes", page)
        self.assertIn("Drift, uniform", page)
        fresh = self.json_of(self.repro("--json"))["experiments"]
        for a, b in zip(experiments, fresh):
            self.assertEqual(a["measurements"], b["measurements"])  # the same numbers without cases

    def test_experiments_are_named(self):
        self.assert_fails(run(PROGRAM, "repro", "C99"), 2, "C1 to C7")
        self.assertIn("trainings", self.assert_works(self.repro("--dry-run")))


if __name__ == "__main__":
    unittest.main()
