"""What lemon-expand train and finetune read: text, pictures, labels; and in what precision they compute."""
import gzip
import json
import pathlib
import random
import struct
import tempfile
import unittest
import zlib

from orchard_process import BIN, SOURCE, ProgramTest, run

PROGRAM = BIN / "lemon-expand"
COMMON = ("--threads", "1", "--device", "cpu", "--no-progress", "--json")
SMALL = ("--hidden", "16", "--heads", "2", "--lr", "3e-3", "--batch", "4", "--eval-every", "0")


def png(pixels):
    """A grey picture of 8-bit rows."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(row) for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def bars(label, generator):
    """8 x 8 with a bright bar: upright for label 0, lying for label 1."""
    at = generator.randrange(8)
    return [[255 if (x if label == 0 else y) == at else generator.randrange(40) for x in range(8)] for y in range(8)]


WORDS = ["the", "cat", "dog", "sees", "hears", "a", "bird", "##s", "."]


def word_piece():
    """A tokenizer.json with BERT's special tokens."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: i for i, token in enumerate(special + WORDS)}
    added = [{"id": vocabulary[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for t in special]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": vocabulary},
    }


class TrainInputsTest(ProgramTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.generator = random.Random(7)

    def train(self, out, *arguments):
        result = run(PROGRAM, "train", "--out", self.folder / out, *COMMON, *SMALL, *arguments)
        self.assert_works(result)
        return self.json_of(result)

    def metrics(self, out):
        return [json.loads(line) for line in (self.folder / out / "metrics.jsonl").read_text().splitlines()]

    def sentences(self, count):
        return "\n".join(" ".join(self.generator.choice(WORDS[:7]) for _ in range(6)) + "." for _ in range(count)) + "\n"

    def test_bf16_learns_what_f32_learns(self):
        settings = ("--steps", "40", "--characters", "20000", "--block", "32")
        wide = self.train("f32", *settings)
        narrow = self.train("bf16", *settings, "--precision", "bf16")
        self.assertLess(narrow["valid_loss"], narrow["first_valid_loss"] - 0.5)
        self.assertAlmostEqual(narrow["valid_loss"], wide["valid_loss"], delta=0.1)
        self.assertNotEqual(narrow["valid_loss"], wide["valid_loss"])
        # Weights are kept in f32, whatever the products are.
        config = json.loads((self.folder / "bf16" / "final" / "config.json").read_text())
        self.assertEqual(config.get("dtype", config.get("torch_dtype")), "float32")

    def test_plain_text_by_bytes(self):
        (self.folder / "corpus.txt").write_text(self.sentences(400))
        result = self.train("run", "--data-train", self.folder / "corpus.txt", "--steps", "30", "--block", "24")
        self.assertLess(result["valid_loss"], result["first_valid_loss"])

    def test_plain_text_by_word_pieces_masked(self):
        (self.folder / "corpus.txt").write_text(self.sentences(400))
        (self.folder / "valid.txt").write_text(self.sentences(40))
        (self.folder / "tokenizer.json").write_text(json.dumps(word_piece()))
        result = self.train("run", "--data-kind", "mlm", "--type", "bert", "--data-train", self.folder / "corpus.txt",
                            "--valid", self.folder / "valid.txt", "--tokenizer", self.folder / "tokenizer.json",
                            "--steps", "30", "--block", "16")
        self.assertLess(result["valid_loss"], result["first_valid_loss"])
        # Without the tokenizer's mask there is nothing to predict.
        self.assert_fails(run(PROGRAM, "train", "--out", self.folder / "bytes", *SMALL, "--data-kind", "mlm", "--type", "bert",
                              "--data-train", self.folder / "missing.txt", "--tokenizer", self.folder / "tokenizer.json"),
                          3, "missing.txt")

    def test_idx_pictures(self):
        labels = [i % 2 for i in range(64)]
        pixels = b"".join(bytes(row) for label in labels for row in bars(label, self.generator))
        (self.folder / "t-images-idx3-ubyte.gz").write_bytes(gzip.compress(struct.pack(">IIII", 0x803, 64, 8, 8) + pixels))
        (self.folder / "t-labels-idx1-ubyte.gz").write_bytes(gzip.compress(struct.pack(">II", 0x801, 64) + bytes(labels)))
        images = self.folder / "t-images-idx3-ubyte.gz"
        result = self.train("run", "--data-kind", "image", "--type", "vit", "--data-train", images, "--valid", images,
                            "--patch", "2", "--steps", "150", "--drop-path", "0", "--mixup", "0.2", "--erase", "0.1")
        self.assertGreater(result["valid_top1"], 0.8)

    def test_folders_of_pictures_of_any_size(self):
        for label, name in enumerate(("lying", "upright")):
            (self.folder / "pictures" / name).mkdir(parents=True)
            for i in range(12):
                pixels = bars(1 - label, self.generator)
                if i % 3 == 0:
                    pixels = [row + row[:2] for row in pixels]
                (self.folder / "pictures" / name / f"{i}.png").write_bytes(png(pixels))
        pictures = self.folder / "pictures"
        result = self.train("run", "--data-kind", "image", "--type", "vit", "--data-train", pictures, "--valid", pictures,
                            "--size", "8", "--patch", "4", "--steps", "5")
        self.assertIn("valid_top1", result)
        config = json.loads((self.folder / "run" / "final" / "config.json").read_text())
        self.assertEqual((config["image_size"], config["num_channels"]), ([8, 8], 3))

    def test_finetuning_on_pairs_reports_the_best_epoch(self):
        (self.folder / "tokenizer.json").write_text(json.dumps(word_piece()))
        corpus = self.folder / "corpus.txt"
        corpus.write_text(self.sentences(200))
        self.train("source", "--data-kind", "mlm", "--type", "bert", "--data-train", corpus, "--tokenizer",
                   self.folder / "tokenizer.json", "--steps", "5", "--block", "16")
        rows = ["first\tsecond\tsame"]
        for _ in range(120):
            word = self.generator.choice(["cat", "dog", "bird"])
            other = self.generator.choice(["cat", "dog", "bird"])
            rows.append(f"the {word}\ta {other}\t{'yes' if word == other else 'no'}")
        (self.folder / "pairs.tsv").write_text("\n".join(rows) + "\n")
        result = run(PROGRAM, "finetune", self.folder / "source" / "final", self.folder / "pairs.tsv", "--text-a", "first",
                     "--text-b", "second", "--label", "same", "--tokenizer", self.folder / "tokenizer.json", "--batch", "8",
                     "--lr", "3e-3", "--epochs", "3", "--dropout", "0", "--select", "f1", "--out", self.folder / "tuned", *COMMON)
        self.assert_works(result)
        best = self.json_of(result)["best"]
        self.assertEqual(set(best["scores"]), {"accuracy", "f1", "matthews"})
        self.assertEqual(best["selected"], best["scores"]["f1"])
        seen = [line["f1"] for line in self.metrics("tuned") if "f1" in line and line["step"] > 0]
        self.assertEqual(len(seen), 3)
        self.assertEqual(max(seen), best["selected"])
        config = json.loads((self.folder / "tuned" / "best" / "config.json").read_text())
        self.assertEqual(config["architectures"], ["BertForSequenceClassification"])
        self.assertEqual(config["label2id"], {"no": 0, "yes": 1})
        page = (self.folder / "tuned" / "report.html").read_text()
        self.assertIn("Best validation", page)

    def test_the_shipped_configurations_are_legal(self):
        configs = sorted((SOURCE / "configs" / "lemon-expand").glob("*.toml"))
        self.assertGreater(len(configs), 4)
        for config in configs:
            words = ["finetune", "MODEL", "TEXTS"] if config.name == "glue.toml" else ["train"]
            self.assert_works(run(PROGRAM, *words, "--config", config, "--print-config"))

    def test_finetune_says_what_is_missing(self):
        self.assert_fails(run(PROGRAM, "finetune", "--out", self.folder / "x"), 2, "model")
        (self.folder / "t.csv").write_text("sentence,label\na,1\nb,0\n")
        result = run(PROGRAM, "finetune", self.folder / "nowhere", self.folder / "t.csv", "--out", self.folder / "x")
        self.assertEqual(result.returncode, 3, result.stderr)


if __name__ == "__main__":
    unittest.main()
