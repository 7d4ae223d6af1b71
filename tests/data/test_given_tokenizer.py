"""Tokenizers as people give them: one that lacks something, one that leaves text out, and files that are none."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from typer.testing import CliRunner

from tests.cli.test_bad_input import TINY, run_tiedlm
from tests.conftest import toy_model
from tests.data.test_known_corpora import Heard
from tiedlm.cli.commands import app
from tiedlm.config.corpus_config import SPLITS, CorpusConfig
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.sources.pieces import Piece
from tiedlm.data.token_files import encode_pieces
from tiedlm.data.tokenizer import given_vocabulary, read_tokenizer
from tiedlm.data.tokens import TokenizedCorpus, tokenize
from tiedlm.errors import InputError
from tiedlm.explanation import head_view
from tiedlm.model.masked_lm import MaskedLM

KNOWN = "the cat sees a dog"
LETTERS = sorted(set(KNOWN.replace(" ", "")))
ByKind = Callable[[str | None], Tokenizer]


def ids(tokens: list[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def by_words(unk: str | None) -> Tokenizer:
    tokens = [*KNOWN.split(), *([unk] if unk else [])]
    tokenizer = Tokenizer(models.WordLevel(ids(tokens), unk_token=unk or "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def by_pieces(unk: str | None) -> Tokenizer:
    tokens = [*LETTERS, *(f"##{letter}" for letter in LETTERS), *([unk] if unk else [])]
    tokenizer = Tokenizer(models.WordPiece(ids(tokens), unk_token=unk or "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def by_scores(unk: str | None) -> Tokenizer:
    scores = [(token, -1.0) for token in ["▁", *LETTERS, *([unk] if unk else [])]]
    tokenizer = Tokenizer(models.Unigram(scores, len(scores) - 1 if unk else None, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def by_merges(unk: str | None) -> Tokenizer:
    tokens = [*LETTERS, *([unk] if unk else [])]
    tokenizer = Tokenizer(models.BPE(ids(tokens), [], unk_token=unk or "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


KINDS: dict[str, ByKind] = {
    "WordLevel": by_words,
    "WordPiece": by_pieces,
    "Unigram": by_scores,
    "BPE": by_merges,
}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder whose train every tokenizer here knows, and whose valid has a word of which none knows a letter."""
    (tmp_path / "texts").mkdir()
    for split in SPLITS:
        (tmp_path / "texts" / f"{split}.txt").write_text(
            f"{KNOWN}\n" * 30 + ("the z\u00fcrn\n" if split == "valid" else "")
        )
    return tmp_path / "texts"


def tokenized(texts: Path, tokenizer: Tokenizer, heard: Heard | None = None) -> TokenizedCorpus:
    path = texts.parent / "tokenizer.json"
    tokenizer.save(str(path))
    config = CorpusConfig(name=str(texts), tokenizer=f"file:{path}", seq_length=8, fraction=1.0)
    return tokenize(load_corpus(str(texts)), config, heard)


