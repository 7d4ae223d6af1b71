"""Text that is packed, stands for a file elsewhere, or is in another encoding: read whole, or told what it is."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tiedlm.config.corpus_config import SPLITS, CorpusConfig
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.sources.text_file import read_pieces
from tiedlm.data.tokens import tokenize
from tiedlm.errors import InputError

LINES = [f"the cat number {number} sees a dog" for number in range(30)]
TEXT = "".join(f"{line}\n" for line in LINES).encode()
ROWS = ("text\n" + TEXT.decode()).encode()
READ: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def zipped(content: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("train.txt", content)
    return archive.getvalue()


def tarred(content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        entry = tarfile.TarInfo("train.txt")
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def by_arrow(codec: str) -> Callable[[bytes], bytes]:
    return lambda content: pyarrow.compress(content, codec, asbytes=True)


NOT_READ: dict[str, Callable[[bytes], bytes]] = {
    "lz4": by_arrow("lz4"),
    "zip": zipped,
    "tar": tarred,
    "7z": lambda content: b"7z\xbc\xaf\x27\x1c\0\4" + content,
    "rar": lambda content: b"Rar!\x1a\x07\x01\0" + content,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "compress": lambda content: b"\x1f\x9d\x90" + content,
}
if importlib.util.find_spec("compression") is None:
    NOT_READ["zstd"] = by_arrow("zstd")
else:
    READ[".zst"] = by_arrow("zstd")


@pytest.mark.parametrize("suffix", READ)
@pytest.mark.parametrize("content", [".txt", ".csv", ""])
def test_what_is_packed_is_read(content: str, suffix: str, tmp_path: Path) -> None:
    for split in SPLITS:
        (tmp_path / f"{split}{content}{suffix}").write_bytes(READ[suffix](ROWS if content == ".csv" else TEXT))
    corpus = load_corpus(str(tmp_path))
    assert [piece.text for batch in corpus.batches("train") for piece in batch] == LINES


@pytest.mark.parametrize("packing", READ)
@pytest.mark.parametrize("name", ["train.txt", "train", *(f"train.txt{suffix}" for suffix in READ)])
def test_what_is_packed_is_known_by_its_content(name: str, packing: str, tmp_path: Path) -> None:
    for content in (READ[packing](TEXT), TEXT):
        (tmp_path / name).write_bytes(content)
        assert [piece.text for piece in read_pieces(tmp_path / name)] == LINES


@pytest.mark.parametrize("packing", NOT_READ)
@pytest.mark.parametrize("name", ["train.txt", "train.jsonl", "train.json", "train.csv", "train.parquet", "train.gz"])
def test_what_is_packed_otherwise_is_told(name: str, packing: str, tmp_path: Path) -> None:
    for content in (NOT_READ[packing](TEXT), gzip.compress(NOT_READ[packing](TEXT))):
        (tmp_path / name).write_bytes(content)
        told = "is a tar archive" if packing == "tar" else f"is compressed by {packing}"
        told = f"({told}|is compressed by gzip)" if name == "train.parquet" else told
        with pytest.raises(InputError, match=rf"{name}: {told}; unpack it, or .* \(\.gz, \.bz2 and \.xz are read\)"):
            list(read_pieces(tmp_path / name))


@pytest.mark.parametrize("suffix", READ)
def test_packed_bytes_that_are_damaged_are_told(suffix: str, tmp_path: Path) -> None:
    path, packed = tmp_path / f"train.txt{suffix}", READ[suffix](TEXT * 100)
    middle = len(packed) // 2
    for content in (packed[:-20], packed[:middle] + b"\x55" * 20 + packed[middle + 20 :]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be read .*; (correct|check) the file"):
            list(read_pieces(path))


@pytest.mark.parametrize("ending", [".zip", ".txt.lz4", ".tar.gz", ".parquet.gz", ".7z"])
@pytest.mark.parametrize("others", [(), ("train",)])
def test_a_split_that_is_packed_otherwise_is_not_taken_from_train(
    others: tuple[str, ...], ending: str, tmp_path: Path
) -> None:
    pack = {".tar.gz": lambda content: gzip.compress(tarred(content)), ".parquet.gz": gzip.compress}
    for split in SPLITS:
        packed = pack.get(ending, NOT_READ.get(ending.rpartition(".")[2], gzip.compress))(TEXT)
        path = tmp_path / (f"{split}.txt" if split in others else f"{split}{ending}")
        path.write_bytes(TEXT if split in others else packed)
    with pytest.raises(InputError, match=r"(train|valid|test)\S+: is compressed by \w+; unpack it"):
        load_corpus(str(tmp_path))


POINTER = (
    "version https://{}/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 1\n"
)


@pytest.mark.parametrize("place", ["git-lfs.github.com", "hawser.github.com"])
@pytest.mark.parametrize(
    "name", ["train.txt", "train.txt.gz", "train.jsonl", "train.json", "train.csv", "train.parquet"]
)
def test_a_pointer_is_no_text(name: str, place: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(POINTER.format(place))
    with pytest.raises(InputError, match=rf"{name}: is a Git LFS pointer, .* fetch that by git lfs pull"):
        list(read_pieces(tmp_path / name))
    (tmp_path / "train.txt").write_text(POINTER.format(place) + TEXT.decode() * 2)  # text about pointers is text
    assert len(list(read_pieces(tmp_path / "train.txt"))) == 3 + 2 * len(LINES)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("pattern", ["*.arrow", "state.json", "*"])
def test_pointers_are_no_saved_data_set(pattern: str, tmp_path: Path) -> None:
    import datasets

    of_split = datasets.Dataset.from_dict({"text": LINES})
    datasets.DatasetDict(dict.fromkeys(SPLITS, of_split)).save_to_disk(tmp_path / "text")
    for path in (tmp_path / "text").rglob(pattern):
        if path.is_file():
            path.write_text(POINTER.format("git-lfs.github.com"))
    with pytest.raises(InputError, match=r"(arrow|json): is a Git LFS pointer, .* git lfs pull"):
        load_corpus(str(tmp_path / "text"))


def test_a_pointer_of_git_annex_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("/annex/objects/SHA256E-s132--4d7a21.txt\n")
    with pytest.raises(InputError, match="is a git-annex pointer"):
        list(read_pieces(tmp_path / "train.txt"))


def test_a_pointer_is_no_tokenizer(corpus_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(POINTER.format("git-lfs.github.com"))
    config = CorpusConfig(name="text", tokenizer=f"file:{path}", seq_length=8, fraction=1.0)
    with pytest.raises(InputError, match=r"--tokenizer \S+: is a Git LFS pointer, .* git lfs pull"):
        tokenize(load_corpus(str(corpus_folder)), config)


@pytest.mark.parametrize("text", [TEXT.decode(), "id,text\n1,a\n", "\u043a\u043e\u0442 \U0001f600 sees it\n" * 9])
@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-32-be", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["train.txt", "train.jsonl", "train.json", "train.csv", "train.txt.gz"])
def test_another_encoding_is_told(name: str, encoding: str, text: str, tmp_path: Path) -> None:
    content = text.encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    is_sure = "32" in encoding or encoding == "utf-16" or text.isascii()
    told = f"is {encoding[:6].upper()} text; convert it to UTF-8" if is_sure else r"is (binary|not UTF-8)"
    with pytest.raises(InputError, match=f"{name}: {told}"):
        list(read_pieces(tmp_path / name))


@pytest.mark.parametrize("content", [b"ab\0c\n", b"\0" * 40, b"a\0\0b" * 9, bytes(range(1, 128)) + b"\0"])
def test_zeros_alone_make_no_other_encoding(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(InputError, match="is binary"):
        list(read_pieces(tmp_path / "train.txt"))
