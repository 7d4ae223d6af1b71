"""Text to token ids: the published counts, the formats, the cache."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from tokenizers import Tokenizer
from typer.testing import CliRunner

from tests.conftest import REPOSITORY, toy_experiment
from tests.data.test_known_corpora import Heard
from tiedlm.cli.commands import app
from tiedlm.config.corpus_config import SPLITS, CorpusConfig
from tiedlm.data.sources.cache import FILLING_PREFIX, SECONDS_UNTIL_ABANDONED, cached_folder
from tiedlm.data.sources.corpus import Corpus, load_corpus
from tiedlm.data.sources.known_corpora import KNOWN
from tiedlm.data.sources.pydoc_corpus import pydoc_paragraphs
from tiedlm.data.sources.text_file import read_pieces
from tiedlm.data.token_files import ID_TYPE
from tiedlm.data.tokens import TokenizedCorpus, tokenize
from tiedlm.data.vocabulary import SURE_BPE_SIZE, declared_vocab_size
from tiedlm.errors import InputError
from tiedlm.masked_batch import MASK_ID, PAD_ID, SPECIAL_TOKENS, UNK_ID

PUBLISHED = {  # tokens with <eos> after each line, and distinct words of the train split
    "ptb": ({"train": 929_589, "valid": 73_760, "test": 82_430}, 10_000),
    "wikitext-2": ({"train": 2_088_628, "valid": 217_646, "test": 245_569}, 33_278),
}


def text(corpus: Corpus) -> dict[str, list[str]]:
    """All lines of a corpus."""
    return {split: [piece.text for batch in corpus.batches(split) for piece in batch] for split in SPLITS}


def tokenized(folder: Path, tokenizer: str = "word", seq_length: int = 16) -> TokenizedCorpus:
    """A folder's corpus, tokenized."""
    corpus = load_corpus(str(folder))
    return tokenize(corpus, CorpusConfig(name=str(folder), tokenizer=tokenizer, seq_length=seq_length, fraction=1.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_known_corpora_have_their_published_counts(name: str, real_data: Path) -> None:
    config = CorpusConfig(name=name, tokenizer="word", seq_length=64, fraction=1.0)
    for folder in (real_data, real_data / KNOWN[name].folder):
        tokens = tokenize(load_corpus(name, folder), config)
        num_tokens, num_words = PUBLISHED[name]
        assert tokens.num_tokens == num_tokens
        assert tokens.vocab_size == num_words + len(SPECIAL_TOKENS) == declared_vocab_size(config)
        assert all(UNK_ID not in tokens.token_ids(split) for split in SPLITS)


@pytest.mark.slow
def test_a_promised_vocabulary_is_reached() -> None:
    corpus = load_corpus("pydoc")
    for tokenizer in ("bpe:4096", f"bpe:{SURE_BPE_SIZE}"):
        config = CorpusConfig(name="pydoc", tokenizer=tokenizer, seq_length=64, fraction=1.0)
        assert tokenize(corpus, config).vocab_size == declared_vocab_size(config)


@pytest.mark.slow
def test_pydoc_is_prose_without_repetition_across_splits() -> None:
    corpus = load_corpus("pydoc")
    splits = text(corpus)
    num_words = {split: sum(len(line.split()) for line in lines) for split, lines in splits.items()}
    assert num_words["train"] > 150_000
    assert all(0.03 * num_words["train"] < num_words[split] < 0.15 * num_words["train"] for split in ("valid", "test"))
    lines = [line for split in SPLITS for line in splits[split]]
    assert len(lines) == len(set(lines))
    assert not any(">>>" in line for line in lines)
    assert pydoc_paragraphs() == splits


def test_the_formats_hold_the_same_text(corpus_folder: Path, tmp_path: Path) -> None:
    lines = {split: (corpus_folder / f"{split}.txt").read_text().splitlines() for split in SPLITS}
    expected = text(load_corpus(str(corpus_folder)))
    assert expected == lines
    for suffix in (".txt.gz", ".jsonl", ".parquet"):  # each with the same hash, since it is the same text
        folder = tmp_path / suffix[1:]
        folder.mkdir()
        for split in SPLITS:
            path = folder / f"{split}{suffix}"
            if suffix == ".txt.gz":
                path.write_bytes(gzip.compress((corpus_folder / f"{split}.txt").read_bytes()))
            elif suffix == ".jsonl":
                path.write_text("".join(json.dumps({"id": 1, "text": line}) + "\n" for line in lines[split]))
            else:
                pyarrow.parquet.write_table(
                    pyarrow.table({"sentence": lines[split], "id": range(len(lines[split]))}), path
                )
        corpus = load_corpus(str(folder))
        assert text(corpus) == expected
        assert corpus.sha256 == load_corpus(str(corpus_folder)).sha256


@pytest.mark.parametrize("later", ['{"url": "x"}', '"x"', "0.5", "[1, 2]", "null"])
def test_keys_that_hold_no_text_may_hold_anything(tmp_path: Path, later: str) -> None:
    first = json.dumps({"text": "the cat sees " * 20, "source": None, "count": 1})
    last = f'{{"text": "the last", "count": {later}, "source": {later}, "new": {later}}}'
    (tmp_path / "train.jsonl").write_text("\ufeff" + f"{first}\n" * 50_000 + "\n" + f"{last}\n", "utf-8")
    lines = list(read_pieces(tmp_path / "train.jsonl"))
    assert len(lines) == 50_001
    assert lines[-1] == ("the last", True)


def test_a_folder_with_the_name_of_a_known_corpus_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `ptb/`, which holds `ptb.train.txt` and so on, lies where the data lie."""
    copied = shutil.copytree(REPOSITORY / "results" / "ptb-quick", tmp_path / "out")
    (tmp_path / "ptb").mkdir()
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["compare", "ptb-quick", "--out", str(copied), "--json"])
    assert shown.exit_code == 0, shown.exception
    assert "nothing was trained" in shown.stderr


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("\ufeffthe cat\nthe dog\n", "utf-8")
    assert list(read_pieces(tmp_path / "train.txt")) == [("the cat", True), ("the dog", True)]


def test_every_line_ends_with_eos_and_blocks_hold_the_split_in_order(corpus_folder: Path) -> None:
    tokens = tokenized(corpus_folder)
    ids = tokens.token_ids("train")
    lines = (corpus_folder / "train.txt").read_text().splitlines()
    assert len(ids) == sum(len(line.split()) + 1 for line in lines)
    blocks = tokens.blocks("train", toy_experiment().corpus).numpy()
    assert np.array_equal(blocks.reshape(-1)[: len(ids)], ids)
    assert (blocks.reshape(-1)[len(ids) :] == PAD_ID).all()
    assert blocks.shape == (math.ceil(len(ids) / 16), 16)


@pytest.mark.parametrize("tokenizer", ["word", "word:12", "bpe:300"])
def test_special_tokens_that_stand_in_the_text_are_words_of_the_vocabulary(corpus_folder: Path, tokenizer: str) -> None:
    with (corpus_folder / "train.txt").open("a") as file:
        file.write("[MASK] [PAD] [UNK] <eos> sees\n" * 50)
    corpus = tokenized(corpus_folder, tokenizer)
    assert all(corpus.token_ids(split).max() < corpus.vocab_size for split in SPLITS)
    assert all(corpus.token_ids(split).min() >= UNK_ID for split in SPLITS)


def test_words_outside_the_vocabulary_and_names_of_special_tokens_become_unk(corpus_folder: Path) -> None:
    (corpus_folder / "valid.txt").write_text("the [MASK] [PAD] zebra sees\n" * 10)
    ids = tokenized(corpus_folder).token_ids("valid")
    assert ids[1:4].tolist() == [UNK_ID] * 3
    assert {PAD_ID, MASK_ID}.isdisjoint(ids.tolist())


def test_bpe_takes_any_text_and_gives_it_back(corpus_folder: Path) -> None:
    line = "naïve “quotes” [MASK] <eos> \u2028 😀 tabs\tand  spaces"
    (corpus_folder / "valid.txt").write_text(f"{line}\n" * 3)
    tokens = tokenized(corpus_folder, "bpe:300")
    tokenizer = Tokenizer.from_file(str(Path(tokens.folder) / "tokenizer.json"))
    ids = tokens.token_ids("valid")
    assert UNK_ID not in ids
    assert tokenizer.decode(ids[: len(ids) // 3 - 1].tolist()).strip() == line


def test_a_vocabulary_that_the_text_does_not_give_is_told(corpus_folder: Path) -> None:
    heard = Heard()
    config = CorpusConfig(name=str(corpus_folder), tokenizer="bpe:4096", seq_length=16, fraction=1.0)
    tokens = tokenize(load_corpus(str(corpus_folder)), config, watcher=heard)
    assert tokens.vocab_size < 4096
    words = f"corpus.tokenizer=bpe:4096: the text is too small for 4,096 tokens; the vocabulary has {tokens.vocab_size}"
    assert [sentence for sentence in heard.told if sentence.startswith(words)]


def test_the_unigram_perplexity_is_that_of_smoothed_train_frequencies(corpus_folder: Path) -> None:
    tokens = tokenized(corpus_folder)
    counts = Counter(tokens.token_ids("train").tolist())
    vocabulary = range(UNK_ID, tokens.vocab_size)
    total = sum(counts[token] + 1 for token in vocabulary)
    nll = [-math.log((counts[token] + 1) / total) for token in tokens.token_ids("valid").tolist()]
    assert tokens.unigram_perplexity("valid") == pytest.approx(math.exp(sum(nll) / len(nll)))


PEAK = """
import sys
from collections.abc import Callable
from pathlib import Path
from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import tokenize

config = CorpusConfig(name=sys.argv[1], tokenizer="word", seq_length=64, fraction=1.0)
tokens = tokenize(load_corpus(sys.argv[1]), config)
assert tokens.blocks("train", config).shape[1] == 64
tokens.unigram_perplexity("valid")
print(tokens.num_tokens["train"], Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_text(corpus_folder: Path) -> None:
    """From text to blocks, more text takes more memory for its mapped ids, and for the rest less than the text."""
    words = [f"w{number}" for number in range(1_000)]
    lines = [" ".join(random.Random(seed).choices(words, k=20)) + "\n" for seed in range(500)]
    text_bytes, peak_bytes = [], []
    for repeats in (150, 450):  # 9 and 26 MB, both more than is read at a time
        text_bytes.append((corpus_folder / "train.txt").write_text("".join(lines) * repeats))
        finished = subprocess.run([sys.executable, "-c", PEAK, str(corpus_folder)], capture_output=True, text=True)
        num_tokens, peak = map(int, finished.stdout.split())
        assert num_tokens == 500 * 21 * repeats
        peak_bytes.append(1024 * peak - num_tokens * ID_TYPE.itemsize)
    assert peak_bytes[1] - peak_bytes[0] < text_bytes[1] - text_bytes[0]


def test_a_changed_text_is_another_entry_of_the_cache(corpus_folder: Path) -> None:
    first = tokenized(corpus_folder)
    assert tokenized(corpus_folder) == first
    with (corpus_folder / "train.txt").open("a") as file:
        file.write("the cow likes a zebra today\n")
    second = tokenized(corpus_folder)
    assert second.folder != first.folder
    assert second.vocab_size == first.vocab_size + 1
    assert tokenized(corpus_folder, "bpe:300").folder not in (first.folder, second.folder)


def test_a_split_shorter_than_a_block_is_refused(corpus_folder: Path) -> None:
    experiment = toy_experiment()
    (corpus_folder / "test.txt").write_text("the cat sees\n")
    with pytest.raises(InputError, match=r"test split has 4 tokens, fewer than one block of corpus\.seq_length=16"):
        tokenize(load_corpus(str(corpus_folder)), experiment.corpus)


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "train.ids").read_bytes())
    content[40] ^= 1
    (folder / "train.ids").write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        lambda folder: os.truncate(folder / "valid.ids", 60),
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        lambda folder: (folder / "sha256.json").write_text("[" * 100_000),
        lambda folder: (folder / "more").mkdir(),
    ],
    ids=["bit", "truncated", "missing", "replaced", "sums", "more"],
)
def test_what_is_damaged_in_the_cache_is_made_again(corpus_folder: Path, damage: Callable[[Path], None]) -> None:
    first = tokenized(corpus_folder)
    folder = Path(first.folder)
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    damage(folder)
    assert tokenized(corpus_folder) == first
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == good
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(FILLING_PREFIX)] == []


