"""The pages' numbers of renamed words, each by another computation from the file that they are read from."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import pytest
from scipy import stats

from tests.conftest import REPOSITORY
from tiedlm import InputError

sys.path.insert(0, str(REPOSITORY / "experiments" / "results_page"))
import twin_numbers

NAME = "ptb-twins"
ROWS = json.loads((REPOSITORY / "results" / NAME / twin_numbers.FILE).read_text())["groups"]


@pytest.mark.parametrize("row", ROWS, ids=[row["group"] for row in ROWS])
def test_a_lead_is_the_mean_over_seeds_with_a_t_interval(row: dict) -> None:
    tied, untied = (np.array(row["loss_nats"][arm]) for arm in ("tied", "untied"))
    values = untied - tied
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    shown = [float(number) for number in re.findall(r"[-+][\d.]+", twin_numbers.twin_lead(NAME, row["group"]))]
    assert shown == pytest.approx([values.mean(), values.mean() - half, values.mean() + half], abs=6e-4)
    assert float(twin_numbers.twin_loss(NAME, row["group"], "tied")) == pytest.approx(tied.mean(), abs=6e-4)
    assert twin_numbers.num_twin_predictions(NAME, row["group"]).replace(",", "") == str(row["num_tokens"])


def test_a_group_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="twins of 7"):
        twin_numbers.twin_lead(NAME, "twins of 7")
