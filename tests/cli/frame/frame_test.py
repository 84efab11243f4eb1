"""The frame, tried on the probe: exit codes, error lines, --json, configuration, the two halves."""
import contextlib
import os
import pathlib
import pty
import shutil
import subprocess
import tempfile
import unittest

from orchard_process import BUILD, ProgramTest, run

PROBE = BUILD / "tests/probe/bin/probe"


class ExitCodes(ProgramTest):
    def test_each_kind_of_failure_has_its_code_and_one_line(self):
        for how, code, line in [
            ("data", 3, "header too long: model.safetensors: offset 8 (fetch it)"),
            ("impossible", 4, "heads do not divide"),
            ("diverged", 5, "loss is not finite: step 3"),
            ("peer", 6, "rank 1 is gone"),
            ("memory", 7, "out of memory"),
            ("tensor-memory", 7, "CUDA out of memory."),
            ("disk", 7, "write: No space left on device"),
            ("interrupted", 75, "stopped: step 3 (run again with --resume)"),
            ("bug", 1, "index 3 of 2"),
            ("integer", 1, "an exception of unknown type"),
            ("lines", 3, "first second"),
        ]:
            with self.subTest(how):
                result = run(PROBE, "fail", how)
                self.assert_fails(result, code)
                self.assertEqual(result.stderr, f"probe: {line}\n")

    def test_usage_is_2(self):
        for arguments, part in [
            ([], "a subcommand is missing"),
            (["ehco"], "did you mean 'echo'?"),
            (["translate"], "use one of echo, fail, tensor, orphan"),
            (["--vresion"], "did you mean '--version'?"),
            (["--seed"], "options stand after the subcommand"),
            (["echo"], "an argument is missing: SOURCE"),
            (["echo", "a", "b"], "one argument too many: 'b'"),
            (["echo", "a", "--stesp", "3"], "did you mean '--steps'?"),
            (["echo", "a", "--steps"], "the flag needs a value: --steps"),
            (["echo", "a", "--steps", "0"], "use an integer >= 1"),
            (["echo", "a", "--device", "gpu"], "unknown device 'gpu'"),
            (["echo", "a", "--threads", "-1"], "use an integer in [0, 4096]"),
            (["echo", "a", "--max-ram", "9999PB"], "too large"),
            (["echo", "a", "--verbose", "--quiet"], "exclude each other"),
            (["--completion", "fish"], "use --completion bash"),
        ]:
            with self.subTest(arguments):
                result = run(PROBE, *arguments)
                self.assert_fails(result, 2, part)
                self.assertTrue(result.stderr.startswith("probe: "))

    def test_a_full_disk_behind_stdout_is_7(self):
        with open("/dev/full", "w") as full:
            result = subprocess.run(
                [PROBE, "echo", "a", "--quiet"], stdout=full, stderr=subprocess.PIPE, text=True
            )
        self.assertEqual(result.returncode, 7)
        self.assertIn("No space left on device", result.stderr)


