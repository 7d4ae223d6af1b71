"""Penn Treebank and WikiText arrive by themselves: from a folder in any layout, the cache, the Hub, the raw files."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.cli.test_bad_input import CACHE, run_tiedlm
from tests.data.hub_server import FakeHub, Fault, fake_hub
from tiedlm.config.corpus_config import SPLITS, CorpusConfig
from tiedlm.data.sources import fetch, known_text
from tiedlm.data.sources.corpus import Corpus, load_corpus
from tiedlm.data.sources.known_corpora import KNOWN
from tiedlm.data.sources.watcher import Watcher
from tiedlm.data.tokens import tokenize
from tiedlm.errors import InputError

pytestmark = pytest.mark.slow
HUB_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
TINY = (
    "--steps 2 --set model.hidden_size=16 --set model.intermediate_size=16 --set model.num_hidden_layers=1 "
    "--set model.num_attention_heads=1 --set train.num_evaluations=1 --set corpus.seq_length=64"
)


def write_hub(folder: Path, name: str, real_data: Path) -> None:
    """A corpus as the Hub has it: PTB's lines stripped, WikiText's with blanks and breaks but for blank lines."""
    known = KNOWN[name]
    place = folder / "datasets" / known.hub_name / known.config
    place.mkdir(parents=True)
    for split, called in HUB_SPLITS.items():
        lines = original(name, split, real_data).read_text().splitlines(keepends=True)
        if name == "ptb":
            table = pyarrow.table({"sentence": [line.strip() for line in lines]})
            path = place / f"{called}/0000.parquet"
            path.parent.mkdir()
        else:
            table = pyarrow.table({"text": [line if line.strip() else "" for line in lines]})
            path = place / f"{called}-00000-of-00001.parquet"
        pyarrow.parquet.write_table(table, path)


def original(name: str, split: str, real_data: Path) -> Path:
    """A file of the real corpus."""
    return real_data / KNOWN[name].folder / (f"ptb.{split}.txt" if name == "ptb" else f"{split}.txt")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub on this machine, with nothing in its cache or ours, and no way to any other machine."""
    monkeypatch.delenv("TIEDLM_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with fake_hub(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server


def test_from_an_empty_machine_to_training_and_then_offline(
    real_data: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hub(hub.folder, "ptb", real_data)
    finished = run_tiedlm(tmp_path, f"train ptb --tied {TINY} --tokenizer word:100 --out first --json")
    assert finished.returncode == 0, finished.stderr
    known = KNOWN["ptb"]
    assert re.search(
        rf"fetching {known.title} from {known.hub_name} on the Hub: 3 files, [\d.]+ MB; licence: ", finished.stderr
    )
    assert known.licence in finished.stderr
    record = json.loads(finished.stdout)
    assert record["data"]["text_sha256"] == known.sha256
    assert record["data"]["num_tokens"] == known.num_tokens
    assert record["text_source"] == f"Hub {known.hub_name}, {known.config}"
    hub.requests.clear()
    finished = run_tiedlm(tmp_path, f"train ptb --tied {TINY} --tokenizer word:100 --json --data-dir {real_data}")
    assert finished.returncode == 0, finished.stderr
    local = json.loads(finished.stdout)
    assert (local["metrics"], local["data"]) == (record["metrics"], record["data"])
    assert local["text_source"] == "local files"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / CACHE))
    assert load_corpus("ptb").sha256 == record["data"]["text_sha256"]
    assert hub.requests == []


class Heard(Watcher):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, sentence: str) -> None:
        self.told.append(sentence)

    notice = tell


FAULTS: dict[
    str, tuple[list[Fault], str | None, str]
] = {  # what fails, what is said (None: it is mended), told meanwhile
    "unauthorised": ([Fault("api/", 401)], "on the Hub: answers HTTP 401; if it needs a login, set HF_TOKEN", ""),
    "not there": (
        [Fault("api/", 404, headers={"X-Error-Code": "EntryNotFound"})],
        "on the Hub: no such file there",
        "",
    ),
    "busy for a moment": ([Fault("tree", 429, 1, {"Retry-After": "1"})], None, "waiting 1 s"),
    "busy for an hour": ([Fault("tree", 429, headers={"Retry-After": "3600"})], "asks to come again in 3,600 s", ""),
    "busy at a file": ([Fault("0000.parquet", 429, headers={"Retry-After": "3600"})], "come again in 3,600 s", ""),
    "a mirror that lists no folder": ([Fault("tree/refs/convert/parquet/penn_treebank", 404)], None, ""),
    "broken twice": ([Fault("tree", 500, 2)], None, ""),
    "breaks off once": ([Fault("train/0000.parquet", times=1, cut_body=True)], None, ""),
    "another text": ([Fault("test/0000.parquet", body=b"PAR1")], "0000.parquet: cannot be read as .parquet", ""),
}


