"""What `lemon-expand finetune` leaves, read by transformers: the same logits, and the scores that the run reported."""

import csv
import json
import os
import random
import subprocess

import pytest
import torch
import transformers as tf
from tokenizers import Tokenizer

from forward_peers import make, max_relative, run_orchard, run_peer

PROGRAM = os.path.join(os.environ["ORCHARD_BUILD_DIR"], "bin", "lemon-expand")
WORDS = ["the", "cat", "dog", "bird", "sees", "hears", "a", "never", "tree", "##s", "."]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = len(SPECIAL) + len(WORDS)
LENGTH = 12  # some pairs are longer

ENCODER = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
               max_position_embeddings=32, pad_token_id=0)
DECODER = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
               num_key_value_heads=2, max_position_embeddings=32, pad_token_id=None, bos_token_id=2, eos_token_id=3)
SOURCES = {
    "bert_with_mlm_head": (tf.BertConfig, "BertForMaskedLM", ENCODER),
    "bert_without_prefix": (tf.BertConfig, "BertModel", ENCODER),
    "roberta": (tf.RobertaConfig, "RobertaForMaskedLM", dict(ENCODER, max_position_embeddings=40)),
    "distilbert": (tf.DistilBertConfig, "DistilBertForMaskedLM", dict(
        vocab_size=VOCABULARY, dim=24, hidden_dim=40, n_layers=2, n_heads=4, max_position_embeddings=32)),
    "gpt2": (tf.GPT2Config, "GPT2LMHeadModel", dict(vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=4, n_positions=32,
                                                    bos_token_id=2, eos_token_id=3)),
    "llama": (tf.LlamaConfig, "LlamaForCausalLM", DECODER),
}


def tokenizer_json():
    vocabulary = {token: i for i, token in enumerate(SPECIAL + WORDS)}
    added = [{"id": vocabulary[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for t in SPECIAL]
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": vocabulary}})


def write_pairs(path, count, regression, seed):
    generator = random.Random(seed)
    rows = []
    for _ in range(count):
        words = [generator.choices(WORDS[:9], k=generator.randrange(1, 9)) for _ in range(2)]
        shared = len(set(words[0]) & set(words[1]))
        rows.append((" ".join(words[0]), " ".join(words[1]), shared / 4 if regression else "some" if shared else "none"))
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("text_a", "text_b", "label"), *rows])
    return rows


def finetune(source, folder, regression):
    (folder / "tokenizer.json").write_text(tokenizer_json())
    write_pairs(folder / "train.csv", 64, regression, 1)
    rows = write_pairs(folder / "valid.csv", 37, regression, 2)
    command = [PROGRAM, "finetune", source, folder / "train.csv", "--valid", folder / "valid.csv", "--tokenizer", folder / "tokenizer.json",
               "--length", str(LENGTH), "--batch", "8", "--epochs", "2", "--lr", "1e-3", "--device", "cpu", "--threads", "1",
               "--out", folder / "run", "--no-progress", "--json"]
    done = subprocess.run([str(c) for c in command] + (["--regression"] if regression else []), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["best"], rows


def encode(folder, rows):
    """The tokens of the `tokenizers` package: pairs cut to LENGTH from the end of the longer text."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH, strategy="longest_first")
    tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    encodings = tokenizer.encode_batch([(a, b) for a, b, _ in rows])
    tokens = {"tokens": [e.ids for e in encodings], "types": [e.type_ids for e in encodings],
              "attention_mask": [e.attention_mask for e in encodings]}
    return {name: torch.tensor(values) for name, values in tokens.items()}


def load(directory):
    model, info = tf.AutoModelForSequenceClassification.from_pretrained(directory, output_loading_info=True, dtype=torch.float64,
                                                                        attn_implementation="eager")
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    return model


@pytest.mark.parametrize("name", SOURCES)
def test_transformers_computes_the_same_logits(name, tmp_path):
    config, kind, settings = SOURCES[name]
    make(config(**settings), kind).float().save_pretrained(tmp_path / "source")
    best, rows = finetune(tmp_path / "source", tmp_path, regression=False)
    model = load(best["model"])
    assert model.config.num_labels == 2 and model.config.label2id == {"none": 0, "some": 1}
    inputs = encode(tmp_path, rows)
    if model.config.model_type in ("gpt2", "llama", "distilbert", "roberta"):
        inputs["types"] = torch.zeros_like(inputs["types"])
    ours = run_orchard(best["model"], inputs, tmp_path)["class_logits"]
    peer = {k: v for k, v in inputs.items() if k != "types" or model.config.model_type == "bert"}
    theirs = run_peer(model, peer).logits
    assert max_relative(ours, theirs) < 1e-10
    truth = [rows[i][2] == "some" for i in range(len(rows))]
    hits = (theirs.argmax(1) == torch.tensor(truth)).double().mean().item()
    assert best["scores"]["accuracy"] == pytest.approx(hits, abs=1e-12)


def test_a_regression_has_the_correlations_that_the_run_reported(tmp_path):
    config, kind, settings = SOURCES["bert_with_mlm_head"]
    make(config(**settings), kind).float().save_pretrained(tmp_path / "source")
    best, rows = finetune(tmp_path / "source", tmp_path, regression=True)
    model = load(best["model"])
    assert model.config.num_labels == 1 and model.config.problem_type == "regression"
    predicted = run_peer(model, encode(tmp_path, rows)).logits[:, 0]
    truth = torch.tensor([row[2] for row in rows], dtype=torch.float64)
    pearson = torch.corrcoef(torch.stack([predicted, truth]))[0, 1].item()
    assert best["scores"]["pearson"] == pytest.approx(pearson, abs=1e-5)  # trained and scored in float32
    loss = torch.nn.functional.mse_loss(predicted, truth).item()
    assert best["loss"] == pytest.approx(loss, rel=1e-5)
