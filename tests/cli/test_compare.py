"""`tiedlm compare` as a user meets it: what it says beforehand, after each seed, and how many seeds it trains."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.test_bad_input import TINY, run_tiedlm, tree

pytestmark = pytest.mark.slow
COMPARE = f"compare --corpus corpus {TINY} --out out"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy corpus, and three seeds of both arms in `out`."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "corpus").mkdir()
    for split, number in (("train", 300), ("valid", 60), ("test", 60)):
        lines = [
            f"the {'cat dog cow'.split()[i % 3]} sees {'a the'.split()[i % 2]} mouse {i % 7}" for i in range(number)
        ]
        (folder / f"corpus/{split}.txt").write_text("\n".join(lines) + "\n")
    answer = run_tiedlm(folder, f"{COMPARE} --seeds 3")
    assert answer.returncode == 0, answer.stderr
    (folder / "told").write_text(answer.stderr)
    return folder


def test_it_says_first_what_it_will_do_and_then_how_each_seed_ended(folder: Path) -> None:
    told = (folder / "told").read_text().splitlines()
    assert told[0] == "corpus: reading corpus corpus"
    assert told[1] == "corpus: 6 runs to train; records go to out"
    assert re.fullmatch(r"  text: 2,100 tokens of train, 420 of valid, 420 of test; vocabulary \d+", told[2])
    assert told[3] == "  2 steps, 512 tokens a run, 0.24 epochs"
    seeds = [line for line in told if line.startswith("seed ")]
    assert len(seeds) == 3
    for line in seeds[:2]:
        assert line.endswith(" % perplexity on valid; no verdict before 3 seeds")
    assert seeds[2].endswith(" % perplexity on valid")


def test_the_matrices_of_the_arms_are_held_to_the_tied_table(folder: Path) -> None:
    """Of the tied arm to that of another seed; and once measured, the models may go."""
    found = json.loads((folder / "out" / "comparison.json").read_text())["similarity"]
    assert [(item["arm"], item["matrix"], item["num_seeds"]) for item in found] == [
        ("tied", "input", 3),
        ("untied", "input", 3),
        ("untied", "output", 3),
    ]
    by_matrix = {(item["arm"], item["matrix"]): item["linear_cka"] for item in found}
    # after two steps a table is still nearly its start, which the arms of a seed share and two seeds do not
    assert by_matrix["untied", "input"] > 0.9 > by_matrix["tied", "input"]
    shutil.copytree(folder / "out", folder / "without-models", ignore=shutil.ignore_patterns("*.safetensors"))
    assert json.loads(run_tiedlm(folder, "report without-models --json").stdout)["similarity"] == found
    path = folder / "without-models" / "similarity.json"
    path.write_text(path.read_text().replace('"linear_cka": 0.', '"linear_cka": 0.1', 1))
    changed = run_tiedlm(folder, "report without-models")
    assert changed.returncode == 2
    assert "was changed after it was written" in changed.stderr


def test_a_plan_counts_a_model_as_it_is_at_the_end(folder: Path) -> None:
    """One that is untied half-way ends with two matrices, and a record of it says so."""
    late = "--set arms.late.model.tie_word_embeddings=true --set arms.late.intervention.tied_fraction=0.5"
    answer = run_tiedlm(folder, f"{COMPARE}-late {late} --seeds 1 --dry-run --json --quiet")
    assert answer.returncode == 0, answer.stderr
    parameters = json.loads(answer.stdout)["parameters"]
    assert parameters["late"] == parameters["untied"] > parameters["tied"]


def test_a_dry_run_says_how_long_it_takes_and_writes_nothing(folder: Path) -> None:
    before = tree(folder)
    answer = run_tiedlm(folder, f"{COMPARE} --seeds 4 --dry-run --json --quiet")
    assert (answer.returncode, answer.stderr) == (0, "")
    plan = json.loads(answer.stdout)
    assert plan["to_train"] == ["tied seed 3", "untied seed 3"]
    assert len(plan["already_there"]) == 6
    assert plan["estimated_seconds"] > plan["estimated_evaluation_seconds"] > 0
    assert (plan["num_steps"], plan["train_tokens"], plan["precision"]) == (2, 512, "fp32")
    answer = run_tiedlm(folder, f"{COMPARE} --seeds 3 --dry-run")
    assert answer.stdout == "corpus: nothing to train; out holds every record that is asked for\n"
    assert tree(folder) == before


def test_seeds_may_be_named_with_blanks_between_them(folder: Path) -> None:
    answer = run_tiedlm(folder, f"{COMPARE} --seeds '0, 2' --dry-run --json")
    expected = [f"{arm} seed {seed}" for seed in (0, 2) for arm in ("tied", "untied")]
    assert json.loads(answer.stdout)["already_there"] == expected


def test_fewer_seeds_than_are_there_are_compared(folder: Path) -> None:
    answer = run_tiedlm(folder, f"{COMPARE} --seeds 2 --json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["seeds"] == [0, 1]
    assert json.loads(run_tiedlm(folder, f"{COMPARE} --json --seeds 3").stdout)["seeds"] == [0, 1, 2]


def test_arms_may_have_blanks_between_them(folder: Path) -> None:
    answer = run_tiedlm(folder, f"{COMPARE} --seeds 3 --arms 'tied, untied' --json")
    assert answer.returncode == 0, answer.stderr
    assert list(json.loads(answer.stdout)["arms"]) == ["tied", "untied"]


def test_as_many_seeds_are_trained_as_the_width_takes_and_not_one_for_the_p_value(folder: Path) -> None:
    """The first stage is there; its variance asks for more, of which two are allowed."""
    shutil.copytree(folder / "out", folder / "two-stage")
    command = COMPARE.replace("--out out", "--out two-stage")
    answer = run_tiedlm(folder, f"{command} --seeds 3 --to-within 1e-6 --max-seeds 5 --json")
    assert answer.returncode == 0, answer.stderr
    assert "of which --max-seeds allows 5: 2 more" in answer.stderr
    comparison = json.loads(answer.stdout)
    assert comparison["seeds"] == [0, 1, 2, 3, 4]
    assert "two-stage t over 5 seeds, variance of the first 3" in comparison["differences"][0]["delta_nats"]["method"]
    assert any("--max-seeds 5 allowed no more" in note for note in comparison["notes"])
    again = run_tiedlm(folder, "report two-stage --json")
    assert json.loads(again.stdout) == comparison
    other = run_tiedlm(folder, f"{command} --seeds 3 --to-within 0.5")
    assert (other.returncode, other.stdout) == (2, "")
    assert "already has a plan" in other.stderr
    fewer = json.loads(run_tiedlm(folder, f"{command} --seeds 2 --json").stdout)
    assert (fewer["seeds"], fewer["design"]) == ([0, 1], None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--seeds 2 --to-within 0.02", "--to-within 0.02 needs a first stage of 3 seeds"),
        ("--seeds 3 --to-within -1", "the width must be above 0"),
        ("--seeds 9 --to-within 0.1 --max-seeds 4", "no fewer than the 9 of the first stage"),
        ("--seeds 0", "--seeds 0 is neither a number from 1"),
        ("--seeds 1,1", "is neither a number from 1"),
        ("--seeds three", "--seeds 'three' is neither a number of seeds nor seeds with commas"),
    ],
)
def test_seeds_that_make_no_sense_are_refused(folder: Path, options: str, words: str) -> None:
    answer = run_tiedlm(folder, f"{COMPARE} {options}")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert words in answer.stderr
