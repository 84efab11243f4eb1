"""What holds for every program in bin/: versions, help, examples, documentation, completion, configuration."""
import os
import re
import subprocess
import tempfile
import unittest

try:
    import tomllib  # a second opinion on TOML, from Python 3.11 on
except ImportError:
    tomllib = None

from orchard_process import BIN, ProgramTest, run

PROGRAMS = sorted(p for p in BIN.iterdir() if p.is_file())


def subcommands(program):
    listing = run(program, "--help").stdout.split("Subcommands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  (\S+)", listing, re.MULTILINE)


class EveryProgram(ProgramTest):
    def test_there_are_programs(self):
        self.assertTrue(PROGRAMS)

    def test_version_names_what_was_built_against(self):
        for program in PROGRAMS:
            text = self.assert_works(run(program, "--version"))
            self.assertRegex(text, rf"^{program.name} \d+\.\d+\.\d+ \([0-9a-z-]+\)\n")
            for library in ["LibTorch", "CUDA", "MPI", "HDF5", "OpenCV"]:
                self.assertRegex(text, rf"\n{library} \S+")

    def test_help_markdown_has_every_subcommand(self):
        for program in PROGRAMS:
            text = self.assert_works(run(program, "--help-markdown"))
            for name in subcommands(program):
                self.assertIn(f"## {program.name} {name}\n", text)

    def test_completion_script_is_valid(self):
        for program in PROGRAMS:
            script = self.assert_works(run(program, "--completion", "bash"))
            subprocess.run(["bash", "-n"], input=script, text=True, check=True)


class EverySubcommand(ProgramTest):
    def check_each(self, check):
        for program in PROGRAMS:
            for name in subcommands(program):
                with self.subTest(f"{program.name} {name}"):
                    check(program, name)

    def test_help_has_usage_and_an_example_whose_words_are_legal(self):
        def check(program, name):
            text = self.assert_works(run(program, name, "--help"))
            self.assertIn(f"Usage: {program.name} {name}", text)
            example = text.rsplit("Example:\n  ", 1)[1].strip()
            self.assertTrue(example.startswith(f"{program.name} {name}"), example)
            # With --print-config nothing runs, but everything is parsed. What stands after -- is another program's.
            words = re.split(r" [>|] ", example)[0].split()
            # From the repository's root, where an example may name a file of configs/.
            self.assert_works(run(program, name, "--print-config", *words[2:], cwd=os.environ["ORCHARD_SOURCE_DIR"]))

        self.check_each(check)

    def test_lines_of_help_fit(self):
        def check(program, name):
            for line in run(program, name, "--help").stdout.splitlines():
                self.assertLessEqual(len(line), 100, line)

        self.check_each(check)

    def test_printed_configuration_is_toml_and_reads_back(self):
        def check(program, name):
            text = self.assert_works(run(program, name, "--print-config", "--seed", "7"))
            self.assertIn("\nseed = 7\n", text)
            if tomllib:
                self.assertEqual(tomllib.loads(text)["common"]["seed"], 7)
            with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
                file.write(text)
                file.flush()
                again = run(program, name, "--config", file.name, "--print-config")
                self.assertEqual(self.assert_works(again), text)

        self.check_each(check)

    def test_an_unknown_flag_is_2_and_names_the_nearest(self):
        def check(program, name):
            self.assert_fails(run(program, name, "--sead", "7"), 2, "did you mean '--seed'?")

        self.check_each(check)


if __name__ == "__main__":
    unittest.main()
