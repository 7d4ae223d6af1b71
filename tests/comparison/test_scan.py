"""Scans and tunings: cells that may be put together, and what is made of them."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cli.test_bad_input import GOOD, run_tiedlm, write
from tests.comparison.test_compare import made_up
from tests.conftest import TOY, toy_experiment
from tiedlm.api.cell_experiments import make_cells, parse_scan
from tiedlm.api.scan import decide_scan
from tiedlm.api.tuning import tuned
from tiedlm.comparison.cells import cell_folders
from tiedlm.comparison.designs import SCAN_DESIGN_FILE, TUNE_FILE
from tiedlm.comparison.folder import compare_cells
from tiedlm.comparison.scan_result import ScanDesign
from tiedlm.comparison.sealed_design import save_decision, seal
from tiedlm.comparison.tuning_table import FIRST_TUNING_SEED
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError
from tiedlm.execution.run_options import RunOptions
from tiedlm.record.record_file import save_record
from tiedlm.reporting.closing import scan_command
from tiedlm.reporting.figures import scan_csv
from tiedlm.reporting.scan_report import render_scan, scan_title, short_names
from tiedlm.reporting.write import update_report
from tiedlm.reporting.write_scan import update_scan

VALUES: dict[str, list[Any]] = {"train.learning_rate": [0.01, 0.02], "train.adam_epsilon": [1e-8, 1e-6, 1e-4]}


def write_cells(folder: Path, first_seed: int = 0) -> None:
    """Records of both arms in a folder for each cell; untied is ahead where both numbers are high."""
    for number, (name, values) in enumerate(cell_folders(VALUES).items()):
        place = folder / name
        place.mkdir(parents=True)
        ahead = 0.1 if values["train.learning_rate"] == 0.02 and values["train.adam_epsilon"] > 1e-8 else -0.1
        changes = {f"config__train__{key.partition('.')[2]}": value for key, value in values.items()}
        for seed in (first_seed, first_seed + 1):
            noise = 0.0004 * (seed - first_seed) * (-1) ** number
            save_record(made_up("tied", seed, 4.0, **changes), place)
            save_record(made_up("untied", seed, 4.0 - ahead + noise, **changes), place)


def test_a_map_is_of_its_cells_and_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    write_cells(tmp_path)
    save_decision(seal(ScanDesign(experiment="toy", values=VALUES)), tmp_path / SCAN_DESIGN_FILE)
    scan = update_scan(tmp_path)
    means = [next(item for item in cell.differences if item.split == "valid").delta_nats.mean for cell in scan.cells]
    assert [round(mean, 4) for mean in means] == [0.1002, 0.0998, 0.1002, 0.0998, -0.0998, -0.1002]
    page = (tmp_path / "REPORT.md").read_text()
    assert "| learning\\_rate \\\\ adam\\_epsilon | 1e-08 | 1e-06 | 0.0001 |" in page
    assert "| 0.02 | +0.100 [" in page
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    update_scan(tmp_path, force=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("values", "may"),
    [
        ({"train.a": [1, 2, 3], "train.b": [1]}, True),
        ({"train.a": [3, 2, 1], "train.b": [2, 1]}, True),
        ({"train.a": [1], "train.b": [1]}, False),
        ({"train.a": [1.0, 2.0], "train.b": [1]}, False),  # folders have other names
        ({"train.a": [1, 2]}, False),
        ({"train.b": [1], "train.a": [1, 2]}, False),
    ],
)
def test_a_scan_may_go_on_over_more_values_of_its_keys(values: dict[str, list[Any]], may: bool) -> None:
    earlier = ScanDesign(experiment="toy", values={"train.a": [1, 2], "train.b": [1]})
    assert ScanDesign(experiment="toy", values=values).has_all_of(earlier) is may
    assert not ScanDesign(experiment="other", values=values).has_all_of(earlier)


def test_a_map_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    write_cells(tmp_path)
    save_decision(seal(ScanDesign(experiment="toy", values=VALUES)), tmp_path / SCAN_DESIGN_FILE)
    (tmp_path / "REPORT.md").mkdir()
    with pytest.raises(InputError, match=r"the report cannot be written \(Is a directory\)"):
        update_scan(tmp_path)


def test_a_map_with_a_cell_that_is_being_trained_says_what_is_missing(tmp_path: Path) -> None:
    write_cells(tmp_path)
    save_decision(seal(ScanDesign(experiment="toy", values=VALUES)), tmp_path / SCAN_DESIGN_FILE)
    half = "learning_rate=0.01,adam_epsilon=1e-08"
    for seed in (0, 1):
        (tmp_path / half / f"untied-seed{seed}.json").unlink()
    scan = compare_cells(tmp_path)
    assert scan.missing == [half]
    told = io.StringIO()
    Console(file=told, width=80).print(render_scan(scan))
    assert f"note: not trained yet: {half}" in told.getvalue()
    assert " ".join(told.getvalue().split()).count("untied better") == 2
    rows = list(csv.DictReader(io.StringIO(scan_csv(scan))))
    assert [row["verdict"] for row in rows if row["split"] == "valid"] == ["tied better"] * 3 + ["untied better"] * 2
    save_record(
        made_up("untied", 7, 4.0, config__train__learning_rate=0.01, config__train__adam_epsilon=1e-8), tmp_path / half
    )
    with pytest.raises(InputError, match=rf"^cell {half}: no seed of untied has a record of tied"):
        compare_cells(tmp_path)


def test_the_missing_cells_are_trained_with_the_arms_of_the_others(tmp_path: Path) -> None:
    experiment = toy_experiment(arms={"late": {"train": {"weight_decay": 0.2}}})
    place = tmp_path / "learning_rate=0.01,adam_epsilon=1e-08"
    place.mkdir()
    for arm in ("untied", "late"):
        changes = {"config__train__learning_rate": 0.01, "config__train__adam_epsilon": 1e-8}
        save_record(made_up(arm, 0, 4.0, of=experiment, **changes), place)
    save_decision(seal(ScanDesign(experiment="toy", values=VALUES)), tmp_path / SCAN_DESIGN_FILE)
    following = scan_command(compare_cells(tmp_path), tmp_path)
    assert following is not None
    assert " --arms untied,late " in following.command


def test_a_map_is_drawn_again_when_its_scan_grows(tmp_path: Path) -> None:
    write_cells(tmp_path)
    save_decision(seal(ScanDesign(experiment="toy", values=VALUES)), tmp_path / SCAN_DESIGN_FILE)
    before = compare_cells(tmp_path).records_sha256
    more = VALUES | {"train.learning_rate": [0.01, 0.02, 0.05]}
    save_decision(seal(ScanDesign(experiment="toy", values=more)), tmp_path / SCAN_DESIGN_FILE)
    assert compare_cells(tmp_path).records_sha256 != before


def test_cells_that_differ_in_more_are_not_put_together(tmp_path: Path) -> None:
    write_cells(tmp_path)
    save_decision(seal(ScanDesign(experiment="toy", values=VALUES)), tmp_path / SCAN_DESIGN_FILE)
    place = tmp_path / "learning_rate=0.02,adam_epsilon=0.0001"
    changes = {"config__train__learning_rate": 0.02, "config__train__adam_epsilon": 1e-4}
    for arm, seed in (("tied", 0), ("untied", 0), ("tied", 1), ("untied", 1)):
        save_record(made_up(arm, seed, 4.0, config__train__weight_decay=0.2, **changes), place)
    with pytest.raises(InputError, match=r"differs from the other cells in train.weight_decay \(0.1, 0.2\)"):
        update_scan(tmp_path)
    for arm, seed in (("tied", 0), ("untied", 0), ("tied", 1), ("untied", 1)):
        save_record(made_up(arm, seed, 4.0, config__train__learning_rate=0.05), place)
    with pytest.raises(InputError, match=r"was made with train\.learning_rate=0\.05"):
        update_scan(tmp_path)


def test_a_tuning_is_shown_and_an_arm_that_does_not_follow_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "tune").mkdir()
    write_cells(tmp_path / "tune", FIRST_TUNING_SEED)
    save_decision(seal(Tune(seeds=2, values=VALUES)), tmp_path / "tune" / TUNE_FILE)
    best = {"config__train__learning_rate": 0.02, "config__train__adam_epsilon": 1e-4}
    for seed in (0, 1):
        save_record(made_up("tied", seed, 4.0), tmp_path)
        overrides = {"model": {"tie_word_embeddings": False}, "train": {"learning_rate": 0.02, "adam_epsilon": 1e-4}}
        save_record(made_up("untied", seed, 3.9, overrides=overrides, **best), tmp_path)
    comparison = update_report(tmp_path)
    assert not any("tun" in note for note in comparison.notes)
    page = (tmp_path / "REPORT.md").read_text()
    assert page.splitlines()[2].startswith("**tied and untied differ in train.learning\\_rate (as in the file, 0.02)")
    assert re.search(r"\| learning\\_rate=0.02,adam\\_epsilon=0.0001 \| 5\d\.\d \| \*\*4\d\.\d\*\* \|", page)
    for seed in (0, 1):
        (tmp_path / f"untied-seed{seed}.json").unlink()
        save_record(made_up("untied", seed, 3.9), tmp_path)
    told = "untied has not the values of its lowest loss in the tuning; give the command with --tune"
    assert told in update_report(tmp_path).notes


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("train.learning_rate", "is not of the form section.key=V,V"),
        ("learning_rate=1", "is not of the form section.key=V,V"),
        ("train.learning_rate=1e-3,oops", "train.learning_rate='oops'"),
        ("corpus.name=a,,b", "is not of the form section.key=V,V"),
        ("corpus.name='a,b", "is no list of values"),
        ("corpus.tokenizer=bpe:2000,bpe", "corpus.tokenizer='bpe'"),
        ("train.learning_rate=", "is not of the form section.key=V,V"),
        ("train.learning_rate=1e-3,1e-3", "two that are one"),
        ("train.learning_rat=1e-3", "key train.learning_rat is unknown"),
        ("model.hidden_size=3,5", "hidden_size=3 is not divisible"),
    ],
)
def test_a_scan_that_cannot_be_is_refused(option: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_cells(toy_experiment(), parse_scan([option]))


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("corpus.tokenizer=bpe:2000,bpe:8000", ["bpe:2000", "bpe:8000"]),
        ("corpus.tokenizer=word, bpe:300", ["word", "bpe:300"]),
        ('corpus.tokenizer="word","bpe:300"', ["word", "bpe:300"]),
        ("corpus.name=a text,b", ["a text", "b"]),
        ("corpus.name='a,b',\"c\"", ["a,b", "c"]),
        ("train.learning_rate=1e-3,2", [1e-3, 2]),
        ("model.head_transform=true,false", [True, False]),
    ],
)
def test_words_of_a_scan_need_no_quotes(option: str, values: list[Any]) -> None:
    assert list(parse_scan([option]).values()) == [values]


@pytest.mark.parametrize("key", ["train.num_steps", "corpus.seq_length", "model.tie_word_embeddings"])
def test_a_tuning_over_what_arms_must_share_is_refused_before_it_trains(key: str, tmp_path: Path) -> None:
    experiment = toy_experiment(tune={"seeds": 1, "values": {key: [8, 9] if "tie" not in key else [True, False]}})
    with pytest.raises(InputError, match=key.partition(".")[2] if "corpus" not in key else "corpus"):
        tuned(experiment, out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["train.weight_decay", "model.tie_word_embeddings"])
def test_a_scan_over_what_an_arm_sets_itself_is_refused_before_it_trains(key: str, tmp_path: Path) -> None:
    experiment = toy_experiment(arms={"late": {"train": {"weight_decay": 0.2}}})
    values = {key: [True, False] if "tie" in key else [0.1, 0.3]}
    with pytest.raises(InputError, match=f"--scan {key}: arm .* sets it itself"):
        decide_scan(experiment, values, out=tmp_path / "out", options=RunOptions())
    assert list(tmp_path.iterdir()) == []


def test_a_cell_of_a_tuning_sets_what_an_arm_has_set_itself() -> None:
    experiment = toy_experiment(arms={"untied": {"train": {"learning_rate": 0.5}}})
    cells = make_cells(experiment, {"train.learning_rate": [0.1, 0.2]}, ["tied", "untied"])
    rates = [[cell.experiment.run_config(arm).train.learning_rate for arm in ("tied", "untied")] for cell in cells]
    assert rates == [[0.1, 0.1], [0.2, 0.2]]


def toml(name: str, more: str = "") -> str:
    """The toy experiment as a file, on the text of `corpus`."""
    lines = [f'name = "{name}"', "seeds = 2"]
    for section, keys in TOY.items():
        if isinstance(keys, dict):
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines).replace("num_steps = 6", "num_steps = 2") + more


@pytest.mark.slow
def test_a_scan_by_the_command_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, "scanned.toml": toml("scanned").encode()})
    command = "compare scanned.toml --scan corpus.fraction=0.5,1.0 --out map --json"
    first = run_tiedlm(tmp_path, command)
    assert first.returncode == 0, first.stderr
    scan = json.loads(first.stdout)
    assert [cell["values"] for cell in scan["cells"]] == [{"corpus.fraction": 0.5}, {"corpus.fraction": 1.0}]
    again = run_tiedlm(tmp_path, command)
    assert again.stdout == first.stdout
    assert "records go to" in first.stderr
    assert "records go to" not in again.stderr
    told = run_tiedlm(tmp_path, "report map --json")
    assert json.loads(told.stdout) == scan
    shutil.rmtree(tmp_path / "map" / "fraction=0.5")
    *_, sentence, following = run_tiedlm(tmp_path, "report map").stdout.splitlines()
    told = "On valid, tied is ahead in 0 of 1 cells and untied in 0; 1 without a verdict."
    assert sentence == f"{told} Cells that are not trained yet: 1."
    assert following == "Next: tiedlm compare map/fraction=1.0 --seeds 2 --scan corpus.fraction=0.5,1.0 --out map"
    assert run_tiedlm(tmp_path, following.removeprefix("Next: tiedlm ")).returncode == 0
    shown = run_tiedlm(tmp_path, "report map").stdout.splitlines()[-1]
    of_cell = run_tiedlm(tmp_path, shown.removeprefix("Next: tiedlm "))
    assert of_cell.returncode == 0
    assert "Next" not in of_cell.stdout  # more runs of a cell alone would be no scan
    other = run_tiedlm(tmp_path, "compare scanned.toml --scan corpus.fraction=0.2 --out map")
    assert other.returncode == 2
    assert "has another scan (scanned --scan corpus.fraction=0.5,1.0);" in " ".join(other.stderr.split())


@pytest.mark.slow
def test_each_arm_is_compared_at_its_own_best(tmp_path: Path) -> None:
    tune = '\n[tune]\nseeds = 1\n[tune.values]\n"train.learning_rate" = [1e-9, 1e-2]\n'
    write(tmp_path, {**GOOD, "tuned.toml": toml("tuned", tune).encode()})
    finished = run_tiedlm(tmp_path, "compare tuned.toml --tune --out out --json")
    assert finished.returncode == 0, finished.stderr
    comparison = json.loads(finished.stdout)
    for arm in ("tied", "untied"):
        losses = [cell["losses_nats"][arm] for cell in comparison["tuning"]["cells"]]
        best = [1e-9, 1e-2][min((0, 1), key=lambda place: losses[place])]
        assert comparison["arms"][arm]["overrides"]["train.learning_rate"] == best
    assert comparison["seeds"] == [0, 1]
    without = run_tiedlm(tmp_path, f"compare --corpus corpus --tune {shlex.quote('--out=none')}")
    assert without.returncode == 2
    assert "has no [tune]" in without.stderr


def test_a_tuning_by_its_older_name_is_told_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    save_decision(seal(Tune(seeds=2, values=VALUES)), tmp_path / "search" / "grid.json")
    save_record(made_up("tied", 0, 4.0), tmp_path)
    save_record(made_up("untied", 0, 4.1), tmp_path)
    with pytest.raises(InputError, match=r"is called tune/tune\.json now; rename the folder search"):
        update_report(tmp_path)


def test_a_scan_over_a_key_that_has_moved_since_is_read(tmp_path: Path) -> None:
    """The names of its folders have the key's last word alone, and stay."""
    (tmp_path / SCAN_DESIGN_FILE).write_text(
        json.dumps({"experiment": "toy", "values": {"model.input_gradient_scale": [1.0, 2.0]}})
    )
    for scale in (1.0, 2.0):
        place = tmp_path / f"input_gradient_scale={scale}"
        place.mkdir()
        of = toy_experiment(**{"intervention.input_gradient_scale": scale})
        for arm, loss in (("tied", 4.0), ("untied", 4.2)):
            for seed in (0, 1):
                save_record(made_up(arm, seed, loss + seed / 100, of=of), place)
    scan = compare_cells(tmp_path)
    assert [cell.values for cell in scan.cells] == [
        {"intervention.input_gradient_scale": scale} for scale in (1.0, 2.0)
    ]


