"""Hostile checkpoints, configurations and requests: the right exit code, one line that names the place, quickly, nothing left behind."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from orchard_process import BIN, ProgramTest, run
from small_models import (BERT, LLAMA, bert_shapes, layout, llama_shapes, random_tensors, safetensors, write_model, write_sharded,
                          write_weights)

PROGRAM = BIN / "lemon-expand"
LLAMA_TENSORS = random_tensors(llama_shapes(LLAMA))
BERT_TENSORS = random_tensors(bert_shapes(BERT))
DATA = b"".join(data for _, _, data in LLAMA_TENSORS.values())
WIDER = ["--hidden", "32", "--heads", "8", "--kv-heads", "4", "--ffn", "48"]
SECONDS = float(os.environ.get("ORCHARD_BAD_INPUT_SECONDS", "2"))


def files_under(folder):
    return {str(path.relative_to(folder)) for path in pathlib.Path(folder).rglob("*")}


class BadInputTest(ProgramTest):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.source, self.target = self.folder / "source", self.folder / "target"

    def llama(self, config=None, tensors=None):
        shutil.rmtree(self.source, ignore_errors=True)
        return write_model(self.source, LLAMA | (config or {}), tensors or LLAMA_TENSORS)

    def weights(self, content):
        self.source.mkdir()
        (self.source / "config.json").write_text(json.dumps(LLAMA))
        (self.source / "model.safetensors").write_bytes(content)

    def assert_refused(self, code, *parts, arguments=None, command="expand", **options):
        """The command fails as said in time, and the folder is as it was."""
        before = files_under(self.folder)
        paths = [self.source] if command in ("inspect", "plan") else [self.source, self.target]
        begin = time.monotonic()
        result = run(PROGRAM, command, *paths, *(WIDER if arguments is None else arguments), **options)
        self.assertLess(time.monotonic() - begin, SECONDS)
        self.assert_fails(result, code, *parts)
        self.assertTrue(result.stderr.startswith("lemon-expand: "), result.stderr)
        self.assertEqual(files_under(self.folder), before)
        return result.stderr

    def assert_works_once_allowed(self, *arguments):
        self.assert_works(run(PROGRAM, "expand", self.source, self.target, *arguments))
        self.assertTrue((self.target / "config.json").exists())


class Headers(BadInputTest):
    """What is wrong with the file format itself: every subcommand that opens it says the same."""

    def assert_damaged(self, content, *parts):
        self.weights(content)
        for command, arguments in [("inspect", []), ("plan", WIDER), ("expand", WIDER)]:
            with self.subTest(command):
                self.assert_refused(3, "model.safetensors", *parts, command=command, arguments=arguments)

    def with_header(self, change):
        entries = layout(LLAMA_TENSORS)
        change(entries)
        return safetensors(entries, DATA)

    def test_empty_file(self):
        self.assert_damaged(b"")

    def test_header_length_zero(self):
        self.assert_damaged(struct.pack("<Q", 0) + b"{}")

    def test_header_length_2_to_the_63(self):
        self.assert_damaged(struct.pack("<Q", 1 << 63) + b"{}")

    def test_header_past_the_end(self):
        self.assert_damaged(struct.pack("<Q", 1 << 20) + b"{}")

    def test_header_that_is_no_json(self):
        self.assert_damaged(safetensors('{"a": {"dtype": "F32", ', b""))

    def test_overlapping_tensors(self):
        self.assert_damaged(self.with_header(lambda h: h["model.norm.weight"].update(data_offsets=[0, 64])), "tensor")

    def test_hole_between_tensors(self):
        self.assert_damaged(self.with_header(lambda h: h.pop("model.layers.0.mlp.up_proj.weight")), "offset")

    def test_offsets_past_the_end(self):
        content = safetensors(layout(LLAMA_TENSORS), DATA[:-4])
        self.assert_damaged(content, "model.norm.weight")

    def test_offsets_beyond_64_bits(self):
        self.assert_damaged(
            self.with_header(lambda h: h["model.norm.weight"].update(data_offsets=[0, 1 << 70])), "model.norm.weight")

    def test_bytes_behind_the_last_tensor(self):
        self.assert_damaged(safetensors(layout(LLAMA_TENSORS), DATA + b"\0" * 8), "offset")

    def test_duplicate_keys(self):
        entry = '"twice": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
        self.assert_damaged(safetensors("{" + entry + ", " + entry + "}", b"\0" * 4), "twice")

    def test_dtype_that_lies_about_the_bytes(self):
        self.assert_damaged(self.with_header(lambda h: h["lm_head.weight"].update(dtype="F64")), "lm_head.weight")

    def test_shape_whose_product_overflows(self):
        self.assert_damaged(self.with_header(lambda h: h["lm_head.weight"].update(shape=[1 << 40, 1 << 40])), "lm_head.weight")

    def test_negative_extent(self):
        self.assert_damaged(self.with_header(lambda h: h["lm_head.weight"].update(shape=[-11, -16])), "lm_head.weight")

    def test_dtype_that_does_not_exist(self):
        self.assert_damaged(self.with_header(lambda h: h["lm_head.weight"].update(dtype="F33")), "lm_head.weight")


class Shards(BadInputTest):
    def setUp(self):
        super().setUp()
        self.index = write_sharded(self.source, LLAMA, LLAMA_TENSORS)

    def write_index(self, weight_map):
        (self.source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    def test_missing_shard(self):
        (self.source / "model-00002-of-00002.safetensors").unlink()
        self.assert_refused(3, "1 of 2 shards missing", "model-00002-of-00002.safetensors")

    def test_index_that_names_other_tensors(self):
        self.write_index(self.index | {"model.extra.weight": "model-00001-of-00002.safetensors"})
        self.assert_refused(3, "model-00001-of-00002.safetensors", "model.extra.weight")

    def test_tensor_that_the_index_leaves_out(self):
        self.write_index({name: file for name, file in self.index.items() if name != "model.norm.weight"})
        self.assert_refused(3, "model.norm.weight")

    def test_path_out_of_the_directory(self):
        for path in ["../secret.safetensors", "/etc/passwd", "a\0b", ".."]:
            with self.subTest(path):
                self.write_index(self.index | {"lm_head.weight": path})
                self.assert_refused(3, "model.safetensors.index.json", "lm_head.weight")

    def test_index_that_is_no_index(self):
        for text in ["[]", "{}", '{"weight_map": []}', '{"weight_map": {}}', "{", '{"weight_map": {"a": 3}}']:
            with self.subTest(text):
                (self.source / "model.safetensors.index.json").write_text(text)
                self.assert_refused(3, "model.safetensors.index.json")


class Weights(BadInputTest):
    """Files in good form whose tensors are not those of the configuration."""

    def test_fp8_and_quantised_weights(self):
        data = bytes(11 * 16)
        self.llama(tensors=LLAMA_TENSORS | {"lm_head.weight": ("F8_E4M3", [11, 16], data)})
        self.assert_refused(4, "lm_head.weight", "dequantise")
        shutil.rmtree(self.source)
        self.llama(tensors=LLAMA_TENSORS | {"model.layers.0.mlp.up_proj.qweight": ("I32", [1], bytes(4))})
        self.assert_refused(4, "up_proj.qweight", "dequantise")

    def test_nan_and_infinity(self):
        for name, value in [("lm_head.weight", "nan"), ("model.norm.weight", "inf"), ("model.embed_tokens.weight", "-inf"),
                            ("model.layers.1.mlp.down_proj.weight", "nan")]:
            with self.subTest(name):
                dtype, shape, data = LLAMA_TENSORS[name]
                self.llama(tensors=LLAMA_TENSORS | {name: (dtype, shape, data[:-4] + struct.pack("<f", float(value)))})
                self.assert_refused(3, "model.safetensors", name, "NaN or infinity", "--allow-nonfinite")
                self.assert_works_once_allowed(*WIDER, "--allow-nonfinite")
                shutil.rmtree(self.target)

    def test_unknown_tensors_are_listed(self):
        extra = {name: ("F32", [1], bytes(4)) for name in ["model.layers.0.adapter.weight", "zeta"]}
        self.llama(tensors=LLAMA_TENSORS | extra)
        self.assert_refused(3, "2 unknown tensors", "model.layers.0.adapter.weight", "zeta", "--arch-map")

    def test_unknown_tensor_of_a_hostile_name(self):
        self.llama(tensors=LLAMA_TENSORS | {"a\nb\x1b[31m": ("F32", [1], bytes(4))})
        self.assertNotIn("\x1b", self.assert_refused(3, "unknown tensor"))

    def test_missing_tensor(self):
        for name in ["model.norm.weight", "model.layers.1.self_attn.k_proj.weight"]:
            with self.subTest(name):
                self.llama(tensors={n: t for n, t in LLAMA_TENSORS.items() if n != name})
                self.assert_refused(3, "missing", name)
                shutil.rmtree(self.source)

    def test_layer_that_the_configuration_lacks(self):
        self.llama({"num_hidden_layers": 1})
        self.assert_refused(3, "model.layers.1.", "1 layers")

    def test_wrong_shape(self):
        for name, shape in [("lm_head.weight", [16, 11]), ("model.norm.weight", [4, 4]), ("model.layers.0.mlp.up_proj.weight", [384])]:
            with self.subTest(name):
                self.llama(tensors=LLAMA_TENSORS | {name: ("F32", shape, LLAMA_TENSORS[name][2])})
                self.assert_refused(3, "model.safetensors", name, "shape")
                shutil.rmtree(self.source)

    def test_weights_of_whole_numbers(self):
        dtype, shape, data = LLAMA_TENSORS["lm_head.weight"]
        self.llama(tensors=LLAMA_TENSORS | {"lm_head.weight": ("I32", shape, data)})
        self.assert_refused(4, "lm_head.weight")

    def test_file_that_may_not_be_read(self):
        self.llama()
        (self.source / "model.safetensors").chmod(0)
        if os.access(self.source / "model.safetensors", os.R_OK):
            (self.source / "model.safetensors").unlink()
            (self.source / "model.safetensors").mkdir()  # root may read anything but a folder
        self.assert_refused(3, "model.safetensors")

    def test_source_that_is_not_there(self):
        self.assert_refused(3, str(self.source))

    def test_folder_without_weights(self):
        self.source.mkdir()
        (self.source / "config.json").write_text(json.dumps(LLAMA))
        self.assert_refused(3, str(self.source))

    def test_link_in_a_circle(self):
        self.llama()
        (self.source / "model.safetensors").unlink()
        (self.source / "model.safetensors").symlink_to("model.safetensors")
        self.assert_refused(3, "model.safetensors")


class Configurations(BadInputTest):
    def assert_config_refused(self, text, *parts, code=3):
        self.llama()
        (self.source / "config.json").write_text(text if isinstance(text, str) else json.dumps(LLAMA | text))
        self.assert_refused(code, *parts)
        shutil.rmtree(self.source)

    def test_missing(self):
        self.llama()
        (self.source / "config.json").unlink()
        self.assert_refused(3, "config.json", str(self.source))

    def test_not_json_or_not_an_object(self):
        for text in ["", "{", "[]", "3", '{"model_type": "llama",}', "[" * 100000, '{"model_type": "llama", "model_type": "llama"}']:
            with self.subTest(text[:20]):
                self.assert_config_refused(text, "config.json")

    def test_unknown_model_type(self):
        self.assert_config_refused({"model_type": "resnext"}, "resnext", "--arch-map", code=4)

    def test_model_type_that_is_no_name(self):
        for value in [None, 3, ["llama"], {}]:
            with self.subTest(value):
                self.assert_config_refused({"model_type": value}, "model_type", "config.json")

    def test_sizes_that_are_no_positive_whole_numbers(self):
        for key in ["hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim", "num_hidden_layers"]:
            for value in [0, -4, 1.5, "16", [], True, 1e300, 1 << 63, 1 << 64] if key == "hidden_size" else [0, 1.5, 1 << 63]:
                with self.subTest(f"{key} = {value}"):
                    self.assert_config_refused({key: value}, key, "config.json")

    def test_huge_sizes_cost_nothing(self):
        for key in ["hidden_size", "intermediate_size", "num_hidden_layers", "head_dim"]:
            with self.subTest(key):
                self.assert_config_refused({key: 1_000_000_000})
        with self.subTest("heads"):
            self.assert_config_refused({"num_attention_heads": 1_000_000_000, "num_key_value_heads": 1_000_000_000})

    def test_heads_that_do_not_divide(self):
        self.assert_config_refused({"num_attention_heads": 3, "head_dim": None}, "num_attention_heads", "config.json")
        self.assert_config_refused({"num_key_value_heads": 3}, "num_key_value_heads", "config.json")

    def test_epsilon_that_is_no_number(self):
        for value in ["1e-6", -1, []]:
            with self.subTest(value):
                self.assert_config_refused({"rms_norm_eps": value}, "rms_norm_eps", "config.json")

    def test_setting_that_is_not_supported(self):
        write_model(self.source, BERT | {"position_embedding_type": "relative_key"}, BERT_TENSORS)
        self.assert_refused(4, "position_embedding_type", "relative_key", arguments=["--hidden", "32"])


class Requests(BadInputTest):
    """Targets that cannot be, and files of the user's that are damaged."""

    def setUp(self):
        super().setUp()
        self.llama()

    def test_smaller_target(self):
        for flag, value in [("--hidden", 8), ("--heads", 2), ("--kv-heads", 1), ("--ffn", 8), ("--layers", 1)]:
            with self.subTest(flag):
                self.assert_refused(2, flag, "smaller", arguments=[flag, value])

    def test_huge_target_costs_nothing(self):
        for arguments in [["--hidden", 1 << 40], ["--heads", 1 << 40], ["--ffn", 1 << 40], ["--layers", 1 << 40],
                          ["--hidden", 1 << 62, "--heads", 1 << 61, "--kv-heads", 1 << 60]]:
            with self.subTest(arguments):
                self.assert_refused(4, arguments=arguments)

    def test_post_norm_width_that_is_no_multiple(self):
        shutil.rmtree(self.source)
        write_model(self.source, BERT, BERT_TENSORS)
        self.assert_refused(4, "multiples of 16", "16 or 32", "--allow-lossy", arguments=["--hidden", "24"])
        self.assert_works_once_allowed("--hidden", "24", "--allow-lossy")

    def test_groups_that_lose_a_head(self):
        # Each key-value head serves 4 query heads; where one has no copy and only 3, the fourth is lost.
        config = LLAMA | {"num_attention_heads": 8, "head_dim": 2}
        self.llama(config, random_tensors(llama_shapes(config)))
        for heads, kv_heads in [(9, 3), (10, 4)]:
            with self.subTest(f"{heads} heads, {kv_heads} key-value heads"):
                self.assert_refused(4, f"{heads} heads with {kv_heads} key-value heads", "nearest legal",
                                    arguments=["--hidden", "90", "--heads", heads, "--kv-heads", kv_heads])

    def test_heads_that_the_loader_refuses(self):
        self.assert_refused(4, "nearest legal --hidden: 24", "--allow-odd-heads",
                            arguments=["--hidden", "22", "--heads", "8", "--kv-heads", "4"])
        self.assert_works_once_allowed("--hidden", "22", "--heads", "8", "--kv-heads", "4", "--allow-odd-heads")

    def test_depth_that_llama_pro_cannot_place(self):
        self.assert_refused(4, "llama-pro", "legal --layers", arguments=["--method", "llama-pro", "--layers", "7"])

    def test_destination_that_exists(self):
        self.target.mkdir()
        (self.target / "precious").write_text("data")
        self.assert_refused(2, str(self.target), "--force")
        self.assert_works_once_allowed(*WIDER, "--force")
        self.assertFalse((self.target / "precious").exists())

    def test_destination_that_is_the_source_or_inside_it(self):
        for inside in [self.source, self.source / "bigger"]:
            with self.subTest(inside):
                self.target = inside
                self.assert_refused(2, str(inside), arguments=[*WIDER, "--force"])

    def test_unfinished_expansion_is_left_over(self):
        self.leave_unfinished()
        before = self.contents()
        self.assert_refused(2, "target.partial", "--resume")
        self.assertEqual(self.contents(), before)
        self.assert_works_once_allowed(*WIDER, "--force")

    def test_resuming_another_expansion(self):
        self.leave_unfinished()
        self.assert_refused(2, "target.partial", "another expansion", arguments=[*WIDER, "--seed", "5", "--resume"])

    def leave_unfinished(self):
        self.assert_works(run(PROGRAM, "expand", self.source, self.target, *WIDER, "--shard-size", "4KB", "--part", "1/2"))

    def contents(self):
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}

    def test_part_that_is_none(self):
        for part in ["0/3", "4/3", "1", "1/", "a/b", "-1/2", "1/2x", "99999999999999999999/3", ""]:
            with self.subTest(part):
                self.assert_refused(2, "--part", arguments=[*WIDER, "--part", part])

    def test_finalize_without_all_shards(self):
        self.leave_unfinished()
        self.check_finalize(3, "target.partial", "shards are missing", ".safetensors")

    def test_finalize_without_an_expansion(self):
        self.check_finalize(3, "target.partial")

    def test_finalize_of_a_damaged_job(self):
        for text in ["", "{}", "[]", '{"shards": 3}', '{"shards": [], "expansion": 3}', '{"shards": [{"file": "../x"}]}']:
            with self.subTest(text):
                (self.folder / "target.partial").mkdir(exist_ok=True)
                (self.folder / "target.partial/job.json").write_text(text)
                self.check_finalize(3, "job.json")

    def check_finalize(self, code, *parts):
        before = files_under(self.folder)
        self.assert_fails(run(PROGRAM, "finalize", self.target), code, *parts)
        self.assertEqual(files_under(self.folder), before)

    def test_too_little_memory(self):
        self.assert_refused(2, "--max-ram", arguments=[*WIDER, "--max-ram", "1KB"])

    def test_bad_plan_file(self):
        plan = self.folder / "plan.json"
        for text in ["", "[]", "{}", '{"target": 3}', '{"target": {"hidden": "32"}}', '{"target": {"hidden": 1.5}}',
                     '{"target": {"heads": null}}']:
            with self.subTest(text):
                plan.write_text(text)
                self.assert_refused(3, "plan.json", arguments=["--plan", plan])
        self.assert_refused(3, "absent.json", arguments=["--plan", self.folder / "absent.json"])

    def test_bad_slices(self):
        slices = self.folder / "slices.yaml"
        for text in ["", "- 3", "slices: 3", "slices: []", "slices: [{sources: []}]", "slices: [{sources: [{layer_range: [0, 9]}]}]",
                     "slices: [{sources: [{layer_range: [1, 1]}]}]", "slices: [{sources: [{layer_range: [a, b]}]}]", "slices: [",
                     "slices: [{sources: [{layer_range: [0, 2], parameters: {scale: .nan}}]}]", "a: &a [*a, *a]"]:
            with self.subTest(text):
                slices.write_text(text)
                self.assert_refused(3, "slices.yaml", arguments=["--method", "slices", "--slices", slices])
        self.assert_refused(2, "--slices", arguments=["--method", "slices"])

    def test_bad_architecture_table(self):
        table = self.folder / "table.json"
        for text in ["", "[]", "{}", '{"model_type": 3}']:
            with self.subTest(text):
                table.write_text(text)
                self.assert_refused(3, "table.json", arguments=[*WIDER, "--arch-map", table])

    def test_destination_that_cannot_be_written(self):
        (self.folder / "file").write_text("")
        self.target = self.folder / "file" / "target"
        self.assert_refused(7, "target")

    def test_disk_that_is_too_small(self):
        with small_disk(self, "64k") as disk:
            self.target = disk / "target"
            begin = time.monotonic()
            result = run(PROGRAM, "expand", self.source, self.target, *WIDER, "--hidden", "256", "--ffn", "512")
            self.assertLess(time.monotonic() - begin, SECONDS)
            self.assert_fails(result, 7, "disk full", "bytes needed", str(self.target))
            self.assertEqual(files_under(disk), set())

    def test_disk_that_is_full(self):
        with small_disk(self, "64k") as disk:
            with open(disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
                while filler.write(bytes(4096)):
                    pass
            self.target = disk / "target"
            self.assert_fails(run(PROGRAM, "expand", self.source, self.target, *WIDER), 7, "space")
            self.assertEqual(files_under(disk), {"filler"})


@contextlib.contextmanager
def small_disk(test, size):
    if os.geteuid() != 0:
        test.skipTest("mounting a small disk needs root")
    disk = test.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        test.skipTest("cannot mount a small disk: " + mounted.stderr.strip())
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


class Interruption(BadInputTest):
    def test_termination_keeps_finished_shards_and_resume_gives_the_same_bytes(self):
        config = LLAMA | {"hidden_size": 256, "intermediate_size": 1024, "head_dim": 64}
        shapes = llama_shapes(config)
        tensors = {name: ("F32", shape, bytes_of(name, shape)) for name, shape in sorted(shapes.items())}
        write_model(self.source, config, tensors)
        growth = ["--hidden", "1024", "--heads", "16", "--kv-heads", "8", "--ffn", "4096", "--layers", "4", "--shard-size", "20MB",
                  "--threads", "1"]
        whole = self.folder / "whole"
        self.assert_works(run(PROGRAM, "expand", self.source, whole, *growth))

        process = subprocess.Popen([PROGRAM, "expand", self.source, self.target, *growth, "--no-progress"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        partial = self.folder / "target.partial"
        while not list(partial.glob("shard-*.jsonl")) and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 75, error)
        self.assertEqual(error.count("\n"), 1, error)
        self.assertIn("--resume", error)
        self.assertFalse(self.target.exists())
        self.assertEqual(list(partial.glob("*.safetensors.partial")), [])
        result = run(PROGRAM, "expand", self.source, self.target, *growth, "--resume", "--json", "--no-progress")
        self.assert_works(result)
        self.assertGreater(self.json_of(result)["shards_kept"], 0)
        for path in whole.glob("*"):
            if path.name != "report.jsonl":  # holds times
                self.assertEqual((self.target / path.name).read_bytes(), path.read_bytes(), path.name)
        self.assertFalse(partial.exists())


def bytes_of(name, shape):
    """Ordinary weights, written faster than drawn: one row of a small pattern again and again."""
    count = 1
    for extent in shape:
        count *= extent
    pattern = struct.pack("<64f", *((1.0 if "norm" in name else 0.0) + 0.01 * ((k * 37 + len(name)) % 31 - 15) for k in range(64)))
    return (pattern * (count // 64 + 1))[:4 * count]


if __name__ == "__main__":
    unittest.main()
