"""Bad input, by the real command: exit code 2, one sentence with place, value and remedy, and nothing written.

Nothing here looks at good input, and no sentence is compared in full: only the words a reader needs are.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.cli.forked_command import READ_AT_IMPORT, run_forked
from tiedlm.config.experiment_file import shipped_experiments
from tiedlm.record.run_record import document_sha256

pytestmark = pytest.mark.slow  # a process for each case
CACHE = ".cache"
TEXT = b"the cat sat on the mat and the dog sat on the log\n" * 20
GOOD = {f"corpus/{split}.txt": TEXT for split in ("train", "valid", "test")}
VALID_AND_TEST = {name: text for name, text in GOOD.items() if "train" not in name}
PTB = {f"data/ptb/ptb.{split}.txt": TEXT for split in ("train", "valid", "test")}
GZIPPED = gzip.compress(TEXT * 50, mtime=0)
TINY = (
    "--steps 2 --set model.hidden_size=16 --set model.num_attention_heads=2 --set model.intermediate_size=16 "
    "--set corpus.tokenizer=word --set corpus.seq_length=8 --precision fp32"
)
TRAIN = f"train --tied --corpus corpus {TINY} --out out"


def run_tiedlm(folder: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder that also holds its cache, without data, GPU or colours."""
    dropped = ("TIEDLM_DATA", "HF_HOME", *READ_AT_IMPORT)
    environment = {"HF_HUB_OFFLINE": "1"}  # no test asks a machine that it has not made itself
    environment |= {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"XDG_CACHE_HOME": str(folder / CACHE), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
    return run_forked(folder, arguments, environment)


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by their paths below a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def tree(folder: Path) -> dict[Path, bytes | None]:
    """Every file below a folder with its content and every subfolder, but for the cache."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.is_relative_to(folder / CACHE)
    }


def assert_refused(folder: Path, arguments: str, *words: str) -> None:
    """Run the command and hold its answer to the rules of this file."""
    before = tree(folder)
    answer = run_tiedlm(folder, arguments)
    assert "Traceback" not in answer.stderr, answer.stderr
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    assert tree(folder) == before
    # one line "what is wrong; what to do", or the frame that typer draws around a wrong option
    assert re.fullmatch(r"([\w-]+: reading corpus .+\n)?tiedlm: .+; .+\n|Usage: (.|\n)+", answer.stderr), answer.stderr
    sentence = " ".join(re.sub("[╭─╮│╰╯]", " ", answer.stderr).split())
    assert [word for word in words if word not in sentence] == [], sentence
    assert "Value error" not in sentence or sentence.startswith("Usage: "), "these are pydantic's words"
    assert len(sentence) < 600, sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train --tied --untied", ("'tied' and 'untied'", "pass one of --tied, --untied")),
        ("train", ("given: none", "pass one of --tied, --untied")),
        ("train --arm nosuch", ("arm 'nosuch'", "tied, untied", "choose")),
        ("compare --arms tied,nosuch", ("arm 'nosuch'", "tied, untied", "choose")),
        ("compare --arms tied", ("--arms tied", "two or more", "choose")),
        ("compare --arms ''", ("arm", "''", "tied, untied", "choose")),
        ("compare --jobs 0", ("--jobs '0'", "above 0")),
        ("compare --jobs abc", ("--jobs 'abc'", "auto")),
        ("compare --seeds 0", ("--seeds 0 is neither", "give e.g.")),
        ("compare --seeds 1000000000", ("--seeds 1000000000 is neither", "1,000")),
        ("train --tied --seed -1", ("--seed -1 is not a number from 0",)),
        ("train --tied --seed 4000000000", ("corpus 'nowhere'",)),  # as good as any: those below it are not counted up
        (f"compare {'n' * 300}", ("nnn", "too long a name", "give a shorter one")),
        (f"compare --jobs {'9' * 300}", ("--jobs '999", "auto")),
        ("train --tied --save-every nan", ("--save-every nan is no number of seconds",)),
        ("train --tied --device tpu", ("--device 'tpu' is not one of auto, cpu, cuda", "choose")),
        ("train --tied --steps 0", ("train.num_steps=0", "greater than 0")),
        ("train --tied --set train.num_steps", ("--set 'train.num_steps'", "section.key=value", "write e.g.")),
        ("train --tied --set name.key=3", ("--set 'name.key=3'", "'name' is no section", "write e.g.")),
        ("train --tied --set hidden_size=8", ("key hidden_size is unknown", "did you mean model.hidden_size?")),
        ("train --tied --set model.hiden_size=8", ("key model.hiden_size", "did you mean model.hidden_size?")),
        ("train --tied --set corpus.tokenizer=foo", ("corpus.tokenizer='foo' is not", "e.g. bpe:4096", "change")),
        (
            "compare --set model.tie_word_embeddings=false",
            ("--set 'model.tie_word_embeddings=false'", "the tie is what the arms differ in", "leave it out"),
        ),
        ("compare --tokenizer bpe300", ("--tokenizer bpe300: is no file", "for one to train write bpe:300")),
        ("train --tied --set train.num_stepz=3", ("train.num_stepz=3", "key train.num_stepz is unknown", "spelling")),
        ("train --tied --set optimizer.name=sgd", ("optimizer.name=sgd", "key optimizer is unknown", "spelling")),
        ("train --tied --set train.num_steps=abc", ("train.num_steps='abc'", "integer", "change")),
        (f"train --tied --set name={'[' * 3000}", ("--set", "[[[", "TOML")),
        (f"train --tied --set train.num_steps={'9' * 5000}", ("--set", "train.num_steps", "999")),
        ("train nosuch.toml --tied", ("experiment 'nosuch.toml'", "pydoc", "check the path")),
        ("train --tied --log no/steps.jsonl", ("--log no/steps.jsonl: the folder no does not exist", "choose")),
        ("compare --log .", ("--log .: is no regular file", "choose another")),
        ("compare --tensorboard /dev/null/x", ("--tensorboard /dev/null/x: no folder can be made there", "choose")),
        ("compare --csv --json", ("--json and --csv do not go together", "leave one of them out")),
        ("compare --dry-run --markdown", ("--dry-run and --markdown", "has no comparison")),
        ("compare --dry-run --latex", ("--dry-run and --latex", "has no comparison")),
    ],
)
def test_usage(tmp_path: Path, arguments: str, words: tuple[str, ...]) -> None:
    assert_refused(tmp_path, f"{arguments} --corpus nowhere", *words)  # what is accepted stops there, not in a training


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("report nowhere", ("nowhere: is not a folder", "give the one")),
        ("report .", (".: holds no records", "give the folder")),
        ("count-params nosuch-model", ("model 'nosuch-model'", "try tiedlm count-params --list")),
        ("count-params bert-larg", ("model 'bert-larg'", "did you mean bert-large")),
        ("count-params", ("a model or --list", "e.g. tiedlm count-params bert-base-uncased")),
        ("count-params .", (".: holds no records", "give the folder")),
    ],
)
def test_usage_without_a_corpus(tmp_path: Path, arguments: str, words: tuple[str, ...]) -> None:
    assert_refused(tmp_path, arguments, *words)


@pytest.mark.parametrize(
    ("line", "replacement", "words"),
    [
        ("num_steps", r"\g<0>\nnum_stepz = 3", ("key train.num_stepz is unknown", "spelling")),
        ("hidden_size", "", ("key model.hidden_size is missing", "add it")),
        ("num_steps", 'num_steps = "30"', ("train.num_steps='30'", "integer", "change")),
        ("num_steps", "num_steps = 30.0", ("train.num_steps=30.0", "integer", "change")),
        ("num_steps", f"num_steps = {'9' * 5000}", ("is not valid TOML", "correct the file")),
        ("num_steps", "num_steps =", ("is not valid TOML", "line", "correct the file")),
        ("learning_rate", "learning_rate = nan", ("train.learning_rate=nan", "finite", "change")),
        ("name", 'name = "caf\udce9"', ("is not UTF-8 text", "byte", "give a TOML file")),
        ("name", 'name = "../x"', ("name='../x'", "change")),
        ("hidden_size", "hidden_size = 131", ("hidden_size=131", "num_attention_heads=", "change one of them")),
        ("max_position_", "max_position_embeddings = 8", ("seq_length=", "max_position_embeddings=8", "lower")),
        (r"\[model\]", r'[arms."../x".model]\nhead_transform = false\n\g<0>', ("arms", "'../x'", "change")),
        (
            r"\[model\]",
            "[arms.x.model]\nhead_transform = true\n[model]",
            ("arms.x changes nothing", "tied again", "change"),
        ),
        (
            r"\[model\]",
            r"[arms.tied.model]\ntie_word_embeddings = true\n\g<0>",
            ("arms.tied.model.tie_word_embeddings is what makes the arm tied", "another name"),
        ),
        *(
            (r"\[model\]", rf"[arms.x.train]\n{key} = 5\n\g<0>", (f"arms.x.train.{key}", f"set train.{key}"))
            for key in ("num_steps", "batch_size", "mlm_probability", "num_evaluations", "eval_mask_seed")
        ),
        (r"\[model\]", r"[arms.x.train]\nstepz = 5\n\g<0>", ("arm 'x'", "key train.stepz is unknown", "spelling")),
    ],
)
def test_experiment(tmp_path: Path, line: str, replacement: str, words: tuple[str, ...]) -> None:
    """One line of a shipped experiment, replaced."""
    shipped = shipped_experiments()["pydoc"].read_text(encoding="utf-8")
    text, num_replaced = re.subn(rf"^{line}.*$", replacement, shipped, count=1, flags=re.MULTILINE)
    assert num_replaced == 1
    write(tmp_path, {"mine.toml": text.encode("utf-8", "surrogateescape")})
    assert_refused(tmp_path, "train mine.toml --tied --set corpus.name=nowhere", "mine.toml", *words)


def test_an_experiment_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "mine.toml").open("wb") as file:
        file.truncate(10**9)
    answer = run_tiedlm(tmp_path, "train mine.toml --tied")
    assert answer.returncode == 2
    assert "mine.toml: is over the limit of 100,000 bytes; give the TOML file" in answer.stderr


def test_nothing_is_written_through_links(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("precious")
    other = TRAIN.replace("--tied", "--untied")
    (folder / "out" / "checkpoints").symlink_to(elsewhere)
    assert_refused(folder, other, "out/checkpoints: is a link to elsewhere", "remove it or choose another --out")
    (folder / "out" / "checkpoints").unlink()
    names = ("untied-seed0.safetensors", "REPORT.md", "comparison.json", "learning_curves.png", "parameters.png")
    for name in names:
        (folder / "out" / name).symlink_to(elsewhere / "precious")
    assert run_tiedlm(folder, other.replace("train --untied", "compare")).returncode == 0
    assert (elsewhere / "precious").read_text() == "precious"
    assert not any((folder / "out" / name).is_symlink() for name in names)


@dataclass(frozen=True)
class Case:
    """Files, what the command is told of them, and the words to expect."""

    files: dict[str, bytes]
    words: tuple[str, ...]
    arguments: str = "--corpus corpus"


CASES = {
    "no-folder": Case({}, ("corpus 'corpus'", "neither a folder nor", "check the path")),
    "no-train": Case(VALID_AND_TEST, ("corpus/train.txt: is missing", "add it")),
    "no-valid": Case({name: GOOD[name] for name in GOOD if "valid" not in name}, ("corpus/valid.txt", "add it")),
    "two-trains": Case(GOOD | {"corpus/train.jsonl": TEXT}, ("train.txt and train.jsonl", "keep one")),
    "empty": Case(GOOD | {"corpus/valid.txt": b""}, ("corpus/valid.txt: is empty", "give a file with text")),
    "nul": Case(GOOD | {"corpus/test.txt": b"ab\0c\n"}, ("corpus/test.txt: is binary", "byte 2", "give a text file")),
    "latin-1": Case(GOOD | {"corpus/test.txt": b"caf\xe9 \n"}, ("corpus/test.txt: is not UTF-8", "byte 3", "convert")),
    "one-word": Case(GOOD | {"corpus/train.txt": b"word\n"}, ("train split has 1 distinct word", "give real text")),
    "repeated-word": Case(
        {name.replace("corpus", "a[1]"): b"same same\n" * 50 for name in GOOD},  # a name that is also a pattern
        ("'a[1]'", "train split has 1 distinct word", "give real text"),
        "--corpus 'a[1]'",
    ),
    "blank-lines": Case(GOOD | {"corpus/valid.txt": b"\n" * 50}, ("valid", "0 distinct words", "give real text")),
    "short": Case(
        GOOD | {"corpus/valid.txt": b"the cat\n"}, ("valid split has 3 tokens", "corpus.seq_length=8", "lower")
    ),
    "jsonl": Case(VALID_AND_TEST | {"corpus/train.jsonl": b'{"text": "a"}\n{"te'}, ("corpus/train.jsonl", "correct")),
    "jsonl-null": Case(VALID_AND_TEST | {"corpus/train.jsonl": b"null\n"}, ("corpus/train.jsonl", "line 1", "object")),
    "jsonl-list": Case(
        VALID_AND_TEST | {"corpus/train.jsonl": b'{"text": "a"}\n["a"]\n'}, ("corpus/train.jsonl", "line 2", "object")
    ),
    "jsonl-very-deep": Case(
        VALID_AND_TEST | {"corpus/train.jsonl": b'{"text": "a", "more": ' + b"[" * 20_000 + b"]" * 20_000 + b"}\n"},
        ("corpus/train.jsonl", "line 1"),
    ),
    "jsonl-column": Case(
        VALID_AND_TEST | {"corpus/train.jsonl": b'{"text": "a"}\n{"txt": "b"}\n'},
        ("corpus/train.jsonl", "line 2", "no key 'text' but 'txt'", "--text-column"),
    ),
    "utf-16": Case(
        VALID_AND_TEST | {"corpus/train.txt": "the cat".encode("utf-16")}, ("train.txt", "convert it to UTF-8")
    ),
    "data-dir-missing": Case({}, ("nowhere: is not a folder", "--data-dir"), "--corpus ptb --data-dir nowhere"),
    "jsonl-later-type": Case(
        VALID_AND_TEST | {"corpus/train.jsonl": b'{"text": "a"}\n{"text": [1]}\n'},
        ("corpus/train.jsonl", "line 2", "'text' is [1], not a string", "join its parts"),
    ),
    "jsonl-surrogate": Case(
        VALID_AND_TEST | {"corpus/train.jsonl": b'{"text": "a"}\n{"text": "\\ud800"}\n'},
        ("corpus/train.jsonl", "line 2", "'text'", "surrogate", "correct"),
    ),
    "jsonl-type": Case(
        VALID_AND_TEST | {"corpus/train.jsonl": b'{"text": 1}\n{"text": 2}\n'},
        ("corpus/train.jsonl", "line 1", "'text' is 1, not a string"),
    ),
    "parquet": Case(
        VALID_AND_TEST | {"corpus/train.parquet": b"PAR1 is not enough"},
        ("corpus/train.parquet: cannot be read as .parquet", "correct the file"),
    ),
    **{
        f"gzip-{name}": Case(
            VALID_AND_TEST | {"corpus/train.txt.gz": content},
            ("corpus/train.txt.gz: cannot be read as .txt.gz", "correct the file"),
        )
        for name, content in {
            "truncated": GZIPPED[:-20],
            "damaged": GZIPPED[:40] + b"\x55" * 40 + GZIPPED[80:],
        }.items()
    },
    "gzip-nul": Case(
        VALID_AND_TEST | {"corpus/train.txt.gz": gzip.compress(b"a \0 b\n" * 50)},
        ("corpus/train.txt.gz: is binary", "give a text file"),
    ),
    "zip": Case(
        VALID_AND_TEST | {"corpus/train.zip": b"PK\x03\x04" + bytes(30)},
        ("corpus/train.zip: is compressed by zip", "unpack it", ".gz, .bz2 and .xz are read"),
    ),
    "git-lfs": Case(
        VALID_AND_TEST | {"corpus/train.txt": b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n"},
        ("corpus/train.txt: is a Git LFS pointer", "git lfs pull"),
    ),
    "utf-32": Case(
        VALID_AND_TEST | {"corpus/train.txt": "the cat".encode("utf-32")}, ("is UTF-32 text", "convert it to UTF-8")
    ),
    "csv-semicolons": Case(
        VALID_AND_TEST | {"corpus/train.csv": b"id;title;body\n1;a;b, and c\n"},
        ("corpus/train.csv", "id (string), title (string), body (string)", "--text-column"),
    ),
    "csv-no-rows": Case(
        VALID_AND_TEST | {"corpus/train.csv": b"id,text\n"}, ("train split is empty", "give more text")
    ),
    "vocab-txt": Case(
        GOOD | {"vocab.txt": b"[PAD]\n[UNK]\nthe\n"},
        ("vocab.txt: is a list of tokens", "give a tokenizer.json", "save_pretrained"),
        "--corpus corpus --set corpus.tokenizer=file:vocab.txt",
    ),
    "tokenizer-without-unk": Case(
        GOOD | {"mine.json": b'{"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1}, "unk_token": "<unk>"}}'},
        ("mine.json: cannot encode", "its unknown token '<unk>' is not in its vocabulary", "add it"),
        "--corpus corpus --set corpus.tokenizer=file:mine.json",
    ),
    "vocabulary": Case(
        GOOD, ("corpus.tokenizer='word:1'", "larger vocabulary"), "--corpus corpus --set corpus.tokenizer=word:1"
    ),
    "ptb-without-folder": Case({}, ("corpus 'ptb'", "pass --data-dir or set TIEDLM_DATA"), "--corpus ptb"),
    "ptb-wrong-file": Case(
        PTB,
        ("it is not the published Penn Treebank valid split", "expected fadf62772908", "give the folder"),
        "--corpus ptb --data-dir data",
    ),
    "too-large-for-the-machine": Case(
        GOOD,
        ("parameters need over", "are weights, gradients and optimizer states", "lower"),
        "--corpus corpus --set model.hidden_size=1000000 --set model.intermediate_size=1000000",
    ),
    "device": Case(GOOD, ("--device cuda", "no CUDA device", "--device cpu"), "--corpus corpus --device cuda"),
    "out-is-file": Case(
        GOOD | {"file": b""}, ("--out file", "not a folder", "choose another"), "--corpus corpus --out file"
    ),
    "out-below-file": Case(
        GOOD | {"file": b""},
        ("--out file/out", "cannot be written", "choose another"),
        "--corpus corpus --out file/out",
    ),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and `out`, in which one tied run left its record."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder, GOOD)
    answer = run_tiedlm(folder, TRAIN)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained folder for a test to spoil."""
    return Path(shutil.copytree(trained, tmp_path, dirs_exist_ok=True))


def edit_record(folder: Path, changes: dict[str, Any], target: str = "tied-seed0.json") -> None:
    """Copy the record of `out`, by default onto itself, with the values of some dotted keys changed."""
    record = json.loads((folder / "out" / "tied-seed0.json").read_text())
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = record
        for parent in parents:
            section = section[parent]
        section[last] = value
    (folder / "out" / target).write_text(json.dumps(resealed(record)))


def resealed(record: dict[str, Any]) -> dict[str, Any]:
    """An edited record with the digest of what it now says, as a forger would write it, if it can be a record."""
    try:
        return record | {"sha256": document_sha256(record)}
    except ValidationError:
        return record


def test_an_edited_record_is_none(folder: Path) -> None:
    path = folder / "out" / "tied-seed0.json"
    path.write_text(path.read_text().replace('"num_threads": ', '"num_threads": 1'))
    assert_refused(folder, "report out", "out/tied-seed0.json: was changed after it was written", "take it from a copy")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema_version", 99, ("schema_version=99", "reads 5")),
        ("config.model.tie_word_embeddings", False, ("tie_word_embeddings=False", "decoder_weight=0")),
        ("parameters.decoder_weight", 224, ("tie_word_embeddings=True", "decoder_weight=224")),
        ("parameters", {}, ("decoder_weight",)),
        ("overrides.model", {"tie_word_embeddings": False}, ("overrides", "tie_word_embeddings")),
        ("seed", 5, ("tied-seed5.json",)),
        ("seed", "0", ("seed", "integer")),
        ("metrics", {}, ("metrics", "valid")),
        ("metrics.valid.num_tokens", 0, ("metrics.valid.num_tokens", "greater than 0")),
        ("metrics.valid.total_nll_nats", 1e9, ("metrics.valid", "total_nll_nats")),
        ("metrics.valid.block_nll_nats", [1.0], ("metrics.valid", "block_nll_nats")),
        ("curve", [], ("curve", "at least 1")),
    ],
)
def test_damaged_record(folder: Path, key: str, value: object, words: tuple[str, ...]) -> None:
    edit_record(folder, {key: value})
    assert_refused(folder, "report out", "out/tied-seed0.json", *words, "; delete it")


