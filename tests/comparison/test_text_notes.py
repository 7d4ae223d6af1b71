"""What is said of a text before it is trained on: that its figures are those of the records."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.comparison.test_compare import pairs
from tests.conftest import REPOSITORY
from tiedlm.comparison.folder import compare_cells
from tiedlm.comparison.paired_statistics import paired_bootstrap
from tiedlm.comparison.tested_differences import NO_VERDICT
from tiedlm.comparison.text_notes import FLIP_EPOCHS, TEXT_NATS, text_notes
from tiedlm.record.record_file import load_records
from tiedlm.record.run_record import RunRecord
from tiedlm.record.trained_on import TrainedOn, trained_on

RESULTS = REPOSITORY / "results"
MAPS = sorted(path.parent for path in RESULTS.glob("ptb-map-*/scan.json"))


def epochs_of(record: RunRecord) -> float:
    return trained_on(record.config, record.data.num_tokens).epochs


def test_in_no_cell_of_a_map_is_untied_ahead_with_fewer_epochs_and_in_all_with_more() -> None:
    """By the means of the cells above the unigram level: with two seeds, none has a verdict by itself."""
    ahead, behind = [], []
    for folder in MAPS:
        (test,) = (test for test in compare_cells(folder).tests if test.split == "valid")
        for cell, result in test.cells.items():
            if result.verdict != NO_VERDICT:
                (ahead if result.mean < 0 else behind).append(epochs_of(load_records(folder / cell)[0]))
    assert len(ahead) >= 7
    assert math.floor(min(ahead)) == FLIP_EPOCHS
    assert 10 < max(behind) < FLIP_EPOCHS


def text_nats(folder: Path) -> float:
    """The half-width by the choice of text on valid, of the mean over seeds, times the root of its tokens."""
    of_arm = {
        arm: [record.metrics["valid"] for record in load_records(folder) if record.arm == arm]
        for arm in ("tied", "untied")
    }
    sums = (np.mean([of_seed.block_nll_nats for of_seed in metrics], axis=0).tolist() for metrics in of_arm.values())
    valid = of_arm["tied"][0]
    low, high = paired_bootstrap(*(valid.model_copy(update={"block_nll_nats": of_blocks}) for of_blocks in sums)).ci95
    return (high - low) / 2 * math.sqrt(valid.num_tokens)


def test_the_choice_of_text_moves_a_difference_as_much_as_is_said() -> None:
    found = {}
    for path in RESULTS.rglob("untied-seed0.json"):
        first = load_records(path.parent)[0]
        if first.config.corpus.fraction == 1.0 and "tune" not in path.parts:
            found[str(path.parent.relative_to(RESULTS))] = text_nats(path.parent)
    assert len(found) > 10
    assert 0.9 * TEXT_NATS < max(found.values()) < 1.25 * TEXT_NATS


def text(epochs: float, num_valid: int) -> TrainedOn:
    num_tokens = {"train": 1_000, "valid": num_valid, "test": num_valid}
    return TrainedOn(num_tokens=num_tokens, num_steps=10, num_tokens_read=round(1_000 * epochs), epochs=epochs)


@pytest.mark.parametrize(("epochs", "num_valid", "number"), [(12.9, 3_600, 0), (13.0, 3_600, 1), (12.9, 3_599, 1)])
def test_a_text_is_told_of_from_the_limits_on(epochs: float, num_valid: int, number: int) -> None:
    assert len(text_notes(text(epochs, num_valid), may_cut_paragraphs=False)) == number
    assert len(text_notes(text(epochs, num_valid), may_cut_paragraphs=True)) == number + 1


def test_a_smaller_part_of_train_is_read_more_often() -> None:
    record = pairs([4.0], [4.1])[0]
    config = record.config
    whole = trained_on(config, {"train": 1_000, "valid": 100, "test": 100})
    assert (whole.num_tokens_read, whole.epochs) == (6 * 4 * 16, 6 * 4 * 16 / 1_000)
    half = config.model_copy(update={"corpus": config.corpus.model_copy(update={"fraction": 0.5})})
    part = trained_on(half, {"train": 1_000, "valid": 100, "test": 100})
    assert part.num_tokens["train"] == 32 * 16  # of 63 blocks
    assert part.epochs == 6 * 4 * 16 / (32 * 16)
