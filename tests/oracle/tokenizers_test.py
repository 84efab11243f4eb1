"""Tokenizers against the `tokenizers` package: every id, type, mask and decoded text must be equal."""

import json
import os
import pathlib
import random
import subprocess
import sys

import pytest
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        processors, trainers)

BUILD = pathlib.Path(os.environ["ORCHARD_BUILD_DIR"])
SOURCE = pathlib.Path(os.environ["ORCHARD_SOURCE_DIR"])

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")

NASTY = [
    "", " ", "\n", "  \t\n ", "a", "Hello, world!", "don't DON'T we'Ll I'M y'all'd've it'S 'ſ x'ſy 'K",
    "北京大学生前来应聘", "日本語のテキスト、カタカナとｶﾀｶﾅ", "한국어 텍스트", "각", "𠀀𪜀 豈",
    "café naïve Ångström ÀÉÎÕÜ", "cafe\u0301 a\u0300\u0323\u0301b", "\u0301start", "Ạ̈ ạ̈", "İstanbul ΣΊΣΥΦΟΣ ẞ ǅ",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ❤️ 🇩🇪", "a\u200db\u200cc\u00adde\ufeff", "\x00\x01\x02\x1f\x7f\x80\x9f", "a\x0bb\x0cc\x85d\u2028e\u2029f",
    "שָׁלוֹם עולם", "مرحبا بالعالم ١٢٣", "\u202eabc\u202c", "हिन्दी पाठ क्षेत्र", "ไทยไม่มีช่องว่าง", "x" * 99, "x" * 100, "x" * 101,
    "é" * 101, "w" * 5000, "a " * 300, "   leading", "trailing   ", "a    b\t\tc \n \n d\r\n\r\ne", "1234567890 3.14 1,000,000 ½ Ⅷ ²",
    "foo_bar-baz@qux.com https://x.y/z?a=b&c#d", "$100 €5 £3 ¥ 100%", "...!!!???——“quoted”‘single’«guillemets»", "[CLS] [MASK] [SEP][PAD] [UNK]",
    " [MASK] ", "a[MASK]b [mask]", "##ing ##", "<s></s><mask> <|endoftext|><|im_start|>user\n", "\u00a0nbsp\u3000wide\u2003em",
    "ﬁ ﬂ ﬃ Ⅳ ㎏ ①", "ℌ𝔢𝔩𝔩𝔬 𝟘𝟙", "a\ufffdb", "tab\tsep", "newline\n", "\r", "\r\n", " \n", "\n ", "a \n b", "! \n\n!", "don\u2019t",
    "\U0001F9D1\u200D\U0001F680", "\U000E0041\U000E0042", "\ue000\uf8ff", "\uffff\U0010ffff", "\u0378\u0530", "Zalgo: h̷̡̛e̸̢l̶̰l̵o̴",
]


def corpus():
    """Text in several scripts for training, made of this file, the pinned packages' sources and the nasty strings."""
    texts = [pathlib.Path(__file__).read_text(), *NASTY]
    for name in ("json", "random", "subprocess"):
        texts.append(pathlib.Path(sys.modules[name].__file__).read_text())
    return texts


def random_texts(seed, count):
    """Random strings over mixed alphabets, long and short, with runs."""
    rng = random.Random(seed)
    ranges = [(0x20, 0x7E)] * 6 + [(0x0, 0x1F), (0x80, 0xFF), (0x100, 0x24F), (0x2B0, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF),
              (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F),
              (0x2070, 0x218F), (0x2190, 0x2BFF), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xF900, 0xFAFF),
              (0xFB00, 0xFDFF), (0xFE00, 0xFFFF), (0x10000, 0x103FF), (0x1D400, 0x1D7FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF)]
    words = ["the", "ing", "un", "re", "'s", "'LL", "don't", " ", "  ", "\n", "\r\n", "\t", "123", "4", "[MASK]", "<|endoftext|>",
             "_", "...", "é", "中", "👍🏽", "A", "Hello"]
    out = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(0, 12)):
            if rng.random() < 0.5:
                parts.append(rng.choice(words))
            else:
                lo, hi = rng.choice(ranges)
                parts.append("".join(chr(rng.randint(lo, hi)) for _ in range(rng.randint(1, 6))))
            if rng.random() < 0.3:
                parts.append(" ")
        out.append("".join(parts))
    return [t for t in out if not any(0xD800 <= ord(c) < 0xE000 for c in t)]