@pytest.mark.parametrize(
    "arguments", [TRAIN, TRAIN.replace("train --tied", "compare"), "report out", "count-params out"]
)
def test_truncated_record(folder: Path, arguments: str) -> None:
    record = folder / "out" / "tied-seed0.json"
    record.write_bytes(record.read_bytes()[:500])
    assert_refused(folder, arguments, "out/tied-seed0.json: is not valid JSON", "delete it and train again")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("--set train.learning_rate=0.5", ("train.learning_rate", "0.5", "choose another --out")),
        ("--steps 3", ("train.num_steps=2", "3", "choose another --out")),
        ("--set name=other", ("'corpus'", "'other'", "choose another --out")),
    ],
)
def test_record_of_another_configuration(folder: Path, setting: str, words: tuple[str, ...]) -> None:
    assert_refused(folder, f"{TRAIN} {setting}", "tied-seed0.json", *words)


@pytest.mark.parametrize("arm", ["--tied", "--untied"])
@pytest.mark.parametrize(("option", "asked"), [("--precision bf16", "bf16 on cpu"), ("--device cuda", "fp32 on cuda")])
def test_record_of_another_machine(folder: Path, arm: str, option: str, asked: str) -> None:
    words = ("tied-seed0.json", "was run in fp32 on cpu", f"would be in {asked}", "choose another --out")
    assert_refused(folder, f"{TRAIN.replace('--tied', arm).replace('--precision fp32', '')} {option}", *words)


