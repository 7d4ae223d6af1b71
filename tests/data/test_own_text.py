"""Text as people have it: whatever its files are called, however it is split, however long its lines are."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from tiedlm.config.corpus_config import SPLITS, CorpusConfig
from tiedlm.data.sources.corpus import Corpus, load_corpus
from tiedlm.data.sources.documents import Documents, paragraphs
from tiedlm.data.sources.pieces import LONGEST_PIECE, cut
from tiedlm.data.sources.text_file import read_pieces
from tiedlm.data.tokenizer import LONGEST_TRAINED_WORD, given_vocabulary, trained_vocabulary
from tiedlm.data.tokens import TokenizedCorpus, tokenize
from tiedlm.errors import InputError
from tiedlm.masked_batch import MASK_ID, PAD_ID, UNK_ID

LINE = "the cat sat on the mat and the dog sat on the log"
NUM_LINES = 40
NUM_TOKENS = NUM_LINES * (len(LINE.split()) + 1)


def tokenized(corpus: Corpus, tokenizer: str = "word") -> TokenizedCorpus:
    return tokenize(corpus, CorpusConfig(name=corpus.name, tokenizer=tokenizer, seq_length=8, fraction=1.0))


def as_text(path: Path) -> None:
    content = f"{LINE}\n" * NUM_LINES
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())


def as_json_lines(path: Path) -> None:
    content = json.dumps({"id": 1, "text": LINE}) + "\n"
    packed = gzip.compress(content.encode() * NUM_LINES)
    path.write_bytes(packed if path.suffix == ".gz" else content.encode() * NUM_LINES)


def as_json(path: Path) -> None:
    path.write_text(json.dumps([{"text": LINE, "id": 1}] * NUM_LINES, indent=1))


def as_strings(path: Path) -> None:
    path.write_text(json.dumps([LINE] * NUM_LINES))


def as_csv(path: Path) -> None:
    path.write_text("id,text\n" + f'1,"{LINE}"\n' * NUM_LINES)


def as_parquet(kind: str) -> Callable[[Path], None]:
    types = {"string": pyarrow.string(), "large": pyarrow.large_string(), "view": pyarrow.string_view()}

    def write(path: Path) -> None:
        column = pyarrow.array([LINE] * NUM_LINES, types[kind])
        pyarrow.parquet.write_table(pyarrow.table({"sentence": column, "id": range(NUM_LINES)}), path)

    return write


@pytest.mark.parametrize(
    ("names", "write"),
    [
        ("train.txt validation.txt test.txt", as_text),
        ("train.txt val.txt test.txt", as_text),
        ("Train.txt DEV.TXT Test.txt", as_text),
        ("wiki.train.tokens wiki.valid.tokens wiki.test.tokens", as_text),
        ("wiki.train.raw wiki.valid.raw wiki.test.raw", as_text),
        ("my_train.txt.gz my_dev.txt.gz my_test.txt.gz", as_text),
        ("train valid test", as_text),
        ("train.jsonl.gz valid.jsonl test.ndjson", as_json_lines),
        ("train.json valid.json test.json", as_json),
        ("train.json valid.json test.json", as_strings),
        ("train.json valid.json test.json", as_json_lines),
        ("train.csv valid.csv test.csv", as_csv),
        ("train.parquet valid.parquet test.parquet", as_parquet("string")),
        ("train.parquet valid.parquet test.parquet", as_parquet("large")),
        ("train.parquet valid.parquet test.parquet", as_parquet("view")),
        ("data/train-00000-of-00001.parquet data/validation-00000-of-00001.parquet data/test-00000-of-00001.parquet",
         as_parquet("string")),
        ("train/0000.parquet validation/0000.parquet test/0000.parquet", as_parquet("string")),
    ],
)  # fmt: skip
def test_files_of_any_name_and_format_give_the_same_tokens(
    names: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    for name in names.split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name)
    assert tokenized(load_corpus(str(tmp_path))).num_tokens == dict.fromkeys(SPLITS, NUM_TOKENS)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_saved_data_set_is_read_and_one_without_splits_is_split(tmp_path: Path) -> None:
    import datasets

    of_split = datasets.Dataset.from_dict({"text": [LINE] * NUM_LINES})
    datasets.DatasetDict(dict.fromkeys(("train", "validation", "test"), of_split)).save_to_disk(tmp_path / "dict")
    assert tokenized(load_corpus(str(tmp_path / "dict"))).num_tokens == dict.fromkeys(SPLITS, NUM_TOKENS)
    lines = [f"line {number} of the text" for number in range(400)]
    datasets.Dataset.from_dict({"text": lines}).save_to_disk(tmp_path / "one")
    assert sum(tokenized(load_corpus(str(tmp_path / "one"))).num_tokens.values()) == 400 * 6


def saved(folder: Path, rows: dict[str, list[str]]) -> None:
    """As `save_to_disk` writes it, which writes no file of no rows."""
    import datasets

    of_splits = {split: datasets.Dataset.from_dict({"text": of_split}) for split, of_split in rows.items()}
    (datasets.DatasetDict(of_splits) if len(rows) > 1 else of_splits["train"]).save_to_disk(folder)


def as_tables(suffix: str) -> Callable[[Path, dict[str, list[str]]], None]:
    def write(folder: Path, rows: dict[str, list[str]]) -> None:
        folder.mkdir()
        for split, of_split in rows.items():
            path = folder / f"{split}{suffix}"
            if suffix == ".parquet":
                pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array(of_split, pyarrow.string())}), path)
            elif suffix == ".json":
                path.write_text(json.dumps(of_split))
            elif suffix == ".jsonl":
                path.write_text("".join(json.dumps({"text": row}) + "\n" for row in of_split) + "\n")
            else:
                path.write_text("".join(f"{row}\n" for row in ("text", *of_split)))

    return write


EMPTY = {"saved": saved, **{suffix: as_tables(suffix) for suffix in (".parquet", ".csv", ".tsv", ".json", ".jsonl")}}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("others", [("valid", "test"), ()])
@pytest.mark.parametrize("empty", SPLITS)
def test_a_split_without_rows_is_told(empty: str, others: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    if empty != "train" and not others:
        return
    rows = {split: [] if split == empty else [LINE, f"another {split}"] for split in ("train", *others)}
    EMPTY[kind](tmp_path / "text", rows)
    with pytest.raises(InputError, match=f"its {empty} split is empty; give more text"):
        load_corpus(str(tmp_path / "text"))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_saved_split_that_is_not_asked_for_may_be_empty(tmp_path: Path) -> None:
    saved(tmp_path / "text", {**dict.fromkeys(SPLITS, [LINE] * NUM_LINES), "unsupervised": []})
    assert tokenized(load_corpus(str(tmp_path / "text"))).num_tokens == dict.fromkeys(SPLITS, NUM_TOKENS)


@pytest.mark.parametrize("name", ["train.txt", "train.jsonl", "train.json", "train.csv", "train.tsv", "train.parquet"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_file_without_a_byte_is_told(is_packed: bool, name: str, tmp_path: Path) -> None:
    if is_packed and name.endswith(".parquet"):
        return
    path = tmp_path / (f"{name}.gz" if is_packed else name)
    path.write_bytes(gzip.compress(b"") if is_packed else b"")
    with pytest.raises(InputError, match=rf"{path.name}: is empty; give a file with text"):
        load_corpus(str(path))


def test_shards_are_one_split_in_their_order_and_all_must_be_there(tmp_path: Path) -> None:
    as_text(tmp_path / "valid.txt")
    as_text(tmp_path / "test.txt")
    for shard in (2, 0, 1):
        table = pyarrow.table({"text": [f"w{number}" for number in range(100 * shard, 100 * shard + 100)]})
        pyarrow.parquet.write_table(table, tmp_path / f"train-0000{shard}-of-00003.parquet")
    lines = [piece.text for batch in load_corpus(str(tmp_path)).batches("train") for piece in batch]
    assert lines == [f"w{number}" for number in range(300)]
    (tmp_path / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(InputError, match="shard 1 of 3 is missing"):
        load_corpus(str(tmp_path))


@pytest.mark.parametrize("is_file", [True, False])
def test_train_alone_is_split_by_document(is_file: bool, tmp_path: Path) -> None:
    lines = [f"document {number} has words" for number in range(4_000)]
    (tmp_path / "train.txt").write_text("\n".join([*lines, "", *lines[:50]]) + "\n")
    corpus = load_corpus(str(tmp_path / "train.txt" if is_file else tmp_path))
    found = {split: [piece.text for batch in corpus.batches(split) for piece in batch] for split in SPLITS}
    assert sorted(line for split in SPLITS for line in found[split]) == sorted([*lines, *lines[:50]])
    assert len(set().union(*found.values())) == sum(len(set(of_split)) for of_split in found.values())  # none in two
    assert all(0.035 < len(found[split]) / 4_050 < 0.065 for split in ("valid", "test"))
    assert "valid and test taken from train by the hash of each line, for want of blank lines" in corpus.source
    assert corpus.documents == Documents("line", None, may_cut_paragraphs=True)


SOME_PARAGRAPHS = [[f"verse {number} of the song", f"has line {number}", "la la la"] for number in range(400)]


def splits_of(path: Path) -> dict[str, list[str]]:
    """The lines of each split of a text."""
    corpus = load_corpus(str(path))
    return {split: [piece.text for batch in corpus.batches(split) for piece in batch] for split in SPLITS}


@pytest.mark.parametrize("between", ["\n\n", "\n \t\n\n"])
@pytest.mark.parametrize("number", [20, 400, 1_200])
def test_a_paragraph_stays_together_and_its_lines_stay_lines(number: int, between: str, tmp_path: Path) -> None:
    of_file = (SOME_PARAGRAPHS * 3)[:number]  # equal ones are in one split too
    (tmp_path / "song.txt").write_text(between.join("\n".join(lines) for lines in of_file))
    found = splits_of(tmp_path / "song.txt")
    assert all(found.values())
    assert sorted(line for lines in found.values() for line in lines) == sorted(itertools.chain(*of_file))
    for lines in found.values():
        triples = [lines[start : start + 3] for start in range(0, len(lines), 3)]
        assert all(triple in SOME_PARAGRAPHS for triple in triples)
    firsts = [set(lines[::3]) for lines in found.values()]
    assert len(set.union(*firsts)) == sum(map(len, firsts))
    corpus = load_corpus(str(tmp_path / "song.txt"))
    assert corpus.documents == Documents("paragraph", min(number, 400), may_cut_paragraphs=False)
    assert corpus.source.endswith("valid and test taken from train by the hash of each paragraph")


def test_a_paragraph_ends_with_its_file(tmp_path: Path) -> None:
    for shard in (0, 1):
        text = "\n\n".join("\n".join(lines) for lines in SOME_PARAGRAPHS[200 * shard : 200 * shard + 200])
        (tmp_path / f"train-0000{shard}-of-00002.txt").write_text(f"{text}\n")
    one = tmp_path / "one.txt"
    one.write_text("\n\n".join("\n".join(lines) for lines in SOME_PARAGRAPHS))
    assert splits_of(tmp_path) == splits_of(one)


def test_a_few_paragraphs_are_too_few_to_take_a_part_of(tmp_path: Path) -> None:
    """A blank line at the end, or a title, does not make a text of paragraphs."""
    for number in (1, 18):
        text = "\n\n".join("\n".join(lines) for lines in SOME_PARAGRAPHS[:number])
        (tmp_path / "song.txt").write_text(f"{text}\n\n\n" + "a line\nanother\n")
        documents = load_corpus(str(tmp_path / "song.txt")).documents
        assert documents is not None
        assert (documents.kind, documents.may_cut_paragraphs) == ("line", True)


@pytest.mark.parametrize(
    ("name", "kind"), [("song.tokens", "line"), ("song.raw", "line"), ("song.jsonl", "row"), ("song.csv", "row")]
)
def test_elsewhere_a_document_is_a_line_or_a_row(name: str, kind: str, tmp_path: Path) -> None:
    """Of WikiText's files a paragraph is a line."""
    lines = [f"verse {number}" for number in range(60)]
    text = "\n\n".join(json.dumps({"text": line}) if kind == "row" else line for line in lines)
    (tmp_path / name).write_text("text\n" + "\n".join(lines) if name.endswith("csv") else text)
    corpus = load_corpus(str(tmp_path / name))
    assert corpus.documents == Documents(kind, 60, may_cut_paragraphs=False)  # type: ignore[arg-type]
    assert corpus.source.endswith(f"taken from train by the hash of each {kind}")


