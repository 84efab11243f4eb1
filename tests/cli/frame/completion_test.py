"""Bash completion, tried by letting bash complete."""
import pathlib
import shlex
import subprocess
import tempfile
import unittest

from orchard_process import BUILD, ProgramTest

PROBE = BUILD / "tests/probe/bin/probe"

# Loads the script, lays the words out as bash does for a line ending at the cursor, calls the function, prints the candidates.
DRIVER = r"""
source <("$PROBE" --completion bash)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_probe
printf '%s\n' "${COMPREPLY[@]}"
"""


def complete(*words, folder=None):
    """The candidates for the last of `words`, the one before the cursor."""
    result = subprocess.run(
        ["bash", "--norc", "-c", DRIVER, "bash", "probe", *words],
        capture_output=True, text=True, env={"PROBE": str(PROBE), "PATH": "/usr/bin:/bin"},
        cwd=folder, timeout=60, check=True,
    )
    return set(result.stdout.split("\n")) - {""}


class Completion(ProgramTest):
    def test_offers_subcommands(self):
        self.assertEqual(complete("e"), {"echo"})
        self.assertLessEqual({"echo", "fail", "tensor", "--version"}, complete(""))

    def test_offers_flags_of_the_subcommand(self):
        self.assertEqual(complete("echo", "--fl"), {"--flavour"})
        self.assertEqual(complete("fail", "--fl"), set())
        self.assertLessEqual({"--no-json", "--no-progress"}, complete("fail", "--no-"))
        self.assertNotIn("--no-no-progress", complete("fail", "--no-no"))
        self.assertLessEqual({"--config", "--set", "--print-config"}, complete("echo", "--"))

    def test_offers_values_of_enumerations(self):
        self.assertEqual(complete("echo", "--flavour", "s"), {"sweet", "sour"})
        self.assertEqual(complete("echo", "a", "--device", "cu"), {"cuda", "cuda:0"})

    def test_offers_values_after_an_equals_sign(self):
        self.assertEqual(complete("echo", "--flavour", "=", "so"), {"sour"})
        self.assertEqual(complete("echo", "--flavour", "="), {"plain", "sweet", "sour"})

    def test_offers_keys_of_set(self):
        self.assertEqual(complete("echo", "--set", "echo.f"), {"echo.flavour="})

    def test_offers_files_where_paths_go(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ["run.toml", "a b.toml"]:
                (pathlib.Path(folder) / name).touch()
            for words in [["echo"], ["echo", "--plan"], ["echo", "--config"], ["echo", "--out"]]:
                self.assertEqual(complete(*words, "", folder=folder), {"run.toml", "a b.toml"}, words)
            self.assertEqual(complete("echo", "--steps", "", folder=folder), set())

    def test_script_is_valid_and_silent(self):
        result = subprocess.run(
            ["bash", "-n"], input=subprocess.check_output([PROBE, "--completion", "bash"]),
            capture_output=True, timeout=60, check=True,
        )
        self.assertEqual(result.stderr, b"")

    def test_interactive_bash_completes_a_word(self):
        # The whole way once: an interactive bash on a terminal, a Tab in the middle of a line.
        script = f"source <({shlex.quote(str(PROBE))} --completion bash)\n"
        with tempfile.NamedTemporaryFile("w", suffix=".bashrc") as rc:
            rc.write(script + "probe() { printf 'GOT[%s]' \"$@\"; }\nPS1='ready> '\n")
            rc.flush()
            shown = type_into_bash(rc.name, b"probe echo --flav\tsou\t\n", b"GOT[sour]")
        self.assertIn(b"GOT[echo]GOT[--flavour]GOT[sour]", shown)


def type_into_bash(rc, keys, until):
    """What a bash on a pseudo-terminal shows after `keys` are typed, up to `until`."""
    import os
    import pty
    import select
    import time

    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "dumb"
        os.execvp("bash", ["bash", "--noprofile", "--rcfile", rc, "-i"])
    shown, typed, deadline = b"", False, time.monotonic() + 30
    try:
        while time.monotonic() < deadline and until not in shown:
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 4096)
            if not typed and b"ready> " in shown:
                os.write(terminal, keys)
                typed = True
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    return shown


if __name__ == "__main__":
    unittest.main()