@pytest.fixture
def asked_here(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """The Hub for this process, and the Hub alone."""
    monkeypatch.setitem(KNOWN, "ptb", dataclasses.replace(KNOWN["ptb"], raw_files=None))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return hub


def test_wikitext_arrives_from_the_hub(real_data: Path, asked_here: FakeHub) -> None:
    write_hub(asked_here.folder, "wikitext-2", real_data)
    heard = Heard()
    tokens = tokenize(
        load_corpus("wikitext-2", watcher=heard),
        CorpusConfig(name="wikitext-2", tokenizer="word", seq_length=64, fraction=1.0),
    )
    assert tokens.num_tokens == KNOWN["wikitext-2"].num_tokens
    size = sum(path.stat().st_size for path in asked_here.folder.rglob("*.parquet"))
    assert f"3 files, {size / 1e6:.1f} MB" in heard.told[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_on_the_way_is_mended_or_said(
    fault: str, real_data: Path, asked_here: FakeHub, tmp_path: Path
) -> None:
    write_hub(asked_here.folder, "ptb", real_data)
    faults, wrong, told = FAULTS[fault]
    asked_here.faults = [dataclasses.replace(one) for one in faults]
    heard = Heard()
    if wrong is None:
        assert load_corpus("ptb", watcher=heard).sha256 == KNOWN["ptb"].sha256
        assert told in " ".join(heard.told)
    else:
        with pytest.raises(InputError) as refused:
            load_corpus("ptb", watcher=heard)
        assert f"{KNOWN['ptb'].hub_name} on the Hub: " in str(refused.value)
        assert wrong in str(refused.value)
        assert "pass --data-dir or set TIEDLM_DATA" in str(refused.value)
        assert list((tmp_path / "cache" / "tiedlm").glob("*/train.txt")) == []


def test_an_interrupted_download_goes_on(real_data: Path, asked_here: FakeHub) -> None:
    write_hub(asked_here.folder, "ptb", real_data)
    asked_here.faults = [Fault("train/0000.parquet", cut_body=True, times=1), Fault("train/0000.parquet", 404)]
    with pytest.raises(InputError, match="answers HTTP 404"):
        load_corpus("ptb")
    asked_here.faults, asked_here.requests = [], []
    load_corpus("ptb")
    asked = [request for request in asked_here.requests if request.startswith("GET datasets")]
    assert [request for request in asked if "test/" in request] == []  # it came before train, and is here
    assert "train/0000.parquet bytes=" in asked[0]


def test_a_source_with_another_text_is_refused_and_the_next_is_tried(
    real_data: Path, asked_here: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = asked_here
    write_hub(hub.folder, "ptb", real_data)
    wrong = hub.folder / "datasets" / KNOWN["ptb"].hub_name / "penn_treebank" / "validation" / "0000.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"sentence": ["no words of the treebank"] * 3_370}), wrong)
    (hub.folder / "raw").mkdir()
    for split in SPLITS:
        shutil.copy(original("ptb", split, real_data), hub.folder / "raw" / f"ptb.{split}.txt")
    address = f"{hub.endpoint}/raw/ptb.{{split}}.txt"
    monkeypatch.setitem(KNOWN, "ptb", dataclasses.replace(KNOWN["ptb"], raw_files=address))
    hub.faults = [Fault("raw/ptb.train.txt", times=1, cut_body=True)]
    heard = Heard()
    corpus = load_corpus("ptb", watcher=heard)
    assert corpus.sha256 == KNOWN["ptb"].sha256
    assert corpus.source == address
    assert any("not the published Penn Treebank valid split (SHA-256" in sentence for sentence in heard.told)
    assert any(request.startswith("GET raw/ptb.train.txt bytes=") for request in hub.requests)


def test_a_data_set_of_the_hub_and_a_tokenizer_of_the_hub(hub: FakeHub, tmp_path: Path) -> None:
    place = hub.folder / "datasets" / "someone" / "stories" / "data"
    place.mkdir(parents=True)
    for called, number in (("train", 400), ("validation", 40)):
        table = pyarrow.table({"story": [f"once upon a time there was number {row}" for row in range(number)]})
        pyarrow.parquet.write_table(table, place / f"{called}-00000-of-00001.parquet")
    words = ["[UNK]", "once", "upon", "a", "time", "there", "was", "number", "[MASK]"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["[UNK]", "[MASK]"])
    path = hub.folder / "models" / "someone" / "model" / "tokenizer.json"
    path.parent.mkdir(parents=True)
    tokenizer.save(str(path))
    arguments = "--corpus hub:someone/stories --tokenizer hub:someone/model --json"
    finished = run_tiedlm(tmp_path, f"train --tied {TINY} {arguments} --out {tmp_path / 'out'}")
    assert finished.returncode == 0, finished.stderr
    record = json.loads(finished.stdout)
    assert sum(record["data"]["num_tokens"].values()) == 440 * 9
    assert record["data"]["vocab_size"] == len(words) + 2  # [PAD] and a line's end
    valid = record["metrics"]["valid"]
    assert valid["num_unk"] == 40  # each story's number
    assert 0 < valid["unk_nll_nats"] < valid["total_nll_nats"]
    assert "test taken from train by the hash of each row" in record["text_source"]
    assert "has no test: 5 % of the documents of train" in finished.stderr


def test_a_tokenizer_that_is_too_large_or_too_slow_is_not_waited_for(
    asked_here: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(asked_here.folder / "models" / "someone" / "model" / "tokenizer.json", "x" * 2_000)
    monkeypatch.setattr(fetch, "MAX_TOKENIZER_BYTES", 1_999)
    with pytest.raises(InputError, match=r"tokenizer\.json there is of 2,000 bytes, over the limit of 1,999; check"):
        fetch.fetch_tokenizer("someone/model", Watcher())
    assert not any(re.match("GET .*tokenizer", request) for request in asked_here.requests)
    monkeypatch.setattr(fetch, "MAX_TOKENIZER_BYTES", 2_000)
    monkeypatch.setattr(fetch, "MAX_TOKENIZER_SECONDS", 1.0)
    asked_here.faults = [Fault("tokenizer.json", drips=True)]
    with pytest.raises(InputError, match=r"hub:someone/model: too slow \(nothing whole within 1 s\)"):
        fetch.fetch_tokenizer("someone/model", Watcher())


SMALL_DISK = """
import collections, shutil
usage = collections.namedtuple("usage", "total used free")
shutil.disk_usage = lambda _: usage(10_000, 7_000, 3_000)
from tiedlm.cli.main import main
main()
"""


def test_a_data_set_larger_than_the_disk_is_not_fetched(hub: FakeHub, tmp_path: Path) -> None:
    place = hub.folder / "datasets" / "someone" / "stories"
    place.mkdir(parents=True)
    (place / "train.txt").write_text("once upon a time\n" * 100)
    command = [sys.executable, "-c", SMALL_DISK, "train", "--tied", "--corpus", "hub:someone/stories"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 2
    assert re.search(r"needs over 3,400 bytes of the disk of \S+, which has 3,000 free", finished.stderr), (
        finished.stderr
    )
    assert not any(request.startswith("GET") and "train.txt" in request for request in hub.requests)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--corpus hub:someone/nothing", "hub:someone/nothing: datasets cannot load it"),
        ("--corpus hub:stories", "is not of the form hub:OWNER/NAME"),
        ("--tokenizer hub:someone/nothing", "--tokenizer hub:someone/nothing: no such"),
    ],
)
def test_what_the_hub_does_not_have_is_said(arguments: str, words: str, hub: FakeHub, tmp_path: Path) -> None:
    hub.folder.mkdir(exist_ok=True)
    finished = run_tiedlm(tmp_path, f"train --tied {TINY} {arguments}")
    assert finished.returncode == 2
    assert words in finished.stderr
    assert "Traceback" not in finished.stderr


def lay_out(layout: str, folder: Path, real_data: Path) -> None:
    """The real corpora as people have them."""
    for name in ("ptb", "wikitext-2"):
        for split in SPLITS:
            source = original(name, split, real_data)
            lines = [line.strip() for line in source.read_text().splitlines()]
            match layout:
                case "archives":  # of Mikolov's toolkit, which has characters beside words, and of Salesforce
                    place = "simple-examples/data/ptb.{}.txt" if name == "ptb" else "wikitext-2/wiki.{}.tokens"
                    put(folder / place.format(split), source.read_text())
                    put(folder / f"simple-examples/data/ptb.char.{split}.txt", "t h e _ c a t\n")
                case "hub":
                    path = folder / f"{name}/{HUB_SPLITS[split]}-00000-of-00001.parquet"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    column = pyarrow.array(lines, pyarrow.large_string())
                    pyarrow.parquet.write_table(pyarrow.table({"text": column}), path)
        if layout == "datasets":
            import datasets

            saved = {
                HUB_SPLITS[split]: datasets.Dataset.from_dict(
                    {"text": original(name, split, real_data).read_text().splitlines()}
                )
                for split in SPLITS
            }
            datasets.DatasetDict(saved).save_to_disk(str(folder / f"{name}-saved"))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("layout", ["archives", "hub", "datasets"])
def test_a_known_corpus_is_found_by_its_text_in_any_layout(layout: str, tmp_path: Path, real_data: Path) -> None:
    lay_out(layout, tmp_path, real_data)
    found: dict[str, Corpus] = {name: load_corpus(name, tmp_path) for name in ("ptb", "wikitext-2")}
    for name, corpus in found.items():
        assert corpus.sha256 == KNOWN[name].sha256
        tokens = tokenize(corpus, CorpusConfig(name=name, tokenizer="word", seq_length=64, fraction=1.0))
        assert tokens.num_tokens == KNOWN[name].num_tokens


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, r"does not hold corpus 'ptb' \(there lies: nothing\)"),
        ({"notes.md": "x"}, r"there lies: notes\.md"),
        ({"ptb/ptb.train.txt": "a b\n", "ptb/ptb.valid.txt": "a b\n"}, r"ptb\.train\.txt has no test beside it"),
        (
            {f"ptb/ptb.{split}.txt": "a b\n" for split in SPLITS},
            r"ptb/ptb\.valid\.txt: it is not the published Penn Treebank valid split \(SHA-256 \w+…, expected fadf6277",
        ),
    ],
)
def test_a_folder_that_holds_it_not_is_refused_with_what_lies_there(
    files: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        put(tmp_path / name, text)
    monkeypatch.setattr(known_text, "fetch_corpus_from_hub", None)  # asking the network would fail in another way
    with pytest.raises(InputError, match=words):
        load_corpus("ptb", tmp_path)


@pytest.mark.parametrize("change", [lambda lines: lines[:-1], lambda lines: [*lines[:-1], lines[-1] + " word"]])
def test_a_corpus_without_a_known_hash_is_held_to_the_published_numbers(
    change: Callable[[list[str]], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WikiText-103, as small as a test can have it."""
    sizes = {"train": 40, "valid": 8, "test": 9}
    small = dataclasses.replace(KNOWN["wikitext-103"], num_lines=sizes, num_tokens={s: 4 * n for s, n in sizes.items()})
    monkeypatch.setitem(KNOWN, "wikitext-103", small)
    for split, number in sizes.items():
        put(tmp_path / f"wiki.{split}.tokens", " a <unk> c \n" * number)
    assert load_corpus("wikitext-103", tmp_path).sha256["valid"]
    lines = change((tmp_path / "wiki.test.tokens").read_text().splitlines())
    put(tmp_path / "wiki.test.tokens", "\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"not the published WikiText-103 test split \(\d+ (lines|tokens), expected"):
        load_corpus("wikitext-103", tmp_path)


@pytest.mark.parametrize(
    ("name", "good", "bad", "words"),
    [
        ("wikitext-2-raw", " a b c \n", " a <unk> c \n", r"raw valid split \(8 of 32 words are <unk>, expected none"),
        ("wikitext-103", " a <unk> c \n", " a b c \n", r"valid split \(0 of 32 words are <unk>, expected more"),
    ],
)
def test_a_raw_text_is_none_of_words_and_the_reverse(
    name: str, good: str, bad: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have as many lines, and the raw ones no number that tells them apart."""
    sizes = {"train": 40, "valid": 8, "test": 9}
    tokens = None if KNOWN[name].num_tokens is None else {split: 4 * number for split, number in sizes.items()}
    monkeypatch.setitem(KNOWN, name, dataclasses.replace(KNOWN[name], num_lines=sizes, num_tokens=tokens))
    for folder, line in (("good", good), ("bad", bad)):
        for split, number in sizes.items():
            put(tmp_path / folder / f"wiki.{split}.tokens", line * number)
    assert load_corpus(name, tmp_path / "good").sha256["valid"]
    with pytest.raises(InputError, match=words):
        load_corpus(name, tmp_path / "bad")