def test_an_entry_of_the_cache_under_anothers_name_is_none(corpus_folder: Path) -> None:
    first = tokenized(corpus_folder)
    with (corpus_folder / "train.txt").open("a") as file:
        file.write("the cow likes a zebra today\n")
    second = tokenized(corpus_folder)
    one, other = Path(first.folder), Path(second.folder)
    good = (other / "train.ids").read_bytes()
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)
    assert tokenized(corpus_folder) == second
    assert (other / "train.ids").read_bytes() == good


def test_of_two_processes_that_fill_one_folder_of_the_cache_the_first_wins() -> None:
    def first(folder: Path) -> None:
        (folder / "who").write_text("first")

    def second(folder: Path) -> None:
        (folder / "who").write_text("second")
        cached_folder(["race"], first)

    assert (cached_folder(["race"], second) / "who").read_text() == "first"


def test_a_full_disk_leaves_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fill(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match="No space left on device"):
        cached_folder(["full"], fill)
    assert list((tmp_path / "tiedlm").iterdir()) == []


def test_what_killed_processes_left_half_filled_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "tiedlm"
    long_ago = time.time() - SECONDS_UNTIL_ABANDONED - 60
    for name, written_at in (("old", long_ago), ("new", time.time())):
        half = cache / f"{FILLING_PREFIX}{name}" / "key" / "half"
        half.parent.mkdir(parents=True)
        half.write_text("half")
        for path in (half, half.parent, half.parent.parent):
            os.utime(path, (written_at, written_at))
    folder = cached_folder(["next"], lambda _: None)
    assert {path.name for path in cache.iterdir()} == {folder.name, f"{FILLING_PREFIX}new"}
