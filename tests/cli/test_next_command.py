"""Every answer ends in a plain sentence and the command that goes on from it, and that command works."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_bad_input import GOOD, TINY, assert_refused, run_tiedlm, tree, write
from tests.execution.test_run_lock import hold
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import document_sha256

pytestmark = pytest.mark.slow
COMPARE = f"compare --corpus corpus {TINY} --out out --seeds"
Document = dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of both arms."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder, GOOD)
    answer = run_tiedlm(folder, f"{COMPARE} 3 --quiet")
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def change(folder: Path, of_run: Callable[[str, int, Document], None]) -> None:
    """Change records by arm and seed; each gets the digest of what it holds then."""
    for path in folder.glob("*-seed*.json"):
        document = json.loads(path.read_text())
        of_run(document["arm"], document["seed"], document)
        path.write_text(json.dumps(document | {"sha256": document_sha256(document)}))


def set_loss(document: Document, nats: float) -> None:
    """The loss a token on both splits: each of the sums by the same factor."""
    for metrics in document["metrics"].values():
        factor = nats * metrics["num_tokens"] / metrics["total_nll_nats"]
        for place in (metrics, *metrics["bands"]):
            place["total_nll_nats"] *= factor
        metrics["block_nll_nats"] = [loss * factor for loss in metrics["block_nll_nats"]]
        metrics["unk_nll_nats"] *= factor


def set_curve(document: Document, *valid: float, train: float = 1.0) -> None:
    """The last points of the learning curve."""
    for point, loss in zip(document["curve"][-len(valid) :], valid, strict=True):
        point |= {"valid_loss_nats": loss, "train_loss_nats": train}


def learned(untied: tuple[float, float, float], *valid: float) -> Callable[[str, int, Document], None]:
    """Tied has 1 nat with every seed, untied more; with the same end of the learning curve for all."""

    def of_run(arm: str, seed: int, document: Document) -> None:
        set_loss(document, 1.0 + (untied[seed] if arm == "untied" else 0.0))
        set_curve(document, *(valid or (1.0, 1.0)))

    return of_run


def overfit(_: str, __: int, document: Document) -> None:
    """Well on train, and far worse than token frequencies on valid and test."""
    set_loss(document, 9.0)
    set_curve(document, 3.0, 9.0, train=0.1)


def as_trained(*_: object) -> None:
    """As a run of two steps ends."""


def at_one_nat_later(_: str, seed: int, document: Document) -> None:
    """The seeds after the first three have learned too."""
    if seed > 2:
        set_loss(document, 1.0)


def last_lines(folder: Path, command: str) -> tuple[str, str]:
    """The sentence and the command by which an answer ends."""
    answer = run_tiedlm(folder, command)
    assert answer.returncode == 0, answer.stderr
    *sentence, following = answer.stdout.rstrip("\n").rpartition("\n\n")[2].splitlines()
    return " ".join(line.rstrip() for line in sentence), following


def run_next(folder: Path, following: str) -> str:
    """Run the command of the last line; what it prints."""
    command = following[following.index("tiedlm ") :].removeprefix("tiedlm ")
    answer = run_tiedlm(folder, command)
    assert answer.returncode == 0, (command, answer.stderr)
    return answer.stdout


@pytest.mark.parametrize(
    ("of_run", "sentence", "following"),
    [
        pytest.param(
            learned((0.1, 0.11, 0.12)),
            "Decided: tied is ahead. The perplexity of untied is 11.6 % higher (95 %: 8.9 to 14.4), over 3 seeds; "
            "lower is better.",
            "Next: tiedlm report out --html out/page.html",
            id="decided",
        ),
        pytest.param(
            learned((-0.1, -0.11, -0.12)),
            "Decided: untied is ahead. The perplexity of tied is 11.6 % higher (95 %: 8.9 to 14.4), over 3 seeds; "
            "lower is better.",
            "Next: tiedlm report out --html out/page.html",
            id="untied",
        ),
        pytest.param(
            learned((0.0, 0.065, 0.13)),
            "Not decided: the perplexity of untied may be 9.2 % below to 25.4 % above that of tied; 3 seeds usually "
            "miss a difference below 0.21 nats. An interval of ± 0.1 nats takes 8 seeds.",
            "tiedlm compare out --seeds 3 --to-within 0.1 --max-seeds 8",
            id="undecided",
        ),
        pytest.param(
            learned((-0.95, 0.3, 0.8)),
            "An interval of ± 0.1 nats takes more than 1,000 seeds.",
            "tiedlm compare out --seeds 3 --steps 4 --out out-4-steps",
            id="too many seeds",
        ),
        pytest.param(
            learned((0.0, 0.0, 0.0)),
            "The losses of untied are those of tied, so no number of seeds would tell them apart.",
            "Next: tiedlm report out --html out/page.html",
            id="equal",
        ),
        pytest.param(
            learned((0.1, 0.11, 0.12), 2.0, 1.0),
            "The loss of tied and untied on valid still fell by 0.20 nats over the last tenth of the steps, so more "
            "steps may tell otherwise.",
            "tiedlm compare out --seeds 3 --steps 4 --out out-4-steps",
            id="still falling",
        ),
        pytest.param(
            learned((0.1, 0.11, 0.12), 1.0, 1.2),
            "The loss of tied and untied on valid was lowest after 1 step and has risen by 0.20 nats since, so fewer "
            "steps may tell otherwise.",
            "tiedlm compare out --seeds 3 --steps 1 --out out-1-steps",
            id="past its best",
        ),
        pytest.param(
            as_trained,
            "No verdict on tied and untied, which have hardly learned anything; token frequencies alone do better.",
            "tiedlm compare out --seeds 3 --steps 8 --out out-8-steps",
            id="hardly learned",
        ),
        pytest.param(
            overfit,
            "No verdict on tied and untied, which have overfit; token frequencies alone do better.",
            "tiedlm compare out --seeds 3 --steps 1 --out out-1-steps",
            id="overfit",
        ),
    ],
)
def test_an_answer_of_three_seeds_ends_with_what_to_do(
    folder: Path, of_run: Callable[[str, int, Document], None], sentence: str, following: str
) -> None:
    change(folder / "out", of_run)
    told, command = last_lines(folder, "report out")
    assert told.endswith(sentence)
    assert command.startswith("Next")
    assert command.endswith(following)
    assert ("about" in command) == ("compare" in command)
    assert sentence.split(". ")[-1] in (folder / "out" / "REPORT.md").read_text()
    run_next(folder, command)


def test_one_seed_ends_with_three(folder: Path) -> None:
    for path in [*folder.glob("out/*-seed1*"), *folder.glob("out/*-seed2*")]:
        path.unlink()
    change(folder / "out", learned((0.1, 0.1, 0.1)))
    told, command = last_lines(folder, f"{COMPARE} 1")
    assert told == "No verdict: with another seed the difference may change its sign."
    assert command.endswith("tiedlm compare out --seeds 3 --precision fp32")
    assert "3 seeds" in run_next(folder, command)


def test_one_seed_of_those_kept_fresh_ends_with_those_after_it(folder: Path) -> None:
    assert run_tiedlm(folder, f"{COMPARE} 10, --out fresh").returncode == 0
    change(folder / "fresh", lambda arm, _, document: learned((0.1, 0.1, 0.1))(arm, 0, document))
    answer = run_tiedlm(folder, "report fresh")
    assert "one seed: no verdict; --seeds 10,11,12 trains two more" in (folder / "fresh/REPORT.md").read_text()
    assert "tiedlm compare fresh --seeds 10,11,12" in answer.stdout


def test_one_seed_that_is_not_the_first_is_named(folder: Path) -> None:
    plan = json.loads(run_tiedlm(folder, "compare out --seeds 6, --dry-run --json").stdout)
    assert plan["to_train"] == ["tied seed 6", "untied seed 6"]


def test_runs_without_a_partner_end_with_it(folder: Path) -> None:
    change(folder / "out", learned((0.1, 0.1, 0.1)))
    (folder / "out/untied-seed1.json").unlink()
    told, command = last_lines(folder, "report out")
    assert told.endswith("Runs are missing: not every seed has a run of untied.")
    assert command.endswith("tiedlm compare out --seeds 3")
    assert "3 seeds" in run_next(folder, command)


def test_one_arm_ends_with_the_other(folder: Path) -> None:
    shutil.rmtree(folder / "out")
    told, command = last_lines(folder, f"train --untied --seed 4 --corpus corpus {TINY} --out out")
    assert told == "One run has no other to be compared with; the next command trains its pair."
    assert command.startswith("Next: tiedlm compare --corpus corpus --set model.hidden_size=16 ")
    assert command.endswith(" --steps 2 --precision fp32 --seeds 4, --out out")
    remedy = "tiedlm compare out trains the missing runs"
    assert_refused(folder, "report out", "only arm 'untied' has records", remedy)
    assert "1 seed" in run_next(folder, command)
    assert sorted(path.name for path in folder.glob("out/*-seed*.json")) == ["tied-seed4.json", "untied-seed4.json"]


def test_how_many_seeds_a_width_takes_costs_nothing_and_may_be_chosen_until_more_are_trained(folder: Path) -> None:
    change(folder / "out", learned((0.0, 0.065, 0.13)))
    before = tree(folder)
    dry = run_tiedlm(folder, "compare out --to-within 0.1 --dry-run")
    assert dry.returncode == 0, dry.stderr
    first, second, *_ = dry.stdout.splitlines()
    assert first == "an interval of ± 0.1 nats a token needs 8 seeds by the variance of seeds 0–2: 5 more"
    assert second == "corpus: 10 runs to train, 6 are there; records go to out"
    few = run_tiedlm(folder, "compare out --to-within 0.1 --max-seeds 4 --dry-run --json")
    assert json.loads(few.stdout)["width"]["seeds_needed"] == 8
    assert json.loads(few.stdout)["to_train"] == ["tied seed 3", "untied seed 3"]
    unknown = run_tiedlm(folder, f"{COMPARE} 5 --to-within 0.1 --dry-run")
    assert unknown.stdout.startswith("how many seeds an interval of ± 0.1 nats a token needs follows from seeds 0–4")
    assert tree(folder) == before
    for width in ("1.0", "0.5"):  # which the first stage reaches, so nothing is trained
        assert run_tiedlm(folder, f"compare out --to-within {width}").returncode == 0
    held = hold(folder / "out", RunId("untied", 3))  # as by a command that trains the second stage
    assert_refused(folder, "compare out --to-within 0.4", "already has a plan: ± 0.5", "untied-seed3.json is of its")
    held.release()
    assert run_tiedlm(folder, "report out").returncode == 0
    trained = run_tiedlm(folder, "compare out --seeds 3 --to-within 0.1 --max-seeds 4 --json")
    assert json.loads(trained.stdout)["seeds"] == [0, 1, 2, 3]
    assert any("decided on after its first stage was trained" in note for note in json.loads(trained.stdout)["notes"])
    for other in ("--to-within 0.5", "--to-within 0.1 --max-seeds 8"):
        assert_refused(
            folder, f"compare out --seeds 3 {other}", "already has a plan: ± 0.1, seeds 0–2, at most 4", "tied-seed3"
        )


def test_a_second_stage_that_was_stopped_goes_on_and_a_narrower_one_begins_elsewhere(folder: Path) -> None:
    change(folder / "out", learned((0.0, 0.065, 0.13)))
    assert run_tiedlm(folder, "compare out --to-within 0.1 --max-seeds 5").returncode == 0
    change(folder / "out", at_one_nat_later)
    for path in folder.glob("out/*-seed4*"):
        path.unlink()
    told, command = last_lines(folder, "report out")
    assert told.endswith("Not all seeds that an interval of ± 0.1 nats needs are trained.")
    assert command.endswith("tiedlm compare out --seeds 3 --to-within 0.1 --max-seeds 5")
    run_next(folder, command)
    change(folder / "out", at_one_nat_later)
    told, command = last_lines(folder, "report out")
    assert command.endswith("tiedlm compare out --seeds 3 --to-within 0.05 --max-seeds 32 --out out-within-0.05")


def test_a_folder_of_runs_is_an_experiment_with_its_arms_and_seeds(folder: Path) -> None:
    late = "--set arms.late.model.tie_word_embeddings=true --set arms.late.intervention.tied_fraction=0.5"
    assert run_tiedlm(folder, f"{COMPARE} 1,2 {late} --out ptb --quiet".replace("--out out", "")).returncode == 0
    before = tree(folder / "ptb")
    again = run_tiedlm(folder, "compare ./ptb --json")
    assert list(json.loads(again.stdout)["arms"]) == ["tied", "untied", "late"]
    assert "nothing was trained" in again.stderr
    assert {path: content for path, content in tree(folder / "ptb").items() if content != before.get(path)} == {}
    command = last_lines(folder, "report ptb")[1]
    assert "tiedlm compare ./ptb --seeds" in command
    assert_refused(folder, "compare ./ptb --steps 3", "was made with train.num_steps=2, now it is 3")
    assert_refused(folder, "compare corpus", "is a folder without records", "--corpus corpus")