@pytest.mark.parametrize("is_added", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_word_that_a_tokenizer_cannot_encode_is_told_before_any_training(
    kind: str, is_added: bool, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the unknown token is one of those that are added, and so none of the model's."""
    tokenizer = KINDS[kind](None)
    if is_added:
        tokenizer.add_special_tokens(["<unk>", "[UNK]"])
    tokenizer.save(str(tmp_path / "mine.json"))
    monkeypatch.chdir(tmp_path)
    command = f"train --tied --corpus texts {TINY} --tokenizer mine.json --out out"
    shown = CliRunner().invoke(app, command.replace("--set corpus.tokenizer=word", "").split())
    assert isinstance(shown.exception, InputError)
    lack = "it has no unknown token" if kind == "Unigram" else "its unknown token '.+' is not in its vocabulary"
    pattern = rf"--tokenizer mine\.json: cannot encode 'zürn', and {lack} \(.+\); add it, or give another tokenizer"
    assert re.fullmatch(pattern, str(shown.exception)), shown.exception
    assert not (tmp_path / "out").exists()
    (texts / "valid.txt").write_text(f"{KNOWN}\n" * 30)  # all words are known
    assert tokenized(texts, tokenizer).num_tokens["valid"] == tokenized(texts, tokenizer).num_tokens["train"]


@pytest.mark.parametrize("kind", ["WordLevel", "WordPiece", "BPE"])
def test_a_sentence_with_a_word_that_a_tokenizer_cannot_encode_is_not_explained(kind: str) -> None:
    vocabulary = given_vocabulary(Path("mine.json"), KINDS[kind](None).to_str())
    model = MaskedLM(toy_model(), vocabulary.size)
    with pytest.raises(InputError, match=r"mine\.json: cannot encode 'zürn', and its unknown token"):
        head_view._own("model", model, vocabulary, "the zürn sees a [MASK]")


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_with_its_unknown_token_encodes_any_word(kind: str, texts: Path) -> None:
    heard = Heard()
    tokens = tokenized(texts, KINDS[kind]("<unk>" if kind != "WordPiece" else "[UNK]"), heard)
    assert tokens.num_unk["valid"] > 0 == tokens.num_unk["train"]
    assert not [sentence for sentence in heard.told if "leaves out" in sentence]


def without_unk(**model: Any) -> Tokenizer:
    """BPE of letters that says nothing of what is unknown."""
    tokens = model.pop("tokens", LETTERS)
    tokenizer = Tokenizer(models.BPE(ids(tokens), [], **model))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def of_bytes(alphabet: list[str]) -> Tokenizer:
    tokenizer = without_unk(tokens=alphabet)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def lowercase() -> Tokenizer:
    tokenizer = without_unk()
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.add_special_tokens(["<pad>"])
    return tokenizer


BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
ALL_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


@pytest.mark.parametrize(
    ("tokenizer", "num_bytes"),
    [
        (without_unk(), len("zürn".encode())),
        (lowercase(), len("zürn".encode())),
        (without_unk(tokens=[*LETTERS, "n"]), len("zür".encode())),
        (without_unk(byte_fallback=True), len("zürn".encode())),
        (without_unk(byte_fallback=True, tokens=[*LETTERS, *ALL_BYTES]), 0),
        (of_bytes(BYTES), 0),
        (of_bytes([letter for letter in BYTES if letter not in "zÃ"]), len("zü".encode())),
    ],
)
def test_what_a_tokenizer_leaves_out_is_counted_and_told(tokenizer: Tokenizer, num_bytes: int, texts: Path) -> None:
    heard = Heard()
    tokens = tokenized(texts, tokenizer, heard)
    assert tokens.num_bytes_left_out == {"train": 0, "valid": num_bytes, "test": 0}
    told = [sentence for sentence in heard.told if "leaves out" in sentence]
    total = sum(tokens.num_bytes.values())
    assert len(told) == (num_bytes > 0)
    assert all(
        f"leaves out {num_bytes} of the {total:,} bytes of the text ({100 * num_bytes / total:.2f} %)" in line
        for line in told
    )


OTHERS: dict[str, tuple[bytes, str]] = {
    "vocab.txt": (b"[PAD]\n[UNK]\nthe\n##s\n", "a list of tokens (vocab.txt)"),
    "spiece.model": (b"\n\x0e\n\x05<pad>\x15\0\0\0\0\x18\x03", "a SentencePiece model"),
    "renamed.json": (b"\n\x0e\n\x05<pad>\x15\0\0\0\0\x18\x03", "a SentencePiece model"),
    "cl100k.tiktoken": (b"IQ== 0\nIg== 1\n", "a tiktoken model"),
    "vocab.json": (b'{"a": 0, "b": 1}', "a list of tokens (vocab.json)"),
    "merges.txt": (b"#version: 0.2\nt h\nth e\n", "a list of merges (merges.txt)"),
    "tokenizer_config.json": (b'{"tokenizer_class": "BertTokenizer"}', "a tokenizer_config.json"),
    "config.json": (b'{"model_type": "bert", "vocab_size": 5}', "the config.json of a model"),
    "model.safetensors": (save({}), "a file of weights (safetensors)"),
    "weights.json": (save({}), "a file of weights (safetensors)"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_file_of_a_tokenizer_is_told_and_what_is_needed(name: str, tmp_path: Path) -> None:
    content, what = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        read_tokenizer(tmp_path / name)
    assert str(refused.value).startswith(f"--tokenizer {tmp_path / name}: is {what}; give a tokenizer.json, which ")
    assert "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)" in str(refused.value)


def test_a_folder_without_a_tokenizer_json_is_told_and_a_packed_one_too(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer\.json: cannot be read .*AutoTokenizer"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(gzip.compress(b"{}"))
    with pytest.raises(InputError, match=r"tokenizer\.json: is compressed by gzip; unpack it"):
        read_tokenizer(tmp_path)


def test_a_byte_order_mark_is_no_part_of_a_tokenizer(tmp_path: Path) -> None:
    text = by_words("<unk>").to_str()
    (tmp_path / "tokenizer.json").write_text(f"\ufeff{text}", encoding="utf-8")
    assert read_tokenizer(tmp_path) == text


def changed(**parts: Any) -> str:
    document = json.loads(by_words("<unk>").to_str())
    return json.dumps({**document, **{key: {**(document[key] or {}), **value} for key, value in parts.items()}})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            changed(model={"vocab": {"the": 0, "cat": 40_000_000, "<unk>": 1}}),
            "a token with the id 40,000,000, over",
        ),
        (
            changed(normalizer={"type": "Precompiled", "precompiled_charsmap": "////"}),
            r"is no sound tokenizer\.json \(Prec",
        ),
        (
            changed(pre_tokenizer={"type": "FixedLength", "length": 0}),
            r"cannot encode '\w+' \(chunk size must be non-zero\); give another",
        ),
    ],
)
def test_a_tokenizer_that_would_end_in_a_panic_or_fill_the_memory_is_refused(text: str, told: str, texts: Path) -> None:
    path = texts.parent / "tokenizer.json"
    path.write_text(text)
    config = CorpusConfig(name=str(texts), tokenizer=f"file:{path}", seq_length=8, fraction=1.0)
    with pytest.raises(InputError, match=rf"--tokenizer \S+: .*{told}"):
        tokenize(load_corpus(str(texts)), config)


@pytest.mark.parametrize(
    ("normalizer", "told"),
    [
        ({"type": "Sequence", "normalizers": [{"type": "NFC"}] * 1_500_000}, "reading the tokenizer takes more than"),
        (
            {
                "type": "Sequence",
                "normalizers": [{"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 99}] * 5,
            },
            "reading the text by its tokenizer takes more than 1.1 GB of memory",
        ),
    ],
)
def test_a_tokenizer_without_bounds_is_told_by_the_command(normalizer: Any, told: str, texts: Path) -> None:
    path = texts.parent / "mine.json"
    path.write_text(json.dumps(json.loads(by_words("<unk>").to_str()) | {"normalizer": normalizer}))
    command = f"train pydoc --tied --seed 0 --corpus {texts.name} --tokenizer mine.json --out out"
    answer = run_tiedlm(texts.parent, command)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.splitlines()[-1].startswith(f"tiedlm: --tokenizer mine.json: {told}")
    assert "Traceback" not in answer.stderr
    assert not (texts.parent / "out").exists()


def test_a_tokenizer_with_dropout_gives_the_same_tokens_each_time() -> None:
    tokenizer = Tokenizer(models.BPE(ids([*LETTERS, "ca", "cat"]), [("c", "a"), ("ca", "t")], dropout=0.5))
    vocabulary = given_vocabulary(Path("mine.json"), tokenizer.to_str())
    assert len(encode_pieces(vocabulary, [Piece("cat", False)] * 100)) == 100
