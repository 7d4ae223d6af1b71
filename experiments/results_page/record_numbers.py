"""Numbers of a folder's records, as a page shows them: perplexities, differences, bands and curves.

A difference of `second` and `first` is loss(second) − loss(first), paired by seed: positive where `first` is ahead.
Each is in nats a token with its 95 % t-interval over seeds in brackets, unless its function says otherwise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from loaded import all_records, chosen, comparison, difference, records

from tiedlm.comparison.paired_statistics import SIGNIFICANCE, Delta, holm, paired_t, t_test
from tiedlm.comparison.tested_differences import BandDifference
from tiedlm.counting.shown.count_tables import percent
from tiedlm.errors import InputError
from tiedlm.record.run_record import RunRecord
from tiedlm.reporting.tables import band_cell, band_names
from tiedlm.reporting.wording import interval, p_value, plus_minus, with_interval


def ppl(folder: str, arm: str, split: str = "valid") -> str:
    """Perplexity of an arm, with its standard deviation over seeds: `51.3 ± 0.9`."""
    return plus_minus(chosen(comparison(folder).arms, arm, folder).metrics[split].masked_lm_perplexity)


def loss(folder: str, arm: str, split: str = "valid") -> str:
    """The mean over seeds, in nats a token: `4.10`."""
    return (
        f"{statistics.fmean(record.metrics[split].masked_lm_loss_nats for record in records(folder)[arm].values()):.2f}"
    )


def seed_ppls(folder: str, arm: str) -> str:
    """The perplexity of each seed on valid, the lowest first: `61.5, 62.4, 62.6`."""
    values = chosen(comparison(folder).arms, arm, folder).metrics["valid"].masked_lm_perplexity.values
    return ", ".join(f"{value:,.1f}" for value in sorted(values))


def unigram(folder: str, split: str = "valid") -> str:
    """The perplexity that token frequencies alone reach: `684.7`."""
    return f"{next(iter(comparison(folder).arms.values())).metrics[split].unigram_perplexity:,.1f}"


def seeds(folder: str) -> int:
    """How many seeds each arm has."""
    return len(comparison(folder).seeds)


def delta(folder: str, second: str = "untied", first: str = "tied", split: str = "valid", without: int = -1) -> str:
    """The difference of two arms: `+0.099 [+0.073, +0.126]`; of one seed the mean alone.

    Seed `without` is left out, where one is named.
    """
    return _shown(_delta(folder, {second: 1.0, first: -1.0}, split, without))


def word_delta(folder: str, second: str = "untied", first: str = "tied", split: str = "valid") -> str:
    """The same difference in nats a word, which another tokenizer does not change: `+0.099 [+0.073, +0.126]`."""
    text = next(iter(records(folder)[first].values())).metrics[split]
    ratio = text.num_tokens / text.num_words
    return _shown(_delta(folder, {second: ratio, first: -ratio}, split))


def tokens_a_word(folder: str, split: str = "valid") -> str:
    """Into how many tokens a tokenizer cuts a word: `1.7`."""
    text = next(iter(all_records(folder))).metrics[split]
    return f"{text.num_tokens / text.num_words:.1f}"


def rare_share(folder: str, below: int, split: str = "valid") -> str:
    """How many of a split's tokens train has fewer than so many times: `46.3 %`."""
    text = next(iter(all_records(folder))).metrics[split]
    num_rare = sum(band.num_tokens for band in text.bands if band.least_count < below)
    return f"{100 * num_rare / text.num_tokens:.1f} %"


def p(folder: str, second: str = "untied", first: str = "tied", split: str = "valid") -> str:
    """The p-value of one difference alone, by the paired t-test: `p < 0.001`."""
    value = _delta(folder, {second: 1.0, first: -1.0}, split).p_value
    return "no p" if value is None else p_value(value)


def told_apart(folder: str, split: str = "valid") -> str:
    """The arms whose difference from the first has p < 0.05 by Holm's correction over all of them."""
    found = [item for item in comparison(folder).differences if item.split == split]
    p_values = [item.delta_nats.p_value for item in found]
    adjusted = holm([1.0 if value is None else value for value in p_values])
    arms = [f"`{item.arms[1]}`" for item, value in zip(found, adjusted, strict=True) if value < SIGNIFICANCE]
    return ", ".join(arms) or "none"


def verdict(folder: str, arm: str = "untied", split: str = "valid") -> str:
    """What the folder's own report decides of an arm against the first."""
    return difference(folder, arm, split).verdict


def detectable(folder: str, arm: str = "untied", split: str = "valid") -> str:
    """The true difference that so many seeds would find significant 80 % of the time: `0.15`."""
    return f"{difference(folder, arm, split).detectable_nats:.2f}"


def percent_more(folder: str, arm: str = "untied", split: str = "valid") -> str:
    """By how much an arm's perplexity is above the first's: `10.5 %`."""
    return f"{100 * (difference(folder, arm, split).perplexity_ratio - 1):.1f} %"


def kept(folder: str, second: str, first: str, of: tuple[str, str]) -> str:
    """A mean difference as a share of another one: `76 %`."""
    one, other = ({pair[0]: 1.0, pair[1]: -1.0} for pair in ((second, first), of))
    return f"{100 * _delta(folder, one, 'valid').mean / _delta(folder, other, 'valid').mean:.0f} %"


def band(folder: str, least_count: int, arm: str = "untied", split: str = "valid") -> str:
    """The difference from the first arm on tokens that train has at least so often, up to the next band."""
    return band_cell(_band(folder, least_count, arm, split))


