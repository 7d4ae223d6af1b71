"""What was decided before runs were trained stands as it was: a design that is changed or missing is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_bad_input import GOOD, TINY, assert_refused, run_tiedlm, tree, write
from tests.comparison.test_scan import toml
from tiedlm.record.run_record import document_sha256

pytestmark = pytest.mark.slow
TUNE = '\n[tune]\nseeds = 1\n[tune.values]\n"train.learning_rate" = [1e-3, 1e-2]\n'
COMMANDS = {
    "two-stage": f"compare --corpus corpus {TINY} --seeds 3 --to-within 1e-6 --max-seeds 4 --out two-stage",
    "tuned": "compare tuned.toml --tune --seeds 1 --out tuned",
    "map": "compare scanned.toml --scan corpus.fraction=0.5,1.0 --seeds 1 --out map",
}
FILES = {"two-stage": "two-stage.json", "tuned": "tune/tune.json", "map": "scan-design.json"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a two-stage design of four seeds, a tuning and a scan, each of which is told anew as it was."""
    folder = tmp_path_factory.mktemp("designs")
    write(folder, {**GOOD, "tuned.toml": toml("tuned", TUNE).encode(), "scanned.toml": toml("scanned").encode()})
    for kind, command in COMMANDS.items():
        first = run_tiedlm(folder, f"{command} --json")
        assert first.returncode == 0, first.stderr
        assert "decided on after" not in first.stdout  # a plan that stood before its first stage
        before = tree(folder)
        for again in (f"{command} --json", f"report {kind} --json"):
            assert run_tiedlm(folder, again).stdout == first.stdout
        assert tree(folder) == before
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def edit(path: Path, change: Callable[[dict[str, Any]], Any], is_sealed: bool) -> None:
    """Change a design, with a digest that is right again or without."""
    document = json.loads(path.read_text())
    change(document)
    if is_sealed:
        document["sha256"] = document_sha256(document)
    path.write_text(json.dumps(document))


def set_values(**values: Any) -> Callable[[dict[str, Any]], None]:
    """The change to these."""
    return lambda document: document.update(values)


EDITS: dict[str, list[Callable[[dict[str, Any]], Any]]] = {
    "two-stage": [
        set_values(first_stage_seeds=[0, 1, 3]),
        set_values(first_stage_seeds=[1, 2, 3]),
        set_values(max_seeds=3),
        set_values(half_width_nats=1e3),
        set_values(max_seeds=9),
    ],
    "tuned": [
        set_values(seeds=2),
        set_values(values={"train.learning_rate": [1e-2]}),
        set_values(values={"train.learning_rate": [1e-2, 1e-3]}),
    ],
    "map": [
        set_values(values={"corpus.fraction": [0.5]}),
        set_values(values={"corpus.fraction": [0.5, 0.7, 1.0]}),
        set_values(experiment="other"),
    ],
}


@pytest.mark.parametrize("is_sealed", [False, True])
@pytest.mark.parametrize(
    ("kind", "number"), [(kind, number) for kind, of in EDITS.items() for number in range(len(of))]
)
def test_an_edited_design_is_told(folder: Path, kind: str, number: int, is_sealed: bool) -> None:
    edit(folder / kind / FILES[kind], EDITS[kind][number], is_sealed)
    assert_refused(folder, f"report {kind} --json", f"{kind}/{FILES[kind]}")
    assert_refused(folder, f"{COMMANDS[kind]} --quiet", f"{kind}")


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_missing_design_is_told_and_the_same_command_puts_it_back(folder: Path, kind: str) -> None:
    path = folder / kind / FILES[kind]
    content = path.read_text()
    path.unlink()
    words = (f"{kind}/{FILES[kind]}: is missing", "put back the file as it was")
    for options in ("", "--csv", "--html page.html"):
        assert_refused(folder, f"report {kind} {options}", *words)
    write(folder, {"other.toml": toml("tuned", TUNE.replace("1e-3", "2e-3")).encode()})
    others = {"two-stage": ("1e-6", "1e-5"), "tuned": ("tuned.toml", "other.toml"), "map": ("0.5,1.0", "1.0,0.5")}
    assert_refused(folder, f"{COMMANDS[kind].replace(*others[kind])} --quiet", "is missing")
    if kind == "two-stage":
        assert_refused(
            folder, f"{COMMANDS[kind].partition('--to-within')[0]} --seeds 4 --out two-stage --quiet", *words
        )
    again = run_tiedlm(folder, COMMANDS[kind])
    assert again.returncode == 0, again.stderr
    assert path.read_text() == content


@pytest.mark.parametrize("cell", ["map/fraction=0.5", "tuned/tune/learning_rate=0.01"])
def test_a_cell_is_no_comparison_without_its_design(folder: Path, cell: str) -> None:
    assert run_tiedlm(folder, f"report {cell}").returncode == 0
    assert run_tiedlm(folder / cell, "report .").returncode == 0
    for kind in ("map", "tuned"):
        (folder / kind / FILES[kind]).unlink()
    assert_refused(folder, f"report {cell}", "is missing")
    assert_refused(folder / cell, "report .", "is missing")