class Ours:
    """The driver, fed with all requests at once."""

    def __init__(self, folder, tokenizer):
        self.path = folder / "tokenizer.json"
        self.path.write_text(tokenizer.to_str() if isinstance(tokenizer, Tokenizer) else tokenizer)

    def ask(self, requests):
        text = "".join(json.dumps(r) + "\n" for r in requests)
        run = subprocess.run([BUILD / "tests" / "orchard-tokenize", self.path], input=text, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        answers = [json.loads(line) for line in run.stdout.splitlines()]
        assert len(answers) == len(requests)
        return answers


def raw(text):
    return (text if isinstance(text, bytes) else text.encode()).hex()


def compare(tmp_path, theirs, texts, pairs=()):
    ours = Ours(tmp_path, theirs)
    requests, expected = [], []
    for special in (True, False):
        for text in texts:
            requests.append({"text": raw(text), "special": special})
            expected.append(theirs.encode(text.decode(errors="replace") if isinstance(text, bytes) else text,
                                          add_special_tokens=special))
        for a, b in pairs:
            requests.append({"text": raw(a), "pair": raw(b), "special": special})
            expected.append(theirs.encode(a, b, add_special_tokens=special))
    for request, got, want in zip(requests, ours.ask(requests), expected):
        shown = bytes.fromhex(request["text"])
        assert got["ids"] == want.ids, (shown, want.tokens, [theirs.id_to_token(i) for i in got["ids"]])
        assert got["type_ids"] == want.type_ids, shown
        assert got["special"] == want.special_tokens_mask, shown
        assert got["attention_mask"] == want.attention_mask, shown
    compare_decoding(ours, theirs, [e.ids for e in expected])


def compare_decoding(ours, theirs, lists):
    rng = random.Random(7)
    top = theirs.get_vocab_size()
    lists = lists + [[rng.randrange(top) for _ in range(rng.randint(0, 20))] for _ in range(500)]
    for skip in (True, False):
        answers = ours.ask([{"decode": ids, "skip": skip} for ids in lists])
        for ids, got in zip(lists, answers):
            assert bytes.fromhex(got["text"]).decode() == theirs.decode(ids, skip_special_tokens=skip), ids


def pairs_of(texts, count=300):
    rng = random.Random(3)
    return [(rng.choice(texts), rng.choice(texts)) for _ in range(count)]


@pytest.fixture(scope="module")
def minilm():
    where = subprocess.run([SOURCE / "scripts" / "setup", "--where", "model"], capture_output=True, text=True)
    if where.returncode != 0:
        pytest.skip("no demo model (scripts/setup --model)")
    return (pathlib.Path(where.stdout.strip()) / "tokenizer.json").read_text()


def wordpiece_variant(text, **normalizer):
    document = json.loads(text)
    document["truncation"] = document["padding"] = None
    document["normalizer"].update(normalizer)
    return Tokenizer.from_str(json.dumps(document))


def test_minilm_as_it_is(tmp_path, minilm):
    texts = NASTY + random_texts(1, 3000)
    compare(tmp_path, Tokenizer.from_str(minilm), texts, pairs_of(texts))


def test_minilm_without_truncation_and_padding(tmp_path, minilm):
    texts = NASTY + random_texts(2, 3000)
    compare(tmp_path, wordpiece_variant(minilm), texts, pairs_of(texts))


@pytest.mark.parametrize("change", [{"strip_accents": False}, {"lowercase": False}, {"lowercase": False, "strip_accents": True},
                                    {"clean_text": False}, {"handle_chinese_chars": False}])
def test_minilm_with_another_normalizer(tmp_path, minilm, change):
    compare(tmp_path, wordpiece_variant(minilm, **change), NASTY + random_texts(3, 1000))


def test_invalid_utf8_counts_as_the_replacement_character(tmp_path, minilm):
    rng = random.Random(4)
    texts = [bytes(rng.choice([rng.randrange(256), rng.randrange(32, 127), 0xC3, 0xE2, 0xF0, 0x9F]) for _ in range(rng.randint(0, 30)))
             for _ in range(2000)]
    compare(tmp_path, wordpiece_variant(minilm), texts)
    compare(tmp_path, train(pre_tokenizers.ByteLevel(add_prefix_space=False)), texts)


def code_points():
    """Planes 4 to 13 hold nothing, and of the private planes the edges will do."""
    return [chr(c) for c in [*range(1, 0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE0200), 0xF0000, 0xFFFFD, 0x10FFFF]]


def test_every_code_point_in_bert(tmp_path, minilm):
    """Normalisation, word cutting and pieces, with the code point alone, inside a word and after an accent."""
    document = json.loads(minilm)
    document["truncation"] = document["padding"] = None
    # A vocabulary of bytes-like letters would hide most code points behind [UNK]: give each one a piece.
    points = code_points()
    vocab = document["model"]["vocab"]
    for c in points:
        vocab.setdefault(c, len(vocab))
        vocab.setdefault("##" + c, len(vocab))
    theirs = Tokenizer.from_str(json.dumps(document))
    ours = Ours(tmp_path, theirs)
    texts = ["a" + c + "b" for c in points]
    wants = theirs.encode_batch(texts, add_special_tokens=False)
    wrong = [t for t, got, want in zip(texts, ours.ask([{"text": raw(t), "special": False} for t in texts]), wants)
             if got["ids"] != want.ids]
    # U+11938 gained a decomposition in Unicode 13; the package still uses an older table.
    assert wrong == ["a\U00011938b"]


def train(pre_tokenizer, normalizer=None, special=("<|endoftext|>",), vocab_size=2000, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=list(special), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def split(expression):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


@pytest.mark.parametrize("prefix", [False, True])
def test_gpt2_style(tmp_path, prefix):
    tokenizer = train(pre_tokenizers.ByteLevel(add_prefix_space=prefix))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    texts = NASTY + random_texts(5, 3000)
    compare(tmp_path, tokenizer, texts, pairs_of(texts))


def test_roberta_style(tmp_path):
    tokenizer = train(pre_tokenizers.ByteLevel(add_prefix_space=False), special=("<s>", "</s>", "<pad>"))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")))
    texts = NASTY + random_texts(6, 1000)
    compare(tmp_path, tokenizer, texts, pairs_of(texts))


@pytest.mark.parametrize("expression", [LLAMA3, QWEN2, CL100K], ids=["llama3", "qwen2", "cl100k"])
def test_cl100k_family(tmp_path, expression):
    normalizer = normalizers.NFC() if expression == QWEN2 else None
    tokenizer = train(split(expression), normalizer, special=("<|begin_of_text|>", "<|im_start|>"))
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      special_tokens=[("<|begin_of_text|>", bos)])])
    texts = NASTY + random_texts(8, 3000)
    compare(tmp_path, tokenizer, texts, pairs_of(texts))


