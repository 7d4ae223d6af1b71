"""Odd but plausible text: read as it is meant, or refused in a sentence that names the file."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tiedlm.config.corpus_config import SPLITS, CorpusConfig
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.sources.text_file import read_pieces
from tiedlm.data.tokens import tokenize
from tiedlm.errors import InputError

LINES = [f"the cat number {number} sees a dog" for number in range(30)]
TEXT = "".join(f"{line}\n" for line in LINES)
TABLE = "".join(f"{number}\t{line}\n" for number, line in enumerate(LINES))
READ = {
    "bom-crlf.txt": ("\ufeff" + TEXT.replace("\n", "\r\n")).encode(),
    "cr.txt": TEXT.replace("\n", "\r").encode(),
    "cr.csv": ("text\n" + TEXT).replace("\n", "\r").encode(),
    "bom-quoted.csv": ('\ufeff"text";"id"\n' + "".join(f'"{line}";1\n' for line in LINES)).encode(),
    "index.csv": (",text\n" + TABLE.replace("\t", ",")).encode(),
    "members.txt.gz": b"".join(gzip.compress(f"{line}\n".encode()) for line in LINES),
    "members.txt.bz2": b"".join(bz2.compress(f"{line}\n".encode()) for line in LINES),
    "members.txt.xz": b"".join(lzma.compress(f"{line}\n".encode()) for line in LINES),
    "zeros.txt.gz": gzip.compress(TEXT.encode()) + b"\0" * 100,
    "lines.jsonlines": "".join(json.dumps({"text": line}) + "\r\n" for line in LINES).encode(),
    "\u0130 a;b'$x\n.tsv": ("id\ttext\n" + TABLE).encode(),
    "notes.md": TEXT.encode(),
}


@pytest.mark.parametrize("name", READ)
def test_it_is_read_as_it_is_meant(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(READ[name])
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / name).symlink_to(tmp_path / name)
    for path in (tmp_path / name, tmp_path / "link" / name):
        assert [piece.text for piece in read_pieces(path)] == LINES


TOLD = {
    "open.tsv": (
        f'id\ttext\n0\t"open\n{TABLE}1\tend"\n',
        r"\(a field that ends in line 33 holds tabs",
    ),
    "open.csv": (f'id,text\n0,"open\n{TEXT}', r"\(line 32: unexpected end of data; a field in quotes has its own"),
    "bare.tsv": ('id\ttext\n0\t"so" he said\n', r"\(line 2: .*; a field in quotes has its own quotes twice\)"),
    "escaped.csv": ('id,text\n0,"he said \\"so\\" then"\n', r"\(line 2: .*; a field in quotes has its own quotes"),
    "ragged.csv": ("id,text\n0,a\n1,b,c\n", r"\(line 3 has 3 fields, the header 2\)"),
    "short.csv": ("id,text\n0,a\n1\n", r"\(line 3 has 1 fields, the header 2\)"),
    "bad.jsonl": ('{"text": "a"}\n{"text": \n', "line 2 cannot be read as JSON"),
    "nan.jsonl": ('{"text": NaN}\n', "line 1: 'text' is NaN, not a string"),
    "lines.jl": (
        '{"text": "a cat"}\n{"text": "a dog"}\n',
        r"its lines are JSON; name it \.jsonl .* or \.txt to read all",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_it_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    content, told = TOLD[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name}: .*{told}" if told[:2] == r"\(" else rf"{name}: {told}"):
        list(read_pieces(tmp_path / name))


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".json", ".jsonl"])
@pytest.mark.parametrize("content", ["\ufeff", "\ufeff\n", "\n\n"])
def test_nothing_but_a_mark_or_blank_lines_is_no_text(content: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"train{suffix}"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"train split is empty|has columns none|too few different documents"):
        load_corpus(str(path))


def test_a_column_that_is_no_utf8_is_told(tmp_path: Path) -> None:
    import datasets

    raw = pyarrow.array([b"caf\xe9 " + line.encode() for line in LINES], pyarrow.binary())
    table = pyarrow.table({"text": pyarrow.Array.from_buffers(pyarrow.string(), len(raw), raw.buffers())})
    pyarrow.parquet.write_table(table, tmp_path / "train.parquet")
    datasets.Dataset(datasets.table.InMemoryTable(table)).save_to_disk(tmp_path / "saved")
    for place in (tmp_path / "train.parquet", tmp_path / "saved"):
        with pytest.raises(InputError, match="column 'text' is not UTF-8 text; convert it"):
            load_corpus(str(place))


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, names=["text", "text"]), path)
    with pytest.raises(InputError, match="it has a column 'text' twice"):
        list(read_pieces(path))


@pytest.mark.parametrize("broken", [("train",), ("valid", "test")])
def test_a_split_that_is_a_link_to_nothing_is_not_taken_from_train(broken: tuple[str, ...], tmp_path: Path) -> None:
    for split in SPLITS:
        if split in broken:
            (tmp_path / f"{split}.txt").symlink_to(tmp_path / "nowhere")
        else:
            (tmp_path / f"{split}.txt").write_text(TEXT)
    with pytest.raises(InputError, match=r"\.txt: is a link to \S+nowhere, which is not there"):
        load_corpus(str(tmp_path))


@pytest.mark.parametrize("unk", ["[UNK]", None])
def test_a_tokenizer_that_knows_nothing_of_a_text_is_refused(unk: str | None, tmp_path: Path) -> None:
    vocabulary = {"\u732b": 0, "\u72ac": 1, **({unk: 2} if unk else {})}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token=unk))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "all.txt").write_text(TEXT)
    config = CorpusConfig(name="all", tokenizer=f"file:{tmp_path / 'tokenizer.json'}", seq_length=8, fraction=1.0)
    with pytest.raises(
        InputError, match=r"--tokenizer \S+: knows nothing of corpus .* its train split is \[UNK\] alone"
    ):
        tokenize(load_corpus(str(tmp_path / "all.txt")), config)
