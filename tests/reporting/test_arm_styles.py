"""One colour an arm: whatever is compared with it, in every plot, and for the colour-blind too."""

from __future__ import annotations

import itertools
import re

import numpy as np
import numpy.typing as npt
import pytest

from tests.comparison.test_differences import many_arms
from tiedlm.comparison.compare import compare
from tiedlm.reporting.arm_styles import COLOURS, DARK_COLOURS, arm_styles
from tiedlm.reporting.page.render import render_page

MANY = ["tied", "untied", *(f"arm-{number}" for number in range(10))]
SEEN = {
    "as most people": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
"""Linear RGB as it is seen (Machado et al. 2009)."""
LEAST = 15.0  # of ΔE in CIELAB, whose just noticeable difference is about 2.3


def lab(colour: str, seen: str) -> npt.NDArray[np.float64]:
    """A colour in CIELAB, as it is seen."""
    values = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(np.array(SEEN[seen]) @ linear, 0, 1) / (0.9505, 1.0, 1.089)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", SEEN)
def test_any_two_colours_differ_for_everyone(seen: str) -> None:
    found = [lab(colour, seen) for colour in COLOURS]
    assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(found, 2)) > LEAST


def test_an_arm_keeps_its_style_whatever_stands_beside_it() -> None:
    every = arm_styles(MANY)
    assert arm_styles(["untied", "arm-0"]) == {arm: every[arm] for arm in ("untied", "arm-0")}
    assert arm_styles(["tied", "arm-0"]) == {arm: every[arm] for arm in ("tied", "arm-0")}


def test_twelve_arms_differ_in_mark_and_in_colour_or_line() -> None:
    styles = arm_styles(MANY).values()
    assert len({style.marker for style in styles}) == 12
    assert len({(style.colour, str(style.line)) for style in styles}) == 12


def test_the_page_has_the_colours_of_the_plots() -> None:
    records = many_arms({"tied": [4.0, 4.1], "arm-1": [4.2, 4.3], "arm-2": [3.8, 3.9]})
    page = render_page(compare(records), records)
    for names in (COLOURS, DARK_COLOURS):
        assert " ".join(f"--arm-{place}: {colour};" for place, colour in enumerate(names)) in page
    drawn = set(re.findall(r"var\(--arm-(\d+)\)", page))
    assert drawn == {str(style.place) for style in arm_styles(["tied", "arm-1", "arm-2"]).values()}