@pytest.mark.parametrize("expression", [GPT2, LLAMA3], ids=["gpt2", "llama3"])
def test_every_code_point_in_a_split(tmp_path, expression):
    """A blank before every piece shows where the text was cut."""
    tokenizer = train(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]), vocab_size=300)
    texts = [f"a{c}1{c}!{c} {c}" for c in code_points()]
    ours = Ours(tmp_path, tokenizer).ask([{"text": raw(t), "special": False} for t in texts])
    wrong = [hex(ord(t[1])) for t, got, want in zip(texts, ours, tokenizer.encode_batch(texts)) if got["ids"] != want.ids]
    assert wrong == []


def test_ignore_merges(tmp_path):
    document = json.loads(train(split(LLAMA3)).to_str())
    document["model"]["ignore_merges"] = True
    vocab = document["model"]["vocab"]
    for word in ("Ġtheing", "Helloing", "unre", "12"):
        vocab.setdefault(word, len(vocab))
    compare(tmp_path, Tokenizer.from_str(json.dumps(document)), NASTY + random_texts(9, 1000) + ["a theing", "Helloing", "unre 12"])


def test_merges_as_strings(tmp_path):
    document = json.loads(train(pre_tokenizers.ByteLevel(add_prefix_space=False)).to_str())
    document["model"]["merges"] = [" ".join(m) for m in document["model"]["merges"]]
    text = json.dumps(document)
    ours = Ours(tmp_path, text)
    theirs = Tokenizer.from_str(text)
    texts = random_texts(10, 500)
    for t, got in zip(texts, ours.ask([{"text": raw(t), "special": False} for t in texts])):
        assert got["ids"] == theirs.encode(t).ids


