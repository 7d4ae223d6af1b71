"""Planned contrasts by the command: written down before the first run, held to, and told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.test_bad_input import GOOD, assert_refused, run_tiedlm, write
from tests.comparison.test_scan import toml

ARMS = "\n[arms.other.model]\nhead_transform = false\n"
LEAD = "\n[contrasts.lead]\nweights = { untied = 1.0, tied = -1.0 }\n"
PLANNED = f'{ARMS}{LEAD}predicted = "positive"\n'
OVER_CELLS = f'{ARMS}{LEAD}predicted = "negative"\nslope_per_doubling_of = "corpus.fraction"\n'


def experiment(name: str, more: str) -> dict[str, bytes]:
    """Its file, and the text."""
    return {**GOOD, f"{name}.toml": toml(name, more).encode()}


@pytest.mark.parametrize(
    ("contrast", "words"),
    [
        ("weights = { untied = 1.0, tied = -0.9 }\npredicted = 'positive'", ("contrasts.a.weights", "sum to 0.1")),
        ("weights = { untied = 0.0, tied = 0.0 }\npredicted = 'positive'", ("contrasts.a.weights", "0 of them")),
        ("weights = { untied = 1.0, teid = -1.0 }\npredicted = 'positive'", ("arm 'teid'", "did you mean tied?")),
        ("weights = { untied = 1, tied = -1 }", ("contrasts.a.predicted and equal_within_nats are neither",)),
        ("weights = { untied = 1, tied = -1 }\npredicted = 'negative'\nequal_within_nats = 0.1", ("are both stated",)),
        ("weights = { untied = 1, tied = -1 }\nequal_within_nats = -0.1", ("equal_within_nats=-0.1", "greater than 0")),
        ("weights = { untied = 1, tied = -1 }\npredicted = 'up'", ("contrasts.a.predicted='up'",)),
        (
            "weights = { untied = 1, tied = -1 }\npredicted = 'positive'\nwhere = { steps = [1] }",
            ("is not a key of the experiment",),
        ),
        (
            "weights = { untied = 1, tied = -1 }\npredicted = 'positive'\nslope_per_doubling_of = 'train.num_steps'\n"
            "where = { 'train.num_steps' = [1] }",
            ("has one value", "a slope needs two"),
        ),
        (
            "weights = { untied = 1, tied = -1 }\npredicted = 'positive'\nslope_per_doubling_of = 'train.num_steps'\n"
            "where = { 'train.num_steps' = [6, 6] }",
            ("has one value", "a slope needs two"),
        ),
    ],
)
def test_a_contrast_that_is_none_is_refused(tmp_path: Path, contrast: str, words: tuple[str, ...]) -> None:
    write(tmp_path, experiment("wrong", f"\n[contrasts.a]\n{contrast}\n"))
    assert_refused(tmp_path, "config wrong.toml", "wrong.toml: ", *words)


def test_an_experiment_shows_its_contrasts(tmp_path: Path) -> None:
    more = "\n[contrasts.same]\nweights = { other = 0.5, untied = 0.5, tied = -1.0 }\nequal_within_nats = 0.03\n"
    write(tmp_path, experiment("planned", PLANNED + more))
    told = run_tiedlm(tmp_path, "config planned.toml").stdout
    assert "contrasts.lead" in told
    assert "untied − tied, predicted above 0" in told
    assert "mean(other, untied) − tied, predicted within ± 0.03" in told
    document = json.loads(run_tiedlm(tmp_path, "config planned.toml --json").stdout)
    assert document["contrasts"]["lead"] == {"weights": {"untied": 1.0, "tied": -1.0}, "predicted": "positive"}
    write(tmp_path, experiment("plain", ARMS))
    assert "contrasts" not in json.loads(run_tiedlm(tmp_path, "config plain.toml --json").stdout)


@pytest.mark.slow
def test_contrasts_are_written_down_before_the_first_run_and_stay(tmp_path: Path) -> None:
    write(tmp_path, experiment("planned", PLANNED))
    command = "compare planned.toml --arms tied,untied --seeds 2 --out out"
    first = run_tiedlm(tmp_path, f"{command} --json")
    assert first.returncode == 0, first.stderr
    assert "were decided on after" not in first.stdout
    found = json.loads(first.stdout)
    assert [(item["name"], item["split"], item["formula"], item["seeds"]) for item in found["contrasts"]] == [
        ("lead", "valid", "untied − tied", [0, 1]),
        ("lead", "test", "untied − tied", [0, 1]),
    ]
    assert {item["verdict"] for item in found["differences"]} == {"exploratory"}
    path = tmp_path / "out/contrasts.json"
    content, document = path.read_text(), json.loads(path.read_text())
    for run in ("tied-seed0", "untied-seed1"):
        record = json.loads((tmp_path / f"out/{run}.json").read_text())
        assert record["design_sha256"] == {"contrasts": document["sha256"]}
    write(tmp_path, experiment("planned", PLANNED.replace("positive", "negative")))
    assert_refused(tmp_path, f"{command} --quiet", "out/contrasts.json: has other contrasts", "choose another --out")
    write(tmp_path, experiment("planned", ARMS))
    assert_refused(tmp_path, f"{command} --quiet", "has other contrasts (lead: untied − tied above 0)", "(none)")
    write(tmp_path, experiment("planned", PLANNED))
    path.unlink()
    assert_refused(tmp_path, "report out", "out/contrasts.json: is missing", "put back the file as it was")
    assert run_tiedlm(tmp_path, f"{command} --json").stdout == first.stdout
    assert path.read_text() == content
    more = run_tiedlm(tmp_path, "compare out --seeds 3 --json")  # the folder's own experiment has them too
    assert more.returncode == 0, more.stderr
    assert json.loads((tmp_path / "out/tied-seed2.json").read_text())["design_sha256"] == record["design_sha256"]


@pytest.mark.slow
def test_every_form_of_a_report_has_the_contrasts_first(tmp_path: Path) -> None:
    write(tmp_path, experiment("planned", PLANNED))
    told = run_tiedlm(tmp_path, "compare planned.toml --arms tied,untied --seeds 3 --out out")
    assert told.returncode == 0, told.stderr
    page = run_tiedlm(tmp_path, "report out --html page.html")
    assert page.returncode == 0, page.stderr
    markdown = run_tiedlm(tmp_path, "report out --markdown").stdout
    for text in (told.stdout, (tmp_path / "out/REPORT.md").read_text(), (tmp_path / "page.html").read_text(), markdown):
        assert text.lower().index("planned contrasts") < text.index("exploratory")
        assert "untied − tied" in text
    last = told.stdout.strip().splitlines()[-2:]
    assert last[0].startswith("On valid, ")
    assert "lead" in last[0]
    assert "as predicted" in run_tiedlm(tmp_path, "ls out").stdout


@pytest.mark.slow
def test_a_width_is_that_of_the_contrasts(tmp_path: Path) -> None:
    """An arm that no contrast has may scatter as it likes: the seeds follow from the contrasts."""
    write(tmp_path, experiment("planned", PLANNED))
    command = "compare planned.toml --seeds 3 --to-within 1e-9 --max-seeds 4 --out out --json"
    found = run_tiedlm(tmp_path, command)
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["seeds"] == [0, 1, 2, 3]
    assert any("wider than ± 1e-09" in note and "lead on valid" in note for note in document["notes"])
    assert not any("other on valid" in note for note in document["notes"])
    assert "two-stage" in document["contrasts"][0]["method"]


@pytest.mark.slow
def test_contrasts_that_were_decided_on_later_are_told(tmp_path: Path) -> None:
    write(tmp_path, experiment("planned", ARMS))
    command = "compare planned.toml --arms tied,untied --out out --json"
    assert run_tiedlm(tmp_path, f"{command} --seeds 2").returncode == 0
    assert not (tmp_path / "out/contrasts.json").exists()
    write(tmp_path, experiment("planned", PLANNED))
    for number, of_all in ((2, 4), (3, 6)):
        told = run_tiedlm(tmp_path, f"{command} --seeds {number}")
        assert told.returncode == 0, told.stderr
        assert f"the contrasts were decided on after 4 of {of_all} runs were trained" in told.stdout
    assert "Planned before the runs unless a note says otherwise" in (tmp_path / "out/REPORT.md").read_text()


@pytest.mark.slow
def test_the_contrasts_of_a_scan_lie_beside_its_design(tmp_path: Path) -> None:
    write(tmp_path, experiment("planned", OVER_CELLS))
    command = "compare planned.toml --arms tied,untied --seeds 2 --out map --scan corpus.fraction="
    assert_refused(tmp_path, f"{command}0.5 --quiet", "contrasts.lead.slope_per_doubling_of", "add them to --scan")
    first = run_tiedlm(tmp_path, f"{command}0.5,1.0 --json")
    assert first.returncode == 0, first.stderr
    scan = json.loads(first.stdout)
    assert [(item["split"], item["formula"]) for item in scan["contrasts"]] == [
        ("valid", "slope of untied − tied per doubling of fraction"),
        ("test", "slope of untied − tied per doubling of fraction"),
    ]
    assert "Planned contrasts" in (tmp_path / "map/REPORT.md").read_text()
    in_cell = run_tiedlm(tmp_path, "report map/fraction=0.5").stdout
    assert "the planned contrasts are tested over all cells" in " ".join(in_cell.split())
    path = tmp_path / "map/contrasts.json"
    digest = json.loads(path.read_text())["sha256"]
    record = json.loads((tmp_path / "map/fraction=0.5/tied-seed0.json").read_text())
    assert record["design_sha256"]["contrasts"] == digest
    assert not (tmp_path / "map/fraction=0.5/contrasts.json").exists()
    shutil.copytree(tmp_path / "map", tmp_path / "copy")
    (tmp_path / "copy/contrasts.json").unlink()
    assert_refused(tmp_path, "report copy", "copy/contrasts.json: is missing")
    again = run_tiedlm(tmp_path, f"{command}0.5,1.0 --json".replace("map", "copy"))
    assert (tmp_path / "copy/contrasts.json").read_text() == path.read_text(), again.stderr
    write(tmp_path, experiment("planned", OVER_CELLS.replace("negative", "positive")))
    assert_refused(tmp_path, f"{command}0.5,1.0 --quiet", "map/contrasts.json: has other contrasts")
