"""A known corpus or a tokenizer from the network: from the Hugging Face Hub, or by the address of a file.

By the Hub's own client, but for the files of a corpus: of these it forgets what came before a command was interrupted.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from tiedlm.config.corpus_config import SPLITS
from tiedlm.data.sources.cache import cache_path
from tiedlm.data.sources.hub_access import NotFetched, asking_the_hub, why
from tiedlm.data.sources.known_corpora import KnownCorpus
from tiedlm.data.sources.layout import SplitFiles, split_groups
from tiedlm.data.sources.pieces import Reader
from tiedlm.data.sources.watcher import Watcher
from tiedlm.errors import InputError
from tiedlm.hub_client import within

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

TIMEOUT_SECONDS = 30.0
BYTES_AT_ONCE = 1 << 16
MAX_FILE_BYTES = 1 << 31  # the largest file of a known corpus has 160 MB
MAX_TRIES = 10
MAX_TOKENIZER_BYTES = 1 << 27
MAX_TOKENIZER_SECONDS = 600.0


def fetch_corpus_from_hub(known: KnownCorpus, folder: Path, watcher: Watcher) -> tuple[dict[str, Reader], str]:
    """The readers of a corpus's parquet files, fetched into a folder, and where they are from.

    Raises:
        NotFetched: the Hub does not give them.
    """
    with asking_the_hub(watcher):
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        name, revision = known.hub_name, known.revision
        # One try, whatever the answer: where there is no network, the listing would try for half a minute.
        get_session().request("HEAD", hf_hub_url(name, "README.md", repo_type="dataset"), timeout=TIMEOUT_SECONDS)
        files = _parquet_files(known)
        if not files:
            raise NotFetched(f"it has no parquet files in {known.config}")
        meter = _Meter(watcher, sum(file.size for file in files))
        watcher.tell(
            f"fetching {known.title} from {name} on the Hub: {len(files)} files, {meter.total / 1e6:,.1f} MB; "
            f"licence: {known.licence}"
        )
        for file in files:
            address = hf_hub_url(name, file.path, repo_type="dataset", revision=revision)
            path = folder / Path(file.path).relative_to(known.config)
            _fetch_file(address, path, file.size, build_hf_headers(), meter, re.sub(r"\W", "", file.blob_id)[:12])
    try:
        splits = {split: files for group in split_groups(folder) for split, files in group.splits.items()}
    except InputError as error:
        raise NotFetched(str(error)) from error
    if set(splits) != set(SPLITS):
        raise NotFetched(f"its files of {known.config} are not train, validation and test")
    return {split: splits[split].reader(None) for split in SPLITS}, f"Hub {name}, {known.config}"


def _parquet_files(known: KnownCorpus) -> list[RepoFile]:
    """Those of a corpus's folder on the Hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import RepoFile

    place = partial(
        HfApi().list_repo_tree, known.hub_name, recursive=True, repo_type="dataset", revision=known.revision
    )
    try:
        listed = list(place(known.config))
    except HfHubHTTPError as error:
        if error.response.status_code != 404:
            raise
        listed = list(place())  # not every mirror of the Hub lists a folder alone
    return [
        item
        for item in listed
        if isinstance(item, RepoFile)
        and item.path.startswith(f"{known.config}/")
        and item.path.endswith(".parquet")
        and ".." not in Path(item.path).parts  # it is going to be written below a folder of ours
    ]


def fetch_corpus_by_address(known: KnownCorpus, folder: Path, watcher: Watcher) -> tuple[dict[str, Reader], str]:
    """The readers of a corpus's original files, fetched into a folder, and where they are from.

    Raises:
        NotFetched: the address does not give them.
    """
    assert known.raw_files is not None
    watcher.tell(f"fetching {known.title} from {known.raw_files}; licence: {known.licence}")
    readers: dict[str, Reader] = {}
    with asking_the_hub(watcher):
        for split in SPLITS:
            address = known.raw_files.format(split=split)
            path = folder / address.rpartition("/")[2]
            _fetch_file(address, path, None, {}, _Meter(watcher, None))
            readers[split] = SplitFiles((path,)).reader(None)
    return readers, known.raw_files