def test_added_tokens(tmp_path, minilm):
    tokenizer = wordpiece_variant(minilm)
    tokenizer.add_tokens([AddedToken("ABC", normalized=True), AddedToken("Wörd", normalized=True, single_word=True),
                          AddedToken(" x y ", normalized=False), AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True),
                          AddedToken("<lr>", lstrip=True, rstrip=True, normalized=False), AddedToken("ing", single_word=True)])
    tokenizer.add_special_tokens(["<sp>", "<sp>x"])
    parts = ["ABC", "abc", "wörd", "WORD", "Wörd", " x y ", "<l>", "<r>", "<lr>", "<sp>", "<sp>x", "ing", " ", "\t", "\u2003", "a",
             "_", "é", "中", "1", "ⓐ", "\u0301", "\u200d", "-"]
    rng = random.Random(11)
    compare(tmp_path, tokenizer, ["".join(rng.choice(parts) for _ in range(rng.randint(1, 8))) for _ in range(3000)])


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("direction", ["left", "right"])
def test_truncation_and_padding(tmp_path, minilm, strategy, direction):
    tokenizer = wordpiece_variant(minilm)
    tokenizer.enable_truncation(12, strategy=strategy, direction=direction)
    tokenizer.enable_padding(direction=direction, pad_id=7, pad_type_id=1, pad_to_multiple_of=5)
    texts = ["word " * n for n in range(30)]
    pairs = [(a, b) for a in texts for b in texts]

    def allowed(a, b):
        try:
            tokenizer.encode(a, b) and tokenizer.encode(a, b, add_special_tokens=False)
            return True
        except Exception:
            return False
    compare(tmp_path, tokenizer, texts if strategy != "only_second" else ["word"], [p for p in pairs if allowed(*p)])


def test_llama2_style_byte_fallback(tmp_path):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)],
                                  show_progress=False, max_token_length=12)
    tokenizer.train_from_iterator([t[:2000] for t in corpus()][:3], trainer)
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = document["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    compare(tmp_path, tokenizer, [t for t in NASTY if len(t) < 1000] + random_texts(12, 500))


@pytest.mark.parametrize("pre", [pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(True),
                                 pre_tokenizers.Digits(False), pre_tokenizers.Punctuation("merged_with_previous"),
                                 pre_tokenizers.Punctuation("merged_with_next"), pre_tokenizers.Punctuation("contiguous"),
                                 pre_tokenizers.Punctuation("removed"), pre_tokenizers.Split(" ", "merged_with_next"),
                                 pre_tokenizers.Split("the", "isolated", invert=True)], ids=lambda p: type(p).__name__)
def test_other_pre_tokenizers(tmp_path, pre):
    tokenizer = train(pre_tokenizers.Sequence([pre, pre_tokenizers.ByteLevel(add_prefix_space=True)]), vocab_size=600)
    compare(tmp_path, tokenizer, NASTY + random_texts(13, 500))
