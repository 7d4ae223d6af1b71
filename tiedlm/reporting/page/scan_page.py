"""Scan → one HTML file, in the style of the page of a comparison: the map, its tables, and how it was made."""

from __future__ import annotations

import itertools
from pathlib import Path

from markupsafe import Markup

from tiedlm.comparison.scan_result import Scan
from tiedlm.reporting import wording
from tiedlm.reporting.closing import scan_sentence
from tiedlm.reporting.contrast_tables import contrast_reasons, contrast_table, contrast_values_table
from tiedlm.reporting.page.render import page_environment, save_page
from tiedlm.reporting.page.svg import to_svg
from tiedlm.reporting.page.svg_plots import INK, PAGE_COLOURS
from tiedlm.reporting.scan_map import map_figure
from tiedlm.reporting.scan_report import (
    axes_of,
    level_table,
    level_title,
    map_table,
    on_verdicts,
    pairs_of,
    scan_notes,
    scan_title,
    test_sentence,
)
from tiedlm.reporting.short_answer import short_scan_answer


class _MapColours(dict[str, str]):
    """The page's own for what is written beside the map; those of its cells stay, light or dark."""

    def __missing__(self, colour: str) -> str:
        return colour


def write_scan_page(scan: Scan, path: Path) -> None:
    """Write the page of a scan.

    Raises:
        InputError: the file cannot be written.
    """
    save_page(path, render_scan_page(scan))


def render_scan_page(scan: Scan) -> str:
    """The page as text; the same scan gives the same bytes."""
    splits = list(dict.fromkeys(test.split for test in scan.tests))
    answer = short_scan_answer(scan)
    return (
        page_environment()
        .get_template("scan_page.html")
        .render(
            scan=scan,
            experiment=scan.design.experiment,
            title=scan_title(scan),
            heading=f"Planned contrasts: {answer}" if scan.contrasts else answer,
            lede=scan_sentence(scan),
            notes=[*contrast_reasons(scan.contrasts), *scan_notes(scan)],
            contrasts=[
                contrast_table(scan.contrasts, split) for split in dict.fromkeys(item.split for item in scan.contrasts)
            ],
            contrast_values=contrast_values_table(scan.contrasts) if scan.contrasts else None,
            wording=wording,
            about_map=[
                f"Differences are in {scan.unit}, each with the 95 % interval of its cell alone.{on_verdicts(scan)}",
                *([wording.BITS_A_BYTE] if scan.is_across_vocabularies else []),
                wording.MAP,
            ],
            map=_map(scan),
            maps=[
                (
                    f"{split}: {wording.pair_name(arms)}, {scan.unit}",
                    map_table(scan, arms, split),
                    test_sentence(scan, arms, split),
                )
                for split, arms in itertools.product(splits, pairs_of(scan))
            ],
            level_title=level_title(scan),
            levels=level_table(scan),
        )
    )


def _map(scan: Scan) -> Markup:
    rows, columns = axes_of(scan)
    size = (max(4.0, 1.9 + 0.95 * len(columns)), len(pairs_of(scan)) * (1.0 + 0.6 * len(rows)) + 0.2)
    figure = map_figure(scan, (size[0], max(2.6, size[1])), is_tall=True, ink=INK, font=10)
    colours = _MapColours({colour: PAGE_COLOURS[colour] for colour in (INK,)})
    return to_svg(figure, "map", colours, {})
