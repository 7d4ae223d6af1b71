"""Every JSON that tiedlm prints or writes has a version first, and is what its schema in the package says."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.cli.test_bad_input import GOOD, TINY, run_tiedlm, write
from tests.comparison.test_search import search, write_search
from tests.conftest import REPOSITORY
from tests.counting.test_stored_weights import save, tiny
from tiedlm.comparison.scan_result import ScanDesign
from tiedlm.comparison.sealed_design import seal
from tiedlm.comparison.two_stage import TwoStage
from tiedlm.record.run_id import RunId

SCHEMAS = REPOSITORY / "tiedlm" / "schemas"
NAMES = sorted(path.stem for path in SCHEMAS.glob("*.json"))
SEALED = ("two-stage", "tune", "scan-design", "contrasts")
TOY = f"--corpus corpus {TINY}"
ITEM = '{"sentence": "the [MASK] sat on the mat", "right": "cat", "wrong": "log"}\n'
RUN = "runs/corpus/tied-seed0.safetensors"
COMMANDS = {
    "train --tied --seed 2 --out more --json": "record",
    "compare runs/corpus --json": "comparison",
    "report runs/corpus --json": "comparison",
    "report runs/corpus-scan --json": "scan",
    "compare --seeds 1 --scan train.batch_size=2,4 --json": "scan",
    "train --untied --out dry --dry-run --json": "dry-run",
    "compare --seeds 3 --to-within 9 --out dry --dry-run --json": "dry-run",
    "compare --seeds 2 --scan train.batch_size=2,4 --dry-run --json": "dry-run",
    "ls runs --json": "ls",
    "status runs/corpus --json": "status",
    "config ptb --json": "config",
    "config ptb-arms --json": "config",
    "config --list --json": "config-list",
    "doctor --json": "doctor",
    f"evaluate {RUN} --json": "evaluate",
    f"evaluate {RUN} {RUN} --json": "evaluate-two",
    f"evaluate {RUN} --pairs items.jsonl --json": "evaluate-pairs",
    "evaluate runs/corpus --pairs items.jsonl --json": "evaluate-pairs-folder",
    f"evaluate {RUN} --similarity words.txt --json": "evaluate-similarity",
    'explain "the company said its [MASK] rose" --json': "explain",
    "explain runs/corpus --json": "explain-folder",
    "count-params gpt2 --json": "count-params",
    "count-params model --json": "count-params",
    "count-params gpt2 --what-if vocab_size=8000 --json": "count-params",
    "count-params gpt2 bert-base-uncased --json": "count-params-several",
    "count-params --list --json": "count-params-several",
}


def validator(name: str) -> Draft202012Validator:
    """That of a schema in the package."""
    return Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text()))


def problems(name: str, document: object) -> list[str]:
    """Where a document is not what its schema says."""
    return [f"{list(error.absolute_path)}: {error.message[:200]}" for error in validator(name).iter_errors(document)]


def damaged(document: Any) -> Iterator[Any]:
    """The document without a version, with a key that nobody knows, and with a list in the place of its last value."""
    yield {key: value for key, value in document.items() if key != "schema_version"}
    yield document | {"schema_version": 99}
    yield document | {"unknown": 1}
    yield document | {list(document)[-1]: [[[]]]}


def assert_documented(name: str, document: Any) -> None:
    """Hold a document to its schema, and see that changed ones are refused."""
    assert problems(name, document) == []
    assert next(iter(document)) == "schema_version"
    for number, changed in enumerate(damaged(document)):
        assert problems(name, changed) != [], f"{name}: damage {number} is not seen"


def test_the_schemas_are_those_of_the_types() -> None:
    spec = importlib.util.spec_from_file_location("make_schemas", REPOSITORY / "docs" / "make_schemas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    again = "python docs/make_schemas.py writes them again; where a type has changed, its schema_version changes too"
    made = {name: module.text(schema) for name, schema in module.schemas().items()}
    assert made.keys() == set(NAMES), again
    assert [name for name in NAMES if (SCHEMAS / f"{name}.json").read_text() != made[name]] == [], again


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_one_and_says_what_it_is_of(name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["title"]
    assert schema["description"].endswith(".")
    assert schema["additionalProperties"] is False
    assert name in SEALED or (schema["required"][0], next(iter(schema["properties"]))) == ("schema_version",) * 2


def test_the_page_names_every_schema() -> None:
    page = (REPOSITORY / "docs" / "json.md").read_text()
    assert set(re.findall(r"\]\(\.\./tiedlm/schemas/([\w-]+)\.json\)", page)) == set(NAMES)
    assert set(COMMANDS.values()) <= set(NAMES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy corpus, a comparison and a scan of it, a stranger's model, and what `evaluate` is asked."""
    folder = tmp_path_factory.mktemp("made")
    write(folder, {**GOOD, "items.jsonl": ITEM.encode(), "words.txt": b"cat,dog,8.0\nmat,log,5.0\nsat,the,1.0\n"})
    save(tiny("bert"), folder / "model")
    for arguments in ("--seeds 2 --log steps.jsonl", "--seeds 1 --scan train.batch_size=2,4"):
        answer = run_tiedlm(folder, f"compare {arguments} {TOY}")
        assert answer.returncode == 0, answer.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_answers_as_its_schema_says(command: str, made: Path) -> None:
    trains = command.startswith(("train", "compare")) and "runs/" not in command
    answer = run_tiedlm(made, f"{command} {TOY}" if trains else command)
    assert answer.returncode == 0, answer.stderr
    assert_documented(COMMANDS[command], json.loads(answer.stdout))


