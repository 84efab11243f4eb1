"""The command line of inspect, plan, expand and finalize: what is printed, what is written, and that the same bytes come out of every way
to ask for the same thing."""
import json
import pathlib
import re
import shlex
import shutil
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from orchard_process import BIN, ProgramTest, run
from small_models import LLAMA, llama_shapes, random_tensors, write_model, write_sharded

PROGRAM = BIN / "lemon-expand"
WIDER = ["--hidden", "40", "--heads", "10", "--kv-heads", "5", "--ffn", "50", "--layers", "3"]
TENSORS = random_tensors(llama_shapes(LLAMA))


def contents(folder):
    """file name -> bytes; what tells how long something took is left out."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in pathlib.Path(folder).rglob("*")
            if path.is_file() and path.name != "report.jsonl"}


def tensors_of(folder):
    """name -> (dtype, shape, bytes) over all files of a model directory."""
    tensors = {}
    for path in pathlib.Path(folder).glob("*.safetensors"):
        data = path.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        for name, entry in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = (8 + size + offset for offset in entry["data_offsets"])
                tensors[name] = (entry["dtype"], entry["shape"], data[begin:end])
    return tensors


class ExpandTest(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.source = write_model(self.folder / "source", LLAMA, TENSORS)

    def expand(self, name, *arguments, source=None):
        """The folder of an expansion that works."""
        self.assert_works(run(PROGRAM, "expand", source or self.source, self.folder / name, "--quiet", *(arguments or WIDER)))
        return self.folder / name


class Output(ExpandTest):
    def test_json_is_the_whole_of_stdout_and_tells_what_was_written(self):
        result = run(PROGRAM, "expand", self.source, self.folder / "target", *WIDER, "--json")
        self.assert_works(result)
        report = self.json_of(result)
        written = tensors_of(self.folder / "target")
        self.assertEqual(report["bytes_written"], sum(len(data) for _, _, data in written.values()))
        self.assertEqual(report["target"], {"hidden": 40, "heads": 10, "kv_heads": 5, "head_dim": 4, "ffn": 50, "layers": 3})
        self.assertTrue(report["finalized"] and report["lossless"])
        self.assertGreater(report["seconds"], 0)

    def test_inspect_and_plan_print_json(self):
        report = self.json_of(run(PROGRAM, "inspect", self.source, "--tensors", "--json"))
        self.assertEqual(report["bytes"], sum(len(data) for _, _, data in TENSORS.values()))
        self.assertEqual({tensor["name"]: tensor["shape"] for tensor in report["tensors"]}, {n: t[1] for n, t in TENSORS.items()})
        plan = self.json_of(run(PROGRAM, "plan", self.source, *WIDER, "--json"))
        expanded = tensors_of(self.expand("target"))
        self.assertEqual(plan["bytes"], sum(len(data) for _, _, data in expanded.values()))

    def test_dry_run_writes_nothing(self):
        before = contents(self.folder)
        result = run(PROGRAM, "expand", self.source, self.folder / "target", *WIDER, "--dry-run", "--json")
        self.assert_works(result)
        self.assertEqual(self.json_of(result)["bytes_written"], 0)
        self.assertEqual(self.json_of(result)["target"]["hidden"], 40)
        self.assertEqual(contents(self.folder), before)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"source"})

    def test_target_is_a_whole_model_directory(self):
        (self.source / "tokenizer.json").write_text('{"a": 1}')
        target = self.expand("target")
        self.assertEqual({path.name for path in target.iterdir()},
                         {"config.json", "model.safetensors", "tokenizer.json", "lemon_expand.json", "report.jsonl"})
        config = json.loads((target / "config.json").read_text())
        for key, value in {"hidden_size": 40, "intermediate_size": 50, "num_attention_heads": 10, "num_key_value_heads": 5,
                           "head_dim": 4, "num_hidden_layers": 3, "vocab_size": 11}.items():
            self.assertEqual(config[key], value, key)
        self.assertAlmostEqual(config["rms_norm_eps"], 1e-6 * 32 / 40, places=15)
        self.assertEqual((target / "tokenizer.json").read_text(), '{"a": 1}')
        report = [json.loads(line) for line in (target / "report.jsonl").read_text().splitlines()]
        self.assertEqual({line["tensor"] for line in report if "tensor" in line}, set(tensors_of(target)))

    def test_every_subcommand_has_an_example_that_is_accepted(self):
        listing = self.assert_works(run(PROGRAM, "--help"))
        for name in ["inspect", "plan", "expand", "finalize"]:
            with self.subTest(name):
                self.assertIn(name, listing)
                text = self.assert_works(run(PROGRAM, name, "--help"))
                example = re.findall(rf"lemon-expand {name} .*", text)[-1]  # the first is the usage
                words = shlex.split(example)
                # --print-config reads the whole command line and goes no further.
                self.assert_works(run(PROGRAM, *words[1:], "--print-config"))


class SameBytes(ExpandTest):
    def setUp(self):
        super().setUp()
        self.expected = contents(self.expand("expected"))

    def assert_same(self, folder):
        self.assertEqual(contents(folder), self.expected)

    def test_from_a_plan_file(self):
        self.assert_works(run(PROGRAM, "plan", self.source, *WIDER, "-o", self.folder / "plan.json"))
        self.assert_same(self.expand("planned", "--plan", self.folder / "plan.json"))

    def test_flags_win_over_the_plan_file(self):
        self.assert_works(run(PROGRAM, "plan", self.source, *WIDER[:-2], "--layers", "4", "-o", self.folder / "plan.json"))
        self.assert_same(self.expand("planned", "--plan", self.folder / "plan.json", "--layers", "3"))

    def test_from_a_printed_configuration(self):
        config = self.folder / "config.toml"
        config.write_text(self.assert_works(run(PROGRAM, "expand", self.source, self.folder / "printed", *WIDER, "--print-config")))
        self.assertFalse((self.folder / "printed").exists())
        self.assert_works(run(PROGRAM, "expand", "--config", config))
        self.assert_same(self.folder / "printed")

    def test_for_any_number_of_threads_and_any_memory(self):
        for arguments in [["--threads", "1"], ["--threads", "2"], ["--threads", "5"], ["--max-ram", "1MiB", "--threads", "4"]]:
            with self.subTest(arguments):
                self.assert_same(self.expand("_".join(arguments), *WIDER, *arguments))

    def test_from_a_sharded_source(self):
        write_sharded(self.folder / "sharded", LLAMA, TENSORS, shards=3)
        self.assertEqual(tensors_of(self.expand("target", *WIDER, source=self.folder / "sharded")), tensors_of(self.folder / "expected"))

    def test_in_other_shards(self):
        self.assertEqual(tensors_of(self.expand("shards", *WIDER, "--shard-size", "8KB")), tensors_of(self.folder / "expected"))
        index = json.loads((self.folder / "shards/model.safetensors.index.json").read_text())
        self.assertEqual(set(index["weight_map"]), set(tensors_of(self.folder / "expected")))
        self.assertEqual({path.name for path in (self.folder / "shards").glob("*.safetensors")}, set(index["weight_map"].values()))

    def test_in_parts_of_any_order(self):
        whole = contents(self.expand("whole", *WIDER, "--shard-size", "4KB"))
        for part in ["2/3", "3/3", "1/3"]:
            self.assert_works(run(PROGRAM, "expand", self.source, self.folder / "parts", *WIDER, "--shard-size", "4KB", "--part", part))
            self.assertFalse((self.folder / "parts").exists())
        shutil.rmtree(self.source)  # the job holds all that the end needs
        self.assert_works(run(PROGRAM, "finalize", self.folder / "parts"))
        self.assertEqual(contents(self.folder / "parts"), whole)
        self.assertFalse((self.folder / "parts.partial").exists())

    def test_another_seed_gives_other_bytes(self):
        self.assertNotEqual(contents(self.expand("seed", *WIDER, "--seed", "1"))["model.safetensors"], self.expected["model.safetensors"])


class Growth(ExpandTest):
    def test_growing_to_the_same_size_copies_every_byte(self):
        self.assertEqual(tensors_of(self.expand("same", "--layers", "2")), TENSORS)

    def test_new_layers_write_nothing_and_old_ones_stay(self):
        target = tensors_of(self.expand("deeper", "--layers", "3"))
        self.assertEqual(target["model.layers.0.mlp.up_proj.weight"], TENSORS["model.layers.0.mlp.up_proj.weight"])
        for name in ["self_attn.o_proj", "mlp.down_proj"]:
            self.assertEqual(set(target[f"model.layers.2.{name}.weight"][2]), {0})

    def test_lesa_predicts_new_layers_and_keeps_old_ones(self):
        config = LLAMA | {"num_hidden_layers": 4}
        tensors = random_tensors(llama_shapes(config))
        source = write_model(self.folder / "four", config, tensors)
        result = run(PROGRAM, "expand", source, self.folder / "lesa", "--method", "lesa", "--layers", "5", "--json", "--no-progress")
        self.assert_works(result)
        self.assertEqual({k["tensor"] for k in self.json_of(result)["lesa"]},
                         {f"model.layers.0.{name}.weight" for name in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                          "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]})
        grown = tensors_of(self.folder / "lesa")
        for layer, old in [(0, 0), (1, 1), (2, 2), (4, 3)]:
            self.assertEqual(grown[f"model.layers.{layer}.mlp.up_proj.weight"], tensors[f"model.layers.{old}.mlp.up_proj.weight"])
        self.assertNotIn(grown["model.layers.3.mlp.up_proj.weight"], tensors.values())
        account = json.loads((self.folder / "lesa/lemon_expand.json").read_text())
        self.assertEqual([layer["new"] for layer in account["layers"]], [False, False, False, True, False])
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"source", "four", "lesa"})  # nothing else is left

    def test_lesa_says_what_it_cannot_do(self):
        self.assert_fails(run(PROGRAM, "expand", self.source, self.folder / "x", "--method", "lesa", "--layers", "3"), 4, "three")
        source = write_model(self.folder / "four", LLAMA | {"num_hidden_layers": 4}, random_tensors(llama_shapes(LLAMA | {"num_hidden_layers": 4})))
        lesa = [PROGRAM, "expand", source, self.folder / "x", "--method", "lesa"]
        self.assert_fails(run(*lesa, "--layers", "5", "--hidden", "32"), 4, "--method lemon")
        self.assert_fails(run(*lesa, "--layers", "8"), 4, "up to 7")
        self.assertFalse((self.folder / "x").exists())

    def test_parts_of_a_doubled_width_sum_to_the_weight(self):
        target = tensors_of(self.expand("wide", "--hidden", "32"))
        for name in ["lm_head.weight", "model.layers.1.mlp.gate_proj.weight"]:
            weights = struct.iter_unpack("<16f", TENSORS[name][2])
            parts = struct.iter_unpack("<32f", target[name][2])
            for row, wide in zip(weights, parts, strict=True):
                self.assertEqual([wide[j] + wide[16 + j] for j in range(16)], list(row))


if __name__ == "__main__":
    unittest.main()
