"""Runs Orchard's programs and checks what every one of them promises."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["ORCHARD_BIN"])
SOURCE = pathlib.Path(os.environ["ORCHARD_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"])


def run(*arguments, **options):
    """Starts a program (arguments[0]) and waits; text in `stdout` and `stderr`."""
    options.setdefault("timeout", 60)
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        [str(a) for a in arguments], capture_output=True, encoding="utf-8", **options
    )


class ProgramTest(unittest.TestCase):
    def assert_fails(self, result, code, *parts):
        """Exit code `code`, nothing on stdout, one line on stderr that holds all `parts`."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.endswith("\n"))
        for part in parts:
            self.assertIn(part, result.stderr)

    def assert_works(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def json_of(self, result):
        """The one JSON object that is all of stdout."""
        self.assertEqual(result.stdout.count("\n"), 1, result.stdout)
        return json.loads(result.stdout)


class ScratchTest(ProgramTest):
    """With a folder for each test, `dir`."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.dir = pathlib.Path(scratch.name)

    def file(self, name, content):
        path = self.dir / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path
