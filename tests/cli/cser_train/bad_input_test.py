"""cser-train with input that is wrong, and ranks that do not fit together."""
import gzip
import pathlib
import shutil
import struct
import tempfile
import unittest

from orchard_process import BIN, ProgramTest, run

PROGRAM = BIN / "cser-train"


def idx(shape, data):
    return struct.pack(">BBBB", 0, 0, 8, len(shape)) + b"".join(struct.pack(">I", n) for n in shape) + data


class BadInputTest(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write_mnist(self, labels=bytes(range(10)) * 4, cut=0):
        count = len(labels)
        pixels = bytes((i * 7) % 256 for i in range(count * 784))
        for part, pack, suffix in (("train", gzip.compress, ".gz"), ("t10k", bytes, "")):
            images = pack(idx([count, 28, 28], pixels))
            (self.folder / f"{part}-images-idx3-ubyte{suffix}").write_bytes(images[: len(images) - cut])
            (self.folder / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx([count], labels)))

    def simulate(self, *more):
        return run(PROGRAM, "simulate", "--ranks", "2", "--out", self.folder / "run", "--path", self.folder, "--batch", "4", "--epochs",
                   "1", "--arch", "mlp:784-32-10", "--block", "32", "--ratio", "4", "--threads", "1", "--no-progress", *more)

    def test_idx_files_plain_and_gzipped_are_read(self):
        self.write_mnist()
        self.assert_works(self.simulate())

    def test_missing_data_says_what_to_do(self):
        self.assert_fails(self.simulate(), 3, "train-images-idx3-ubyte", "dataset-fashion-mnist")

    def test_truncated_images(self):
        self.write_mnist(cut=9)
        self.assert_fails(self.simulate(), 3, "train-images-idx3-ubyte.gz", "cut short")

    def test_plain_images_that_are_cut_name_record_and_offset(self):
        self.write_mnist(cut=9)
        for part in self.folder.glob("train-*"):  # the training files plain, too
            part.unlink()
        images = idx([40, 28, 28], bytes(40 * 784))
        (self.folder / "train-images-idx3-ubyte").write_bytes(images[: 16 + 5 * 784 + 100])
        (self.folder / "train-labels-idx1-ubyte").write_bytes(idx([40], bytes(range(10)) * 4))
        self.assert_fails(self.simulate(), 3, "train-images-idx3-ubyte", f"record 5, offset {16 + 5 * 784 + 100}")

    def test_a_label_out_of_range_names_its_record(self):
        self.write_mnist(bytes(range(9)) + b"\x0b" + bytes(30))
        self.assert_fails(self.simulate(), 3, "label 11", "record 9")

    def test_a_cifar_file_that_is_cut(self):
        (self.folder / "train.bin").write_bytes(bytes(3074 + 100))
        (self.folder / "test.bin").write_bytes(bytes(3074))
        self.assert_fails(self.simulate("--kind", "cifar100"), 3, "train.bin: record 1, offset 3074")

    def test_fewer_samples_than_a_batch_of_every_rank(self):
        self.write_mnist()
        self.assert_fails(self.simulate("--batch", "30"), 2, "20 samples", "batch of 30")
        self.assert_fails(self.simulate("--ranks", "50"), 2, "40 samples, 50 ranks")

    def test_numbers_out_of_range(self):
        self.write_mnist()
        self.assert_fails(self.simulate("--epochs", "1e18"), 2, "1e18", "--epochs")
        self.assert_fails(self.simulate("--deviation=-1"), 2, "data.deviation")

    @unittest.skipIf("asan" in str(BIN), "the sanitizer needs the address space")
    def test_more_ranks_than_threads_end_with_a_word(self):
        self.write_mnist(bytes(range(10)) * 200)
        command = [PROGRAM, "simulate", "--ranks", "2000", "--out", self.folder / "run", "--path", self.folder, "--batch", "1", "--epochs", "1",
                   "--arch", "mlp:784-32-10", "--block", "32", "--ratio", "4", "--threads", "1", "--no-progress"]
        # The stacks of 2,000 threads do not fit into this address space.
        few = run("timeout", "-k", "1", "60", "prlimit", f"--as={6 << 30}", *command)
        self.assert_fails(few, 7, "no thread for rank", "--ranks")

    def test_a_mistake_leaves_the_directory_free(self):
        self.write_mnist()
        self.assert_fails(self.simulate("--arch", "nosuch.pt"), 3, "nosuch.pt")
        self.assert_works(self.simulate())

    def test_a_ratio_that_leaves_no_blocks(self):
        self.write_mnist()
        self.assert_fails(self.simulate("--block", "65536", "--ratio", "64"), 2, "compress.block")

    def test_a_network_that_does_not_fit(self):
        self.write_mnist()
        self.assert_fails(self.simulate("--arch", "mlp:100-10"), 2, "784")
        self.assert_fails(self.simulate("--arch", "wrn-17-1"), 2, "wrn-D-K")

    def test_a_run_that_diverges_names_step_and_tensor(self):
        self.write_mnist()
        result = self.simulate("--lr", "1e30", "--epochs", "20")
        self.assert_fails(result, 5, "step ", "layers.")

    def test_a_run_needs_a_directory_and_a_cpu(self):
        self.assert_fails(run(PROGRAM, "simulate"), 2, "--out")

    def test_ranks_that_disagree_stop_before_the_first_step(self):
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        command = [str(PROGRAM), "train", "--kind", "synthetic", "--synthetic", "100", "--batch", "4", "--epochs", "1", "--arch",
                   "mlp:784-32-10", "--block", "32", "--threads", "1", "--no-progress", "--out", str(self.folder / "run")]
        for differs, key, values in (
                ("--interval $((4 + OMPI_COMM_WORLD_RANK / 2))", "compress.interval", "4 on rank 0, 5 on rank 2"),
                ("--seed $((OMPI_COMM_WORLD_RANK / 2))", "common.seed", "0 on rank 0, 1 on rank 2"),
                ("--lr 0.0$((1 + OMPI_COMM_WORLD_RANK / 2))", "schedule.lr", "0.01 on rank 0, 0.02 on rank 2"),
                ("--synthetic $((100 + OMPI_COMM_WORLD_RANK / 2 * 60))", "data.synthetic", "100 on rank 0, 160 on rank 2")):
            with self.subTest(differs):
                result = run("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3", "bash", "-c", f'exec "$@" --force {differs}',
                             "bash", *command)
                self.assertEqual(result.returncode, 6, result.stderr)
                self.assertIn(f"ranks disagree on {key}: {values}", result.stderr)
                self.assertNotIn('"loss"', (self.folder / "run" / "metrics.jsonl").read_text()
                                 if (self.folder / "run" / "metrics.jsonl").exists() else "")

    def test_ranks_with_other_files_stop_before_the_first_step(self):
        if shutil.which("mpirun") is None:
            self.skipTest("there is no mpirun")
        # One name, but a machine of a rank has another text under it.
        (self.folder / "a").write_bytes(b"some text " * 60)
        (self.folder / "b").write_bytes(b"some_text " * 60)
        command = [str(PROGRAM), "train", "--kind", "text", "--path", str(self.folder / "text"), "--context", "8", "--batch", "4",
                   "--arch", "gpt2:1-8-2", "--block", "32", "--ratio", "4", "--threads", "1", "--no-progress", "--out", str(self.folder / "run")]
        script = (f'if [ $OMPI_COMM_WORLD_RANK = 1 ]; then name=b; else name=a; fi; mount --bind {self.folder}/$name {self.folder}/text; '
                  'exec "$@"')
        (self.folder / "text").write_bytes(b"")
        if run("unshare", "-m", "true").returncode:
            self.skipTest("mount namespaces need root")
        result = run("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", "unshare", "-m", "bash", "-c", script, "bash", *command)
        self.assertEqual(result.returncode, 6, result.stderr)
        self.assertIn("ranks disagree on data:", result.stderr)


if __name__ == "__main__":
    unittest.main()
