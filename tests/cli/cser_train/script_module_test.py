"""cser-train with a TorchScript module of the user's own: trained, evaluated, written back for torch.jit.load."""
import json
import pathlib
import subprocess
import tempfile
import textwrap
import unittest

from orchard_process import BIN, SOURCE, ProgramTest, run

PROGRAM = BIN / "cser-train"
SYNTHETIC = ["--kind", "synthetic", "--synthetic", "400"]

# The built-in perceptron with the weights of a file, and a network with all that modules have.
MODULES = """
    import sys, torch, safetensors.torch as st
    from torch import nn
    from torch.nn import functional as F

    class Perceptron(nn.Module):
        def __init__(self, sizes):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        def forward(self, x):
            x = x.flatten(1)
            for i, layer in enumerate(self.layers):
                x = layer(x) if i == 0 else layer(F.relu(x))
            return x

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6)
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
            self.second.weight = self.first.weight                       # tied
            self.frozen = nn.Parameter(torch.full((6,), 0.5), requires_grad=False)
            self.head = nn.Linear(6, 10)
            self.head.weight = nn.Parameter(torch.randn(6, 10).t() * 0.3)  # strides of its own
        def forward(self, x):
            x = self.norm(self.conv(x)).relu().mean((2, 3)) * self.frozen
            return self.head(self.second(self.first(x).relu()))
"""


class ScriptModuleTest(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        python = run(SOURCE / "scripts" / "setup", "--where", "oracles")
        if python.returncode:
            self.skipTest("there is no oracle environment (scripts/setup --oracles)")
        self.interpreter = python.stdout.strip() + "/bin/python"

    def python(self, text, *arguments):
        script = self.folder / "script.py"  # TorchScript reads the source of what it compiles
        script.write_text(textwrap.dedent(MODULES) + textwrap.dedent(text))
        done = subprocess.run([self.interpreter, script, *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def train(self, arch, out, *more):
        return run(PROGRAM, "simulate", "--ranks", "2", *SYNTHETIC, "--arch", arch, "--batch", "8", "--epochs", "2", "--block", "32", "--ratio", "4",
                   "--threads", "1", "--no-progress", "--lr", "0.02", "--out", out, *more)

    def odd(self):
        self.python("torch.manual_seed(1); torch.jit.script(Odd()).save(sys.argv[1])", self.folder / "odd.pt")
        return self.folder / "odd.pt"

    def test_a_module_trains_as_the_same_network_built_in(self):
        arch, start = "mlp:784-16-10", self.folder / "start"
        # A learning rate of nothing leaves the weights where they began.
        self.assert_works(self.train(arch, start, "--max-steps", "1", "--lr", "1e-30"))
        self.python("m = Perceptron([784, 16, 10]); m.load_state_dict(st.load_file(sys.argv[1])); torch.jit.script(m).save(sys.argv[2])",
                    start / "final" / "model.safetensors", self.folder / "own.pt")
        self.assert_works(self.train(arch, self.folder / "built-in"))
        self.assert_works(self.train(self.folder / "own.pt", self.folder / "own"))
        self.python("a, b, s = (st.load_file(p) for p in sys.argv[1:]); assert a.keys() == b.keys(); "
                    "assert all(torch.equal(a[k], b[k]) for k in a); assert not any(torch.equal(a[k], s[k]) for k in a)",
                    *(self.folder / run / "final" / "model.safetensors" for run in ("built-in", "own", "start")))

    def test_statistics_frozen_and_tied_weights_keep_their_nature(self):
        module, out = self.odd(), self.folder / "run"
        self.assert_works(self.train(module, out, "--block", "8"))
        # 9 x 6 + 6, 12, 36 + 6, 6, 60 + 10: the tied weight once, the frozen one not at all.
        self.assertEqual(json.loads((out / "summary.json").read_text())["result"]["parameters"], 190)
        self.assert_works(run(PROGRAM, "export", out, self.folder / "trained.pt", "--module", module))
        self.python("""
            a, b, stored = torch.jit.load(sys.argv[1]), torch.jit.load(sys.argv[2]), st.load_file(sys.argv[3])
            assert torch.equal(b.frozen, torch.full((6,), 0.5)) and not torch.equal(a.norm.running_mean, b.norm.running_mean)
            assert torch.equal(b.first.weight, b.second.weight) and not torch.equal(a.first.weight, b.first.weight)
            assert torch.equal(b.head.weight, stored["head.weight"]) and "second.weight" not in stored
            assert b.eval()(torch.randn(2, 1, 28, 28)).shape == (2, 10)
            """, module, self.folder / "trained.pt", out / "final" / "model.safetensors")
        scores = json.loads(self.assert_works(run(PROGRAM, "eval", out / "final", *SYNTHETIC, "--json")))
        self.assertEqual(scores["top1"], json.loads((out / "summary.json").read_text())["result"]["top1"])

    def test_what_cannot_be_trained_is_refused(self):
        def refused(name, *texts):
            self.assert_fails(self.train(self.folder / name, self.folder / "run", "--force"), 3, *texts)

        (self.folder / "text.pt").write_text("no module")
        refused("text.pt", "no TorchScript module", "text.pt")
        refused("none.pt", "no such file", "none.pt")
        self.python("""
            torch.jit.freeze(torch.jit.script(Odd()).eval()).save(sys.argv[1] + "/frozen.pt")
            torch.jit.script(Odd().double()).save(sys.argv[1] + "/double.pt")
            torch.jit.script(Perceptron([784, 16, 7])).save(sys.argv[1] + "/seven.pt")
            torch.jit.script(Perceptron([700, 16, 10])).save(sys.argv[1] + "/narrow.pt")
            """, self.folder)
        refused("frozen.pt", "no parameter to train")
        refused("double.pt", "another type than f32", "model.float()")
        refused("seven.pt", "gives 8x7", "logits 8x10 are wanted")
        refused("narrow.pt", "fails for images 8x1x28x28", "shapes cannot be multiplied")


if __name__ == "__main__":
    unittest.main()