def band_mean(folder: str, least_count: int, arm: str = "untied", split: str = "valid") -> str:
    """The same without its interval, which two seeds do not give."""
    return f"{_band(folder, least_count, arm, split).mean:+.3f}"


def band_header(folder: str) -> str:
    """How often train has the tokens of each band, as cells of a table: `0 to 9 | 10 to 99`."""
    return " | ".join(band_names(comparison(folder).differences[0].bands or []))


def band_row(folder: str, arm: str = "untied", split: str = "valid") -> str:
    """The difference from the first arm in each band, as cells of a table."""
    return " | ".join(map(band_cell, difference(folder, arm, split).bands or []))


def band_share(folder: str, below: int, arm: str = "untied", split: str = "valid") -> str:
    """Which share of the difference from the first arm lies with tokens that train has less often: `83 %`."""
    bands = difference(folder, arm, split).bands or []
    parts = [(item.mean * item.num_tokens, item.least_count < below) for item in bands]
    return f"{100 * sum(part for part, is_rare in parts if is_rare) / sum(part for part, _ in parts):.0f} %"


def train_end(folder: str, second: str = "untied", first: str = "tied") -> str:
    """The mean difference on train at the curves' last points, which are one evaluation fold: `+0.17`."""
    found = _runs_by_seed(folder, (second, first))
    values = [b.curve[-1].train_loss_nats - a.curve[-1].train_loss_nats for b, a in found.values()]
    return f"{statistics.fmean(values):+.2f}"


def curve_rise(*folders: str) -> str:
    """How far any curve of these ends above its lowest point on valid, by one evaluation fold: `0.00004`."""
    arms = [arm for folder in folders for arm in comparison(folder).arms.values()]
    curves = [[point.valid_loss_nats for point in curve] for arm in arms for curve in arm.curves.values()]
    return f"{max(curve[-1] - min(curve) for curve in curves):.5f}"


def accuracy(folder: str, arm: str, split: str = "valid") -> str:
    """Top-1, the mean over seeds: `34.4 %`."""
    return percent(chosen(comparison(folder).arms, arm, folder).metrics[split].masked_lm_accuracy.mean)


def accuracy_delta(folder: str, least_count: int = 0, split: str = "valid") -> str:
    """untied − tied in points of top-1 accuracy, on tokens that train has at least so often."""
    values = []
    for pair in _runs_by_seed(folder, ("untied", "tied")).values():
        shares = []
        for record in pair:
            bands = [item for item in record.metrics[split].bands or [] if item.least_count >= least_count]
            shares.append(sum(item.num_correct for item in bands) / sum(item.num_tokens for item in bands))
        values.append(100 * (shares[0] - shares[1]))
    found = paired_t(values)
    return f"{found.mean:+.2f} {interval(found.ci95, 2)}"


def correlation(folder: str, second: str = "untied", first: str = "tied") -> str:
    """Of two arms' losses on valid over seeds, which pairing lives from: `+0.21`."""
    found = _runs_by_seed(folder, (second, first)).values()
    losses = [[record.metrics["valid"].masked_lm_loss_nats for record in arm] for arm in zip(*found, strict=True)]
    return f"{statistics.correlation(*losses):+.2f}"


def paired_width(folder: str, second: str = "untied", first: str = "tied") -> str:
    """By how much the paired interval is wider than that of Welch's test, which does not pair: `25 %`."""
    found = _runs_by_seed(folder, (second, first)).values()
    losses = [[record.metrics["valid"].masked_lm_loss_nats for record in arm] for arm in zip(*found, strict=True)]
    parts = [statistics.variance(values) / len(values) for values in losses]
    freedom = sum(parts) ** 2 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, losses, strict=True))
    welch = t_test(0.0, math.sqrt(sum(parts)), freedom).half_width
    low, high = paired_t([b - a for b, a in zip(*losses, strict=True)]).ci95
    return f"{100 * ((high - low) / 2 / welch - 1):.0f} %"


def _band(folder: str, least_count: int, arm: str, split: str) -> BandDifference:
    found = {str(item.least_count): item for item in difference(folder, arm, split).bands or []}
    return chosen(found, str(least_count), f"bands of {folder}")


def _delta(folder: str, weights: Mapping[str, float], split: str, without: int = -1) -> Delta:
    """Σ weight · loss for each seed; of the folder's own method where it is a difference from the first arm."""
    pair = sorted(weights, key=weights.__getitem__)
    is_plain = [weights[arm] for arm in pair] == [-1.0, 1.0] and pair[0] == next(iter(comparison(folder).arms))
    if is_plain and without < 0:
        return difference(folder, pair[1], split).delta_nats
    values = [
        sum(weight * run.metrics[split].masked_lm_loss_nats for weight, run in zip(weights.values(), runs, strict=True))
        for seed, runs in _runs_by_seed(folder, tuple(weights)).items()
        if seed != without
    ]
    return paired_t(values)


def _shown(found: Delta) -> str:
    return with_interval(found.mean, None if found.p_value is None else found.ci95)


def _runs_by_seed(folder: str, arms: tuple[str, ...]) -> dict[int, tuple[RunRecord, ...]]:
    """One run of each arm, for each seed that all of them have."""
    of_arms = [chosen(records(folder), arm, folder) for arm in arms]
    shared = sorted(set.intersection(*(set(runs) for runs in of_arms)))
    if not shared:
        raise InputError(f"results/{folder}: {', '.join(arms)} share no seed; name arms that do")
    return {seed: tuple(runs[seed] for runs in of_arms) for seed in shared}
