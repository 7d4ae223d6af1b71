"""How an answer ends: in one or a few plain sentences, and with the command that goes on from there."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.designs import is_cell
from tiedlm.comparison.outlook import Advice, Outlook, Trend, outlook, planned_seeds
from tiedlm.comparison.recorded_experiment import folder_argument
from tiedlm.comparison.scan_result import Scan
from tiedlm.comparison.stages import seeds_option
from tiedlm.comparison.tested_differences import INCONCLUSIVE, Difference
from tiedlm.comparison.two_stage import MAX_SEEDS
from tiedlm.config.experiment import BUILT_IN_ARMS
from tiedlm.reporting.contrast_tables import contrasts_sentence
from tiedlm.reporting.wording import OVER_CELLS, and_list, count_seeds, count_steps

PAGE_FILE = "page.html"


class NextCommand(NamedTuple):
    """What to do next."""

    command: str
    num_runs: int = 0
    """How many it trains, where that is known."""
    run_seconds: float = 0.0
    """What one of them takes."""

    def seconds(self, side_by_side: int) -> float:
        """Of all its runs, so many of which go at a time."""
        return self.run_seconds * -(-self.num_runs // max(1, min(side_by_side, self.num_runs)))


def closing_sentence(comparison: Comparison) -> str:
    """The answer on valid, and what it lacks."""
    found = outlook(comparison)
    return " ".join(filter(None, [_answer(comparison), _lack(comparison, found), _trend(found.trend)]))


def next_command(
    comparison: Comparison, folder: Path, options: Sequence[str] = (), has_page: bool = False
) -> NextCommand | None:
    """The command that gives what the answer lacks most, or shows it on a page where it lacks nothing.

    `options` are those of the present command that the next one needs too, e.g. where the text lies. None where nothing
    is left to do, and for a cell of a scan or a tuning, whose runs are those of the whole.
    """
    advice = outlook(comparison).advice
    if advice is not None and is_cell(folder):
        return None
    if advice is None and has_page:
        return None
    if advice is None:
        page = shlex.quote(str(folder / PAGE_FILE))
        return NextCommand(f"tiedlm report {folder_argument(folder)} --html {page}")
    words = ["tiedlm compare", folder_argument(folder), f"--seeds {seeds_option(advice.seeds)}"]
    words += [] if "--arms" in options else _arms_option(comparison.arms)
    if advice.half_width_nats is not None:
        words += [f"--to-within {advice.half_width_nats:g}", f"--max-seeds {advice.max_seeds}"]
    if advice.num_steps is not None:
        words.append(f"--steps {advice.num_steps}")
    if advice.is_elsewhere:
        words.append(f"--out {shlex.quote(str(_beside(folder, advice)))}")
    command = " ".join([*words, *map(shlex.quote, options)])
    return NextCommand(command, advice.num_runs, advice.run_seconds)


def scan_sentence(scan: Scan) -> str:
    """The verdicts on the contrasts over cells, or in how many cells which arm is ahead on valid."""
    missing = len(scan.missing)
    more = f" Cells that are not trained yet: {missing}." if missing else ""
    if scan.contrasts:
        return f"{contrasts_sentence(scan.contrasts)}{more}"
    test = next(test for test in scan.tests if test.split == "valid")
    first, second = test.arms
    number = {arm: sum(cell.ahead == arm for cell in test.cells.values()) for arm in test.arms}
    undecided = len(test.cells) - sum(number.values())
    told = f"{first} is ahead in {number[first]} of {len(test.cells)} cells and {second} in {number[second]}"
    return f"On valid, {told}; {undecided} without a verdict.{more}"


def scan_command(scan: Scan, folder: Path, options: Sequence[str] = ()) -> NextCommand | None:
    """The command that trains missing cells and planned seeds, or shows the first cell without a verdict.

    None where there is none, or where contrasts are tested.
    """
    cell, places = max(scan.cells, key=lambda cell: len(cell.seeds)), scan.design.values.items()
    seeds = planned_seeds(cell.seeds, scan.contrasts)
    if scan.missing or (scan.contrasts and any(len(cell.seeds) < len(seeds) for cell in scan.cells)):
        lists = [f"{key}={','.join(json.dumps(value) for value in values)}" for key, values in places]
        words = [folder_argument(folder / cell.folder), f"--seeds {seeds_option(seeds)}"]
        words += [f"--scan {shlex.quote(of_key)}" for of_key in lists]  # a value in JSON is one in TOML
        rest = [f"--out {shlex.quote(str(folder))}", *map(shlex.quote, options)]
        return NextCommand(" ".join(["tiedlm compare", *words, *_arms_option(cell.perplexities), *rest]))
    if scan.contrasts:
        return None
    test = next(test for test in scan.tests if test.split == "valid")
    undecided = next((name for name, cell in test.cells.items() if cell.ahead is None), None)
    return None if undecided is None else NextCommand(f"tiedlm report {folder_argument(folder / undecided)}")


def _arms_option(arms: Collection[str]) -> list[str]:
    """As `--arms` takes them, where the experiment of their records would train others too."""
    return [f"--arms {','.join(arms)}"] if BUILT_IN_ARMS.keys() - arms else []


def _answer(comparison: Comparison) -> str:
    """What is known."""
    if comparison.contrasts:
        return contrasts_sentence(comparison.contrasts)
    if comparison.is_exploratory:
        return OVER_CELLS
    on_valid = [item for item in comparison.differences if item.split == "valid"]
    if len(on_valid) == 1:
        return _answer_of_pair(on_valid[0])
    groups = {
        f"behind {on_valid[0].arms[0]}": [item for item in on_valid if item.ahead == item.arms[0]],
        "ahead of it": [item for item in on_valid if item.ahead == item.arms[1]],
        "not decided": [item for item in on_valid if item.verdict == INCONCLUSIVE],
    }
    told = [f"{group}: {', '.join(item.arms[1] for item in items)}" for group, items in groups.items() if items]
    return f"On valid, {'; '.join(told)}." if told else ""


def _answer_of_pair(difference: Difference) -> str:
    delta, (first, second) = difference.delta_nats, difference.arms
    seeds = count_seeds(len(delta.values))
    if difference.ahead is not None:
        sign, behind = (1, second) if difference.ahead == first else (-1, first)
        low, high = sorted(_percent(sign * end) for end in delta.ci95)
        return (
            f"Decided: {difference.ahead} is ahead. The perplexity of {behind} is {_percent(sign * delta.mean):z.1f} % "
            f"higher (95 %: {low:.1f} to {high:.1f}), over {seeds}; lower is better."
        )
    if difference.p_holm is None:
        return ""
    least, most = map(_beyond, delta.ci95)
    missed = ""
    if difference.detectable_nats is not None:
        missed = f"; {seeds} usually miss a difference below {difference.detectable_nats:.2g} nats"
    return f"Not decided: the perplexity of {second} may be {least} to {most} that of {first}{missed}."


def _lack(comparison: Comparison, found: Outlook) -> str:
    """What is missing."""
    arms, verb = and_list(found.arms), "have" if len(found.arms) > 1 else "has"
    match found.state:
        case "unpaired":
            return f"Runs are missing: not every seed has a run of {arms}."
        case "hardly learned":
            return f"No verdict on {arms}, which {verb} hardly learned anything; token frequencies alone do better."
        case "overfit":
            return f"No verdict on {arms}, which {verb} overfit; token frequencies alone do better."
        case "few seeds" if len(comparison.seeds) == 1:
            return "No verdict: with another seed the difference may change its sign."
        case "few seeds":
            return "Two seeds give an interval so wide that it hardly ever decides."
        case "unfinished" if comparison.design is None:
            return (
                f"Verdicts come once all {found.seeds_needed} planned seeds are trained; {len(comparison.seeds)} are."
            )
        case "unfinished":
            assert comparison.design is not None
            return f"Not all seeds that an interval of ± {comparison.design.half_width_nats:g} nats needs are trained."
        case "equal" if comparison.contrasts:
            return f"Every seed gives {arms} the same value, so no number of seeds would decide."
        case "equal":
            first = next(iter(comparison.arms))
            return f"The losses of {arms} are those of {first}, so no number of seeds would tell them apart."
        case "undecided":
            assert found.seeds_needed is not None
            number = f"{found.seeds_needed:,}" if found.seeds_needed <= MAX_SEEDS else f"more than {MAX_SEEDS:,}"
            return f"An interval of ± {found.half_width_nats:g} nats takes {number} seeds."
    return ""


def _trend(trend: Trend | None) -> str:
    if trend is None:
        return ""
    arms = and_list(trend.arms)
    if trend.is_rising:
        return (
            f"The loss of {arms} on valid was lowest after {count_steps(trend.num_steps)} and has risen by "
            f"{trend.nats:.2f} nats since, so fewer steps may tell otherwise."
        )
    return (
        f"The loss of {arms} on valid still fell by {trend.nats:.2f} nats over the last tenth of the steps, so more "
        "steps may tell otherwise."
    )


def _percent(nats: float) -> float:
    """A difference in nats as the perplexity's change in per cent."""
    return 100 * math.expm1(nats)


def _beyond(nats: float) -> str:
    """`43.8 % below` or `117.6 % above`."""
    return f"{abs(_percent(nats)):.1f} % {'below' if nats < 0 else 'above'}"


def _beside(folder: Path, advice: Advice) -> Path:
    """A folder for runs that do not belong to those of the first."""
    changed = f"within-{advice.half_width_nats:g}" if advice.num_steps is None else f"{advice.num_steps}-steps"
    place = folder if folder.name not in ("", "..") else folder.resolve()
    return place.with_name(f"{place.name}-{changed}")