def test_record_of_a_device_that_auto_does_not_find(folder: Path) -> None:
    edit_record(folder, {"provenance.device": "cuda"})
    words = ("tied-seed0.json", "was run in fp32 on cuda", "would be in fp32 on cpu", "choose another --out")
    assert_refused(folder, TRAIN.replace("--tied", "--untied"), *words)


@pytest.mark.parametrize("arm", ["--tied", "--untied"])  # the run that is there, and one that is missing
def test_record_of_other_text(folder: Path, arm: str) -> None:
    write(folder, {"corpus/test.txt": b"another cat sat on the mat\n" * 20})
    words = ("tied-seed0.json", "other text", "'corpus'", "choose another --out")
    assert_refused(folder, TRAIN.replace("--tied", arm), *words)


UNTIED = {
    "arm": "untied",
    "overrides": {"model": {"tie_word_embeddings": False}},
    "config.model.tie_word_embeddings": False,
    "parameters.decoder_weight": 192,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config.train.learning_rate": 0.5}, ("train.learning_rate", "0.5")),
        ({"data.text_sha256.test": "0" * 64}, ("data.text_sha256", "test", "0" * 12)),
        ({"provenance.precision": "bf16"}, ("precision", "'fp32', 'bf16'")),
    ],
)
def test_report_of_records_that_differ(folder: Path, changes: dict[str, Any], words: tuple[str, ...]) -> None:
    edit_record(folder, UNTIED | changes, target="untied-seed0.json")
    assert_refused(
        folder, "report out", "tied-seed0.json and untied-seed0.json differ in", *words, "folders of their own"
    )


def test_report_of_records_without_a_partner(folder: Path) -> None:
    assert_refused(folder, "report out", "'tied'", "a comparison needs two", "tiedlm compare out")
    edit_record(folder, UNTIED | {"seed": 5}, target="untied-seed5.json")
    assert_refused(folder, "report out", "no seed of untied has a record of tied too", "tiedlm compare out")


@pytest.mark.parametrize("case", CASES)
def test_corpus_and_machine(case: str, tmp_path: Path) -> None:
    write(tmp_path, CASES[case].files)
    assert_refused(tmp_path, f"train --tied {TINY} {CASES[case].arguments}", *CASES[case].words)