def test_a_scan_that_has_grown_keeps_the_design_that_it_had(folder: Path) -> None:
    more = COMMANDS["map"].replace("0.5,1.0", "0.5,0.8,1.0")
    assert run_tiedlm(folder, more).returncode == 0
    assert run_tiedlm(folder, "report map").returncode == 0
    assert_refused(folder, f"{COMMANDS['map']} --quiet", "has another scan")

    def shrink(document: dict[str, Any]) -> None:
        document["values"] = {"corpus.fraction": [0.8, 1.0]}

    edit(folder / "map/scan-design.json", shrink, is_sealed=True)
    assert_refused(folder, "report map", "map/scan-design.json: has not all of the design that it had earlier")


def test_a_record_names_every_design_that_led_to_it(folder: Path) -> None:
    digest = {kind: json.loads((folder / kind / path).read_text())["sha256"] for kind, path in FILES.items()}
    named = {
        path: json.loads((folder / path).read_text())["design_sha256"]
        for path in (
            *("two-stage/tied-seed0.json", "two-stage/untied-seed3.json", "map/fraction=1.0/tied-seed0.json"),
            *("tuned/tied-seed0.json", "tuned/tune/learning_rate=0.01/tied-seed1000000.json"),
        )
    }
    assert list(named.values()) == [
        *([{"to-within": digest["two-stage"]}] * 2),
        {"scan": digest["map"]},
        *([{"tune": digest["tuned"]}] * 2),
    ]


def test_seeds_that_no_design_leads_to_are_not_trained_beside_it(folder: Path) -> None:
    words = (
        "two-stage/two-stage.json: by the variance of seeds 0–2 its design takes the seeds 0–3, not",
        "compare these",
    )
    assert_refused(folder, f"compare --corpus corpus {TINY} --seeds 7 --out two-stage --quiet", *words)
    assert_refused(folder, f"train --tied --corpus corpus {TINY} --seed 9 --out two-stage --quiet", *words)


def older(folder: Path) -> None:
    """Take the digests out of a folder, as an older version wrote it."""
    for path in folder.rglob("*.json"):
        document = json.loads(path.read_text())
        document.pop("design_sha256", None)
        if "-seed" in path.name:
            document["sha256"] = document_sha256(document)
        elif path.name in ("two-stage.json", "tune.json", "scan-design.json"):
            del document["sha256"]
        path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("kind", "number"), [("two-stage", 2), ("two-stage", 3), ("two-stage", 4), ("tuned", 0), ("tuned", 1), ("map", 0)]
)
def test_an_older_design_is_held_to_its_records(folder: Path, kind: str, number: int) -> None:
    older(folder / kind)
    assert run_tiedlm(folder, f"report {kind}").returncode == 0
    edit(folder / kind / FILES[kind], EDITS[kind][number], is_sealed=False)
    assert_refused(folder, f"report {kind}", kind, "put back")


MANY = {f"train.{key}": list(range(10)) for key in "abcdefghijklmnopqrstuvwx"}


@pytest.mark.parametrize("values", [MANY, {"train.a": []}, {}, {"train.a": [*range(1_001)]}, {"../../x": [1]}])
def test_a_design_of_more_cells_than_anybody_trains_or_of_none_is_refused_at_once(
    tmp_path: Path, values: dict[str, list[Any]]
) -> None:
    limit = ("over the limit of 1,000",) if len(values) > 1 or len(values.get("train.a", [])) > 1_000 else ()
    write(
        tmp_path,
        {
            "map/scan-design.json": json.dumps({"experiment": "toy", "values": values}).encode(),
            "tuned/tune/tune.json": json.dumps({"seeds": 1, "values": values}).encode(),
            "tuned/tied-seed0.json": b"{}",
            "many.toml": toml(
                "many",
                "\n[tune]\nseeds = 1\n[tune.values]\n" + "\n".join(f'"{key}" = {of}' for key, of in values.items()),
            ).encode(),
        },
    )
    assert_refused(tmp_path, "report map", "map/scan-design.json", *limit)
    assert_refused(tmp_path, "compare many.toml --tune", "many.toml: ", *limit)
    assert_refused(tmp_path, "config many.toml", "many.toml: ", *limit)
    scanned = " ".join(f"--scan {key}={','.join(map(str, of))}" for key, of in values.items() if "/" not in key)
    if scanned:
        assert_refused(tmp_path, f"compare --corpus x {scanned} --out new --quiet", "--scan", *limit)


def test_a_width_that_takes_more_seeds_than_there_are_numbers_is_no_error(folder: Path) -> None:
    shutil.rmtree(folder / "two-stage")
    command = COMMANDS["two-stage"].replace("1e-6", "1e-300").replace("--max-seeds 4", "--max-seeds 3")
    assert run_tiedlm(folder, command).returncode == 0
    assert_refused(folder, f"{command} --max-seeds {10**24} --quiet", "--max-seeds", "no more than 1,000")