@pytest.mark.slow
def test_files_are_as_their_schemas_say(made: Path) -> None:
    for name in ("comparison", "plan", "similarity"):
        assert_documented(name, json.loads((made / f"runs/corpus/{name}.json").read_text()))
    assert_documented("record", json.loads((made / "runs/corpus/untied-seed1.json").read_text()))
    assert_documented("scan", json.loads((made / "runs/corpus-scan/scan.json").read_text()))
    lines = [json.loads(line) for line in (made / "steps.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss_nats" in line]
    assert len(steps) == 2 * 4
    assert len(lines) > len(steps)
    for line in lines:
        assert_documented("step" if line in steps else "curve-point", line)


def test_a_search_with_a_run_that_diverged_is_as_its_schemas_say(tmp_path: Path) -> None:
    write_search(tmp_path, search(2), {"tied": [4.2, None]})
    (diverged,) = tmp_path.rglob("*-diverged.json")
    assert_documented("diverged", json.loads(diverged.read_text()))
    (design,) = tmp_path.rglob("tune.json")
    assert problems("tune", json.loads(design.read_text())) == []
    assert problems("tune", json.loads(design.read_text()) | {"seeds": "one"}) != []


@pytest.mark.parametrize(
    ("name", "designs"),
    [
        ("scan-design", [ScanDesign(experiment="ptb", values={"train.num_steps": [2, 3][:size]}) for size in (1, 2)]),
        ("two-stage", [TwoStage(half_width_nats=w, first_stage_seeds=[0, 1, 2], max_seeds=9) for w in (0.1, 0.2)]),
    ],
)
def test_a_design_that_has_grown_is_as_its_schema_says(name: str, designs: list[Any]) -> None:
    grown = seal(designs[1], seal(designs[0])).document
    assert problems(name, grown) == []
    assert problems(name, grown | {"earlier": {"sha256": ""}}) != []


@pytest.mark.parametrize("name", ["comparison", "scan", "similarity", *SEALED])
def test_committed_files_are_as_their_schemas_say(name: str) -> None:
    """All of them; none has a two-stage design."""
    paths = sorted((REPOSITORY / "results").rglob(f"{name}.json"))
    assert [(path, found) for path in paths if (found := problems(name, json.loads(path.read_text())))] == []
    assert paths or name == "two-stage"


def test_committed_records_of_the_present_schema_are_as_it_says() -> None:
    """One of each folder."""
    paths = {path.parent: path for path in (REPOSITORY / "results").rglob("*.json") if RunId.of_record_file(path.name)}
    documents = {path: json.loads(path.read_text()) for path in paths.values()}
    present = {path: document for path, document in documents.items() if document["schema_version"] == 6}
    assert len(present) > 2
    for document in present.values():
        assert_documented("record", document)