class Json(ProgramTest):
    def test_errors_are_one_object_on_stdout(self):
        for arguments, code in [(["fail", "data"], 3), (["echo"], 2), (["echo", "a", "--nope"], 2)]:
            result = run(PROBE, *arguments, "--json")
            self.assertEqual(result.returncode, code)
            error = self.json_of(result)
            self.assertEqual(error["exit_code"], code)
            self.assertEqual(result.stderr, f"probe: {error['error']}\n")

    def test_errors_with_a_name_that_is_not_utf8_are_json_still(self):
        result = subprocess.run(
            [PROBE, "echo", b"\xff\xfe", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.assertEqual(result.returncode, 2)
        result.stdout.decode("utf-8")


class Messages(ProgramTest):
    def test_quiet_and_verbose_choose_what_is_logged(self):
        self.assertEqual(run(PROBE, "echo", "a").stderr, "probe: information\n")
        self.assertEqual(run(PROBE, "echo", "a", "--quiet").stderr, "")
        self.assertIn("probe: debug: detail\n", run(PROBE, "echo", "a", "--verbose").stderr)

    def test_the_error_line_clears_the_status_line(self):
        master, slave = pty.openpty()
        subprocess.run([PROBE, "fail", "status"], stderr=slave, check=False)
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # the end of what nobody writes to any more
            while part := os.read(master, 4096):  # all of it: a read gives what has arrived so far
                shown += part
        os.close(master)
        self.assertEqual(shown.decode(), "\r\x1b[K50 %\r\x1b[Kprobe: stopped half way\r\n")

    def test_nothing_is_cleared_where_no_status_line_is(self):
        self.assertNotIn("\x1b", run(PROBE, "fail", "data").stderr)


class Configuration(ProgramTest):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.file = pathlib.Path(self.folder.name) / "run.toml"

    def tearDown(self):
        self.folder.cleanup()

    def test_printed_configuration_fed_back_prints_the_same(self):
        first = self.assert_works(
            run(PROBE, "echo", "a b", "--rates", "1e-300,0.1", "--flavour", "sour", "--seed", "7",
                "--max-ram", "1.5GiB", "--print-config")
        )
        self.file.write_text(first)
        again = run(PROBE, "echo", "--config", self.file, "--print-config")
        self.assertEqual(self.assert_works(again), first)
        # The run sees the same, too.
        self.assertEqual(self.assert_works(run(PROBE, "echo", "--config", self.file)), first)
        for line in ['source = "a b"', "rates = [1e-300, 0.1]", 'flavour = "sour"', "seed = 7",
                     'max_ram = "1.5GiB"', "# how often (an integer >= 1; default 3)"]:
            self.assertIn(line + "\n", first)

    def test_print_config_of_an_incomplete_command_is_a_template(self):
        self.assertIn("# source =\n", self.assert_works(run(PROBE, "echo", "--print-config")))

    def test_later_sources_win(self):
        self.file.write_text("[echo]\nsteps = 5\nflavour = 'sweet'\n")
        second = self.file.with_name("second.toml")
        second.write_text("[echo]\nsteps = 6\n")
        printed = self.assert_works(
            run(PROBE, "echo", "a", "--config", self.file, "--config", second,
                "--set", "echo.rates=1", "--set", "echo.flavour=plain", "--flavour", "sour")
        )
        for line in ["steps = 6", 'flavour = "sour"', "rates = [1.0]"]:
            self.assertIn(line + "\n", printed)

    def test_errors_point_into_the_file(self):
        self.file.write_text("[echo]\nstep = 5\n")
        result = run(PROBE, "echo", "a", "--config", self.file)
        self.assert_fails(result, 2, f"{self.file}:2:1", "did you mean 'echo.steps'?")


class Halves(ProgramTest):
    def test_a_tensor_command_runs_in_the_tensor_half_with_the_same_arguments(self):
        result = run(PROBE, "tensor", "here", "--seed", "5")
        self.assertEqual(result.stdout, "tensor half, here, seed 5\n")
        self.assertEqual(result.returncode, 4)

    def test_arguments_are_checked_before_the_tensor_half_starts(self):
        with tempfile.TemporaryDirectory() as folder:
            alone = pathlib.Path(folder) / "bin/probe"
            alone.parent.mkdir()
            shutil.copy(PROBE, alone)
            self.assert_fails(run(alone, "tensor", "here", "--sead", "5"), 2, "'--seed'")
            self.assertIn("Usage", self.assert_works(run(alone, "tensor", "--help")))

    def test_a_missing_tensor_half_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            alone = pathlib.Path(folder) / "bin/probe"
            alone.parent.mkdir()
            shutil.copy(PROBE, alone)
            self.assert_fails(
                run(alone, "tensor", "here"), 1, f"{folder}/libexec/orchard/probe-tensor", "missing"
            )

    def test_a_command_that_neither_half_runs_ends(self):
        self.assert_fails(run(PROBE, "orphan", "here"), 1, "not built into the tensor half")

    def test_the_program_is_found_through_a_link(self):
        with tempfile.TemporaryDirectory() as folder:
            link = pathlib.Path(folder) / "probe"
            link.symlink_to(PROBE)
            self.assertEqual(run(link, "tensor", "here").returncode, 4)


if __name__ == "__main__":
    unittest.main()