def fetch_tokenizer(hub_name: str, watcher: Watcher) -> Path:
    """`tokenizer.json` of a model on the Hub; from the Hub's cache where the network does not give it.

    Raises:
        InputError: it cannot be had.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache

    name = "tokenizer.json"

    def ask() -> Path:
        size = get_hf_file_metadata(hf_hub_url(hub_name, name)).size  # before it is fetched and kept
        if size is None or size > MAX_TOKENIZER_BYTES:
            told = "unknown size" if size is None else f"{size:,} bytes"
            raise NotFetched(f"{name} there is of {told}, over the limit of {MAX_TOKENIZER_BYTES:,}")
        return Path(hf_hub_download(hub_name, name))

    try:
        with asking_the_hub(watcher):
            return within(MAX_TOKENIZER_SECONDS, ask)
    except NotFetched as error:
        cached = try_to_load_from_cache(hub_name, name)
        if isinstance(cached, str):
            return Path(cached)
        raise InputError(
            f"--tokenizer hub:{hub_name}: {error}; check the name, or give the file {name} by --tokenizer FILE"
        ) from error


class _Meter:
    """Adds up the bytes of one or several files for whoever watches; the total may be told by the first answer."""

    def __init__(self, watcher: Watcher, total: int | None) -> None:
        self.watcher, self.total, self.done = watcher, total or 0, 0

    def add(self, num_bytes: int) -> None:
        self.done += num_bytes
        self.watcher.fetched(self.done, max(self.total, self.done))


@contextlib.contextmanager
def only_one_fetches(name: str, watcher: Watcher) -> Iterator[None]:
    """Let one command at a time fetch a corpus; the next finds it in the cache.

    Raises:
        InputError: the cache cannot be written.
    """
    try:
        cache_path().mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(cache_path() / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            watcher.tell(f"another command fetches {name}; waiting for it")
            lock.acquire()
    except OSError as error:
        raise InputError(
            f"{cache_path()}: the cache cannot be used ({error.strerror}); set XDG_CACHE_HOME to a folder that can"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _fetch_file(
    address: str, path: Path, size: int | None, headers: dict[str, str], meter: _Meter, version: str = ""
) -> None:
    """Fetch a file, going on where an earlier try ended: one of this command's or, of the same version, of another's.

    Raises:
        NotFetched: it ends early again and again, or is larger than it may be.
    """
    if path.is_file():
        meter.add(path.stat().st_size)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{version}.part")
    part.touch()
    meter.add(part.stat().st_size)
    for _ in range(MAX_TRIES):
        there = part.stat().st_size
        try:
            if there != size:
                size = _append(address, part, size, headers, meter)
        except NotFetched:
            raise
        except Exception as error:  # of the client's network library, which differs from version to version
            if part.stat().st_size == there:  # nothing came
                raise NotFetched(why(error)) from error
        if part.stat().st_size == size:
            part.replace(path)
            return
    raise NotFetched(
        f"the connection ends early again and again: {part.stat().st_size:,} of {size or 0:,} bytes are here"
    )


def _append(address: str, part: Path, size: int | None, headers: dict[str, str], meter: _Meter) -> int:
    """Ask for the bytes that are missing and write them; how large the whole is."""
    from huggingface_hub.utils import hf_raise_for_status, http_stream_backoff  # type: ignore[attr-defined]

    there = part.stat().st_size
    asked = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
    with http_stream_backoff(
        "GET", address, headers=asked, timeout=TIMEOUT_SECONDS, retry_on_exceptions=()
    ) as response:
        if response.status_code == 416:  # what is there is more than all
            part.write_bytes(b"")
            meter.add(-there)
            return size or 0
        hf_raise_for_status(response)
        goes_on = response.status_code == 206
        if not goes_on:
            meter.add(-there)
            there = 0
        length = response.headers.get("Content-Length", "")
        size = there + int(length) if length.isdecimal() else size
        if size is None or size > MAX_FILE_BYTES:
            raise NotFetched(f"{address} does not say how large it is, or is over {MAX_FILE_BYTES:,} bytes")
        meter.total = max(meter.total, size)
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in response.iter_bytes(BYTES_AT_ONCE):
                file.write(chunk)
                meter.add(len(chunk))
                if file.tell() > size:
                    raise NotFetched(f"{address} gives more than the {size:,} bytes that it promised")
    return size