@pytest.mark.parametrize(
    ("values", "changes", "may"),
    [
        ({"corpus.vocabulary": ["whole", "fraction"]}, {}, True),
        ({"corpus.fraction_seed": [0, 1]}, {"config__corpus__vocabulary": "fraction"}, True),
        ({"corpus.fraction": [0.1, 0.2]}, {"config__corpus__vocabulary": "fraction"}, True),
        ({"corpus.fraction_seed": [0, 1]}, {}, False),
        ({"model.head_dense_identity": [0.0, 0.2]}, {}, False),
    ],
)
def test_cells_have_other_tokens_where_a_key_of_the_scan_decides_them(
    tmp_path: Path, values: dict[str, list[Any]], changes: dict[str, Any], may: bool
) -> None:
    for unigram, (name, of_cell) in zip((90.0, 80.0), cell_folders(values).items(), strict=True):
        (tmp_path / name).mkdir()
        of_cell = {f"config__{key.replace('.', '__')}": value for key, value in of_cell.items()}
        split = {f"metrics__{split}__unigram_perplexity": unigram for split in ("valid", "test")}
        for arm in ("tied", "untied"):
            save_record(made_up(arm, 0, 4.0, **of_cell, **changes, **split), tmp_path / name)
    save_decision(seal(ScanDesign(experiment="toy", values=values)), tmp_path / SCAN_DESIGN_FILE)
    if may:
        assert len(update_scan(tmp_path).cells) == 2
    else:
        with pytest.raises(InputError, match="differs from the other cells in the unigram perplexity of valid"):
            update_scan(tmp_path)


def test_a_scan_over_corpora_has_no_one_corpus_in_its_title(tmp_path: Path) -> None:
    for corpus in ("one", "other"):
        place = tmp_path / f"name={corpus}"
        place.mkdir()
        for arm in ("tied", "untied"):
            save_record(made_up(arm, 0, 4.0, config__corpus__name=corpus, data__corpus=corpus), place)
    save_decision(
        seal(ScanDesign(experiment="toy", values={"corpus.name": ["one", "other"]})), tmp_path / SCAN_DESIGN_FILE
    )
    assert scan_title(compare_cells(tmp_path)) == "toy over corpus.name: 1 seed a cell"


def test_a_path_is_called_by_its_last_part_where_that_tells_it_from_the_others() -> None:
    assert short_names(["runs/a-0", "runs/a-1/"]) == {"runs/a-0": "a-0", "runs/a-1/": "a-1"}
    assert short_names(["one/text", "other/text"]) == {"one/text": "one/text", "other/text": "other/text"}
    assert short_names([0.1, 64]) == {"0.1": "0.1", "64": "64"}
