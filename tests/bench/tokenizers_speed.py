"""Tokens per second on one core, Orchard and the `tokenizers` package on the same lines, alternating.

  ORCHARD_BUILD_DIR=build/release $(scripts/setup --where oracles)/bin/python tests/bench/tokenizers_speed.py

The text is the source of Python's standard library, the tokenizers are MiniLM's WordPiece and a Llama-3-style byte-level BPE with 8000
tokens trained on the text. Both sides encode line by line; the package gets the lines in batches and one thread.
"""

import json
import os
import pathlib
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers  # noqa: E402

BUILD = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"])
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def corpus(limit=8_000_000):
    text, size = [], 0
    for path in sorted(pathlib.Path(os.__file__).parent.glob("*.py")) + sorted(pathlib.Path(os.__file__).parent.glob("*/*.py")):
        lines = path.read_text(errors="replace").replace("\r", "").split("\n")
        text += [line for line in lines if line]
        size += sum(map(len, lines))
        if size > limit:
            break
    return text


def bert():
    where = subprocess.run([pathlib.Path(__file__).parents[2] / "scripts" / "setup", "--where", "model"], capture_output=True,
                           text=True, check=True).stdout.strip()
    document = json.loads((pathlib.Path(where) / "tokenizer.json").read_text())
    document["truncation"] = document["padding"] = None
    return Tokenizer.from_str(json.dumps(document))


def llama(lines):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.train_from_iterator(lines[:40000], trainers.BpeTrainer(
        vocab_size=8000, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def theirs(tokenizer, lines):
    start, tokens = time.perf_counter(), 0
    for i in range(0, len(lines), 4096):
        tokens += sum(map(len, tokenizer.encode_batch_fast(lines[i:i + 4096], add_special_tokens=False)))
    return tokens, time.perf_counter() - start


def main():
    lines = corpus()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "corpus.txt"
        file.write_text("\n".join(lines) + "\n")
        for name, tokenizer in (("wordpiece", bert()), ("bpe", llama(lines))):
            path = pathlib.Path(folder) / f"{name}.json"
            path.write_text(tokenizer.to_str())
            best = {}
            for _ in range(3):
                out = json.loads(subprocess.run([BUILD / "tests" / "orchard-tokenize", path, "--corpus", file], capture_output=True,
                                                text=True, check=True).stdout)
                tokens, seconds = theirs(tokenizer, lines)
                assert tokens == out["tokens"], (tokens, out)
                best["orchard"] = min(best.get("orchard", 1e9), out["seconds"])
                best["tokenizers"] = min(best.get("tokenizers", 1e9), seconds)
            print(json.dumps({"tokenizer": name, "megabytes": round(file.stat().st_size / 1e6, 1), "tokens": tokens,
                              **{k + "_tokens_per_second": round(tokens / v) for k, v in best.items()},
                              "speedup": round(best["tokenizers"] / best["orchard"], 1)}))


if __name__ == "__main__":
    main()
