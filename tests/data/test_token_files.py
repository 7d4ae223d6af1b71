"""Encoding goes on where an ended process stopped, and what it leaves is what one process would have left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.test_corpus import tokenized
from tiedlm.config.corpus_config import SPLITS
from tiedlm.data import token_files, tokens
from tiedlm.data.sources import pieces
from tiedlm.data.sources.cache import FILLING_PREFIX, cache_path, cached_folder
from tiedlm.errors import InputError, Stopped

NUM_LINES = {"train": 400, "valid": 90, "test": 90}
SIGTERM = 15


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A text of many batches, a cache of its own, and a note of progress after every second batch."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pieces, "PIECES_AT_ONCE", 10)
    monkeypatch.setattr(token_files, "BATCHES_BETWEEN_SAVES", 2)
    folder = tmp_path / "text"
    folder.mkdir()
    for split, number in NUM_LINES.items():
        lines = [f"the cat{line % 7} sat {line % 11} on the mat" for line in range(number)]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def after(number: int, error: BaseException) -> tuple[Callable[..., Any], list[int]]:
    """Encodes so many batches and then raises; and a list of the batches' sizes."""
    encoded: list[int] = []
    encode = token_files.encode_pieces

    def encode_or_end(vocabulary: Any, batch: Any) -> Any:
        if len(encoded) == number:
            raise error
        encoded.append(len(batch))
        return encode(vocabulary, batch)

    return encode_or_end, encoded


@pytest.mark.parametrize("tokenizer", ["word", "bpe:300"])
@pytest.mark.parametrize("num_batches", [1, 7, 42, 57])
def test_a_stopped_command_is_gone_on_with(
    text: Path, tokenizer: str, num_batches: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as at_once:
        at_once.setenv("XDG_CACHE_HOME", str(tmp_path / "other-cache"))
        whole = files(Path(tokenized(text, tokenizer).folder))
    with monkeypatch.context() as stopped:
        ending, _ = after(num_batches, Stopped(SIGTERM))
        stopped.setattr(token_files, "encode_pieces", ending)
        with pytest.raises(Stopped):
            tokenized(text, tokenizer)
    assert len(list(cache_path().glob(f"{FILLING_PREFIX}*"))) == 1
    ending, encoded = after(-1, Stopped(SIGTERM))
    monkeypatch.setattr(token_files, "encode_pieces", ending)
    monkeypatch.setattr(tokens, "trained_vocabulary", lambda *_: pytest.fail("the tokenizer is there already"))
    assert files(Path(tokenized(text, tokenizer).folder)) == whole
    assert len(encoded) in (58 - num_batches, 58 - num_batches + 1)  # at most one batch is encoded again
    assert not list(cache_path().glob(f"{FILLING_PREFIX}*"))


def test_an_error_leaves_nothing_to_go_on_with(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending, _ = after(7, OSError(28, "No space left on device"))
    monkeypatch.setattr(token_files, "encode_pieces", ending)
    with pytest.raises(InputError, match="No space left"):
        tokenized(text)
    assert list(cache_path().iterdir()) == []


def test_half_filled_folders_of_others_are_left_alone(text: Path) -> None:
    """Of a process that lives, and of another text."""
    key = tokenized(text).folder

    def fill(folder: Path) -> None:
        (folder / "mine").touch()
        cached_folder(["shared"], lambda inner: (inner / "other").touch())

    shared = cached_folder(["shared"], fill)
    assert {path.name for path in shared.iterdir()} == {"other", "sha256.json"}
    assert Path(key).is_dir()


def test_what_was_begun_by_another_tokenizer_is_begun_again(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as stopped:
        stopped.setattr(token_files, "encode_pieces", after(30, Stopped(SIGTERM))[0])
        with pytest.raises(Stopped):
            tokenized(text)
    progress = next(cache_path().rglob(token_files.PROGRESS_FILE))
    progress.write_text(progress.read_text().replace('"tokenizer_sha256":"', '"tokenizer_sha256":"0'))
    ending, encoded = after(-1, Stopped(SIGTERM))
    monkeypatch.setattr(token_files, "encode_pieces", ending)
    found = tokenized(text)
    assert len(encoded) == 58
    assert {split: found.num_tokens[split] for split in SPLITS} == {
        split: 8 * number for split, number in NUM_LINES.items()
    }