def test_a_line_of_a_paragraph_may_be_long_and_a_paragraph_too_long_for_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiedlm.data.sources.documents.MAX_PARAGRAPH_PIECES", most := 500)
    long_line = "a long line " * (LONGEST_PIECE // 4)
    endless = "\n".join(f"line {number}" for number in range(3 * most))
    path = tmp_path / "song.txt"
    path.write_text("\n\n".join(["\n".join(lines) for lines in SOME_PARAGRAPHS] + [long_line, f"one\n{endless}"]))
    corpus = load_corpus(str(path))
    pieces = {split: [piece for batch in corpus.batches(split) for piece in batch] for split in SPLITS}
    text = "".join(piece.text + "\n" * piece.ends_line for of_split in pieces.values() for piece in of_split)
    assert long_line in text
    assert sorted(text.splitlines()) == sorted(line for line in path.read_text().splitlines() if line)
    documents = list(paragraphs(read_pieces(path)))
    assert max(len(document.pieces) for document in documents) == most
    assert [document.is_part for document in documents] == [False] * 401 + [True] * 4
    path.write_text(endless)
    found = load_corpus(str(path)).documents
    assert found is not None
    assert found.kind == "line"


@pytest.mark.parametrize("number", [3, 10, 40, 999, 1_001])
def test_few_documents_leave_no_split_empty(number: int, tmp_path: Path) -> None:
    lines = [f"document {index} has words" for index in range(number)]
    (tmp_path / "all.txt").write_text("\n".join(lines * 2))
    corpus = load_corpus(str(tmp_path / "all.txt"))
    sizes = {split: sum(map(len, corpus.batches(split))) for split in SPLITS}
    assert sum(sizes.values()) == 2 * number
    assert min(sizes.values()) >= 2
    if number < 1_000:
        assert sizes["valid"] == sizes["test"] == 2 * max(1, number // 20)


def test_too_few_documents_are_not_split(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(f"{LINE}\n" * NUM_LINES + "another\n")
    with pytest.raises(
        InputError, match=r"has no valid and no test, and too few .* to take them from; give valid and test too"
    ):
        load_corpus(str(tmp_path))


def test_which_column_is_the_text_is_asked_and_told(tmp_path: Path) -> None:
    as_text(tmp_path / "valid.txt")
    as_text(tmp_path / "test.txt")
    table = pyarrow.table({"content": [LINE] * NUM_LINES, "title": ["A title"] * NUM_LINES})
    for split in SPLITS:
        pyarrow.parquet.write_table(table, tmp_path / f"{split}.parquet")
        (tmp_path / f"{split}.txt").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"columns content \(string\), title \(string\), .* name it by --text-column"):
        load_corpus(str(tmp_path))
    corpus = load_corpus(str(tmp_path), text_column="content")
    assert tokenized(corpus).num_tokens["train"] == NUM_TOKENS
    assert corpus.source.endswith("column content")
    with pytest.raises(InputError, match="has no column 'body' of strings"):
        load_corpus(str(tmp_path), text_column="body")
    for split in ("valid", "test"):  # plain text beside a file of columns
        (tmp_path / f"{split}.parquet").unlink()
        as_text(tmp_path / f"{split}.txt")
    corpus = load_corpus(str(tmp_path), text_column="content")
    assert tokenized(corpus).num_tokens == dict.fromkeys(SPLITS, NUM_TOKENS)
    (tmp_path / "train.parquet").unlink()
    as_text(tmp_path / "train.txt")
    with pytest.raises(InputError, match=r"\w+\.txt: is plain text, which has no column 'content'"):
        load_corpus(str(tmp_path), text_column="content")


def test_blanks_that_begin_a_line_are_text_and_the_hash_knows_lines_from_breaks_within_them(tmp_path: Path) -> None:
    hashes = set()
    for rows in (["a", "b"], ["a\nb"], [" a", "b"], ["a", "", "b"]):
        for split in SPLITS:
            (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
        hashes.add(load_corpus(str(tmp_path)).sha256["train"])
    assert len(hashes) == 4


def test_text_that_changes_between_its_hash_and_its_tokens_is_refused(corpus_folder: Path) -> None:
    (corpus_folder / "test.txt").write_text("the cat likes texts that no other test has\n" * 20)
    corpus = load_corpus(str(corpus_folder))
    valid = (corpus_folder / "valid.txt").read_text()
    (corpus_folder / "valid.txt").write_text(valid + "the cow sees\n")
    with pytest.raises(InputError, match="valid split changed while it was read"):
        tokenized(corpus)
    (corpus_folder / "valid.txt").write_text(valid)
    assert tokenized(load_corpus(str(corpus_folder))).text_sha256 == corpus.sha256


@pytest.mark.parametrize("tokenizer", ["word", "bpe:300"])
def test_a_long_line_gives_the_tokens_of_its_words(tokenizer: str, tmp_path: Path) -> None:
    """Cut or not, and a line break only where the line ends."""
    generator = random.Random(0)
    words = [f"w{generator.randrange(300)}" for _ in range(60_000)]
    long, short = tmp_path / "long", tmp_path / "short"
    for folder, separator in ((long, " "), (short, "\n")):
        folder.mkdir()
        for split in SPLITS:
            (folder / f"{split}.txt").write_text(separator.join(words) + "\n")
    of_long, of_short = (tokenized(load_corpus(str(folder)), tokenizer) for folder in (long, short))
    ids = of_long.token_ids("train")
    with_breaks = of_short.token_ids("train")
    assert (long / "train.txt").stat().st_size > 3 * LONGEST_PIECE
    eos = ids[-1]
    assert (ids == eos).sum() == 1
    names = [
        json.loads((Path(tokens.folder) / "tokenizer.json").read_text())["model"]["vocab"]
        for tokens in (of_long, of_short)
    ]
    by_id = [{number: word for word, number in vocabulary.items()} for vocabulary in names]
    without = [by_id[1][number] for number in with_breaks.tolist() if number != with_breaks[-1]]
    assert [by_id[0][number] for number in ids[:-1].tolist()] == without


@pytest.mark.parametrize("word", ["ab", "ACGTTGCA", "äö"])
def test_a_text_without_blanks_is_trained_on_in_words_of_bounded_length(word: str) -> None:
    """Else each merge takes the time of all its text; and a token is at most as long."""
    pieces = [piece.text for piece in cut(word * 30_000)]
    vocabulary = trained_vocabulary(lambda: iter([pieces]), "bpe:300")
    assert 100 < max(map(len, vocabulary.tokenizer.get_vocab())) <= 1_000
    assert vocabulary.tokenizer.decode(vocabulary.tokenizer.encode(pieces[-1]).ids) == f" {pieces[-1]}"


def test_a_text_of_words_trains_the_tokenizer_of_the_library() -> None:
    """To the byte, whatever long words are cut for."""
    generator = random.Random(0)
    words = ["".join(generator.choices("abcdeä \t.", k=generator.randrange(1, 9))) for _ in range(5_000)]
    texts = [" ".join(words), "b" * (LONGEST_TRAINED_WORD - 1), ""]
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer, plain.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    special, alphabet = ["[PAD]", "[MASK]", "[UNK]", "<eos>"], pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    plain.train_from_iterator(texts, trainer)
    plain.encode_special_tokens = True
    assert trained_vocabulary(lambda: iter([texts]), "bpe:400").text == plain.to_str()


@pytest.mark.parametrize("use_dictionary", [False, True])
def test_a_small_file_that_unpacks_to_fill_the_memory_is_refused(use_dictionary: bool, tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    rows = [f"{number}" + "a" * 1_000_000 for number in range(70)]
    table = pyarrow.table({"text": rows})
    pyarrow.parquet.write_table(table, path, use_dictionary=use_dictionary, compression="zstd")
    assert path.stat().st_size < 50_000
    with pytest.raises(InputError, match=r"train\.parquet: .*\(column 'text' unpacks from [\d,]+ bytes to 70,\d"):
        next(read_pieces(path))


@pytest.mark.parametrize("text", ["a" * (3 * LONGEST_PIECE), "a  " * LONGEST_PIECE, " " * (2 * LONGEST_PIECE + 1)])
def test_pieces_are_the_text_whatever_it_is(text: str, tmp_path: Path) -> None:
    pieces = list(cut(text))
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.ends_line for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert max(len(piece.text) for piece in pieces) <= LONGEST_PIECE
    (tmp_path / "train.txt").write_text(text + "\nnext\n")
    assert list(read_pieces(tmp_path / "train.txt")) == [*pieces, ("next", True)]


PEAK = """
import sys
from pathlib import Path
from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import tokenize

config = CorpusConfig(name=sys.argv[1], tokenizer=sys.argv[2], seq_length=64, fraction=1.0)
tokens = tokenize(load_corpus(sys.argv[1]), config)
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("tokenizer", ["word", "bpe:500"])
def test_memory_does_not_grow_with_the_length_of_a_line(tokenizer: str, tmp_path: Path) -> None:
    """One line of 12 MB takes less than 30 % more than one of 3 MB: 9 MB more text, some MB more memory."""
    kilobytes = []
    for number in (500_000, 2_000_000):
        words = random.Random(0).choices([f"w{number}" for number in range(10_000)], k=number)
        for split, share in (("train", 1.0), ("valid", 0.01), ("test", 0.01)):
            (tmp_path / f"{split}.txt").write_text(" ".join(words[: int(share * number)]))
        finished = subprocess.run(
            [sys.executable, "-c", PEAK, str(tmp_path), tokenizer], capture_output=True, text=True
        )
        assert finished.returncode == 0, finished.stderr
        kilobytes.append(int(finished.stdout))
    assert kilobytes[1] < 1.3 * kilobytes[0]


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_signal_ends_the_training_of_a_tokenizer(goes_on: bool) -> None:
    """Not after all text; and if its handler goes on, all of the text is read."""
    asked = [0]

    def read() -> Iterator[list[str]]:
        for number in range(20_000):
            asked[0] += 1
            if asked[0] == 300:  # later than the library asks ahead
                os.kill(os.getpid(), signal.SIGUSR1)
            yield [f"word{number}"]

    def handle(*_: object) -> None:
        if not goes_on:
            raise InputError("stopped; give it again")

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        if goes_on:
            assert trained_vocabulary(read, "word").size == 20_004
        else:
            with pytest.raises(InputError, match="stopped"):
                trained_vocabulary(read, "word")
            assert asked[0] < 15_000
    finally:
        signal.signal(signal.SIGUSR1, before)


def word_piece(special: list[str]) -> Tokenizer:
    """As BERT's: special tokens in the middle of the vocabulary, small letters, pieces of words."""
    words = ["[unused0]", *"abcdefghijklmnopqrstuvwxyz", *special, "the", "cat", "##s", "sat"]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(special)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding()
    return tokenizer


def test_another_models_tokenizer_keeps_its_vocabulary(corpus_folder: Path, tmp_path: Path) -> None:
    special = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"]
    tokenizer = word_piece(special)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    for split in SPLITS:
        (corpus_folder / f"{split}.txt").write_text("The CATS sat [MASK] §\n" * 20)
    tokens = tokenized(load_corpus(str(corpus_folder)), f"file:{path}")
    assert tokens.vocab_size == tokenizer.get_vocab_size()
    line = tokens.token_ids("train").tolist()[: tokens.num_tokens["train"] // 20]
    vocabulary = given_vocabulary(path, path.read_text())
    here = {word: int(vocabulary.ids[number]) for word, number in tokenizer.get_vocab().items()}
    assert [here[word] for word in ("[PAD]", "[MASK]", "[UNK]")] == [UNK_ID] * 3  # text is never the first two
    assert sorted(set(here.values()) - {UNK_ID}) == list(range(3, tokens.vocab_size))
    assert {PAD_ID, MASK_ID}.isdisjoint(line)
    assert line[:3] == [here["the"], here["cat"], here["##s"]]
    assert line[3] == here["sat"]
    assert line[-1] == here["[SEP]"]
    assert tokens.num_unk["train"] == 20 * line.count(UNK_ID) > 0


@pytest.mark.parametrize(
    ("special", "new"), [(["[UNK]"], 3), (["[UNK]", "[MASK]"], 2), (["<pad>", "[UNK]", "<mask>", "</s>"], 0)]
)
def test_a_role_that_a_tokenizer_lacks_is_a_new_token(special: list[str], new: int, tmp_path: Path) -> None:
    tokenizer = word_piece(special)
    vocabulary = given_vocabulary(tmp_path, tokenizer.to_str())
    assert vocabulary.size == tokenizer.get_vocab_size() + new
    assert UNK_ID < vocabulary.eos_id < vocabulary.size


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"model": {"type": "WordLevel", "vocab": {}}}'])
def test_what_is_no_tokenizer_is_refused(content: bytes, corpus_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"--tokenizer \S*tokenizer\.json: "):
        tokenized(load_corpus(str(corpus_folder)), f"file:{path}")


def test_bytes_and_words_are_counted_by_the_text_and_unknown_words_by_the_tokens(corpus_folder: Path) -> None:
    (corpus_folder / "valid.txt").write_text("the zebra häuft\n" * 30 + "\n")
    counts: dict[str, Any] = {}
    for tokenizer in ("word", "bpe:300"):
        tokens = tokenized(load_corpus(str(corpus_folder)), tokenizer)
        assert (tokens.num_words["valid"], tokens.num_bytes["valid"]) == (30 * 4 + 1, 30 * 17 + 1)
        counts[tokenizer] = tokens.num_unk["valid"]
        assert tokens.num_unk["valid"] == int(np.sum(tokens.token_ids("valid") == UNK_ID))
    assert counts == {"word": 60, "bpe:300": 0}


ROWS = [("1", "a cat, which; sat | there"), ("2", "a dog with two\nlines"), ("3", 'she said "no"')]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "^", "\x01", ":"])
@pytest.mark.parametrize("name", ["train.csv", "train.CSV.gz", "train.tsv", "train.tab", "train.tsv.gz", "train.psv"])
def test_a_table_is_divided_by_its_own_separator(name: str, separator: str, tmp_path: Path) -> None:
    """Whatever its name says; whole rows would else be trained on, ids and header among them."""
    path, table = tmp_path / name, io.StringIO(newline="")
    csv.writer(table, delimiter=separator).writerows([("id", "text"), *ROWS])
    content = table.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    assert [piece.text for piece in read_pieces(path)] == [text for _, text in ROWS]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_table_of_one_column_is_divided_by_none(separator: str, tmp_path: Path) -> None:
    path = tmp_path / ("train.tsv" if separator != "\t" else "train.csv")
    path.write_text(f"text\na cat{separator} and a dog\n")
    assert [piece.text for piece in read_pieces(path)] == [f"a cat{separator} and a dog"]


def test_a_column_whose_name_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,id,text\na cat,1,\n")
    with pytest.raises(InputError, match=r"it has a column 'text' twice"):
        list(read_pieces(tmp_path / "train.csv"))


@pytest.mark.parametrize("other", [{}, {"id": ["a", "b"]}, {"id": [1, 2]}])
@pytest.mark.parametrize("name", ["text", "tokens"])
@pytest.mark.parametrize(("value", "kind"), [(["a", "cat"], r"list<\w+: string>"), ({"en": "a cat"}, r"struct<")])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_column_of_lists_is_no_text_and_none_is_read_in_its_place(
    is_named: bool, value: Any, kind: str, name: str, other: dict[str, list[Any]], tmp_path: Path
) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({name: [value] * 2, **other}), path)
    with pytest.raises(InputError, match=rf"train\.parquet: column '{name}' holds {kind}.*, not text; join the parts"):
        list(read_pieces(path, name if is_named else None))
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({name: value, "id": "a"}) + "\n")
    with pytest.raises(InputError, match=rf"line 1: '{name}' is .*, not a string; join its parts"):
        list(read_pieces(path, name))


def test_a_named_column_beside_one_of_lists_is_read(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"tags": [["a"]], "sentence": ["a cat"], "text": ["a dog"]}), path)
    assert [[piece.text for piece in read_pieces(path, name)] for name in (None, "sentence")] == [["a dog"], ["a cat"]]
    pyarrow.parquet.write_table(pyarrow.table({"text": [b"a dog"], "id": ["1"]}), path)
    with pytest.raises(InputError, match="of which none is clearly the text; name it by --text-column"):
        list(read_pieces(path))
