"""Comparison and parameter counts → what a person reads in a terminal. Formats, never computes."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tiedlm.comparison.comparison import INCONCLUSIVE, Comparison, Difference, Summary
from tiedlm.comparison.paired_statistics import SIGNIFICANCE
from tiedlm.comparison.pooled_arms import BlockTest
from tiedlm.counting.shown.count_tables import percent
from tiedlm.counting.shown.count_terminal import plain_table, saved_text
from tiedlm.data.sources.known_corpora import KNOWN
from tiedlm.errors import printable
from tiedlm.record.run_record import RunRecord

WARNING = (
    "Masked-LM perplexity predicts masked tokens from both sides; it is not comparable with a causal (left-to-right) "
    "perplexity, nor with pseudo-perplexity."
)
MAX_COLUMNS = 3  # arms beside each other in 80 columns


def render_comparison(comparison: Comparison) -> RenderableType:
    """The whole answer for a terminal."""
    tables = _tables_of_few_arms if len(comparison.arms) <= MAX_COLUMNS else _tables_of_many_arms
    parts: list[RenderableType] = [
        Text(f"{comparison.experiment}: {corpus_title(comparison.corpus)}, {num_seeds(comparison)}", style="bold"),
        *(Text(printable(line), style="bold yellow") for line in differing_lines(comparison)),
        *tables(comparison),
        Text(f"± is the standard deviation over seeds, in brackets the accuracy. {WARNING}", style="dim"),
        *(Text(printable(f"note: {note}"), style="yellow") for note in comparison.notes),
    ]
    if len(comparison.arms) <= MAX_COLUMNS:
        parts += [Text(), _verdict_text(comparison), *map(Text, basis_lines(comparison))]
    return Group(*parts)


def _tables_of_few_arms(comparison: Comparison) -> list[RenderableType]:
    """An arm a column."""
    saved = saved_text(comparison.saved.formula, comparison.saved.fraction)
    return [_parameter_table(comparison), saved, Text(), _metric_table(comparison)]


def _tables_of_many_arms(comparison: Comparison) -> list[RenderableType]:
    """An arm a row, beside its difference from the first; a table a split."""
    first = next(iter(comparison.arms))
    parts: list[RenderableType] = [saved_text(comparison.saved.formula, comparison.saved.fraction)]
    for split, metrics in comparison.arms[first].metrics.items():
        found = {item.arms[1]: item for item in comparison.differences if item.split == split}
        table = plain_table(split, "size", "perplexity", f"nats over {first}", f"than {first}")
        table.columns[0].no_wrap = table.columns[3].no_wrap = True
        for arm, summary in comparison.arms.items():
            cells = [
                f"{summary.parameters['total'] / 1e6:.2f} M",
                plus_minus(summary.metrics[split].masked_lm_perplexity),
            ]
            difference = found.get(arm)
            if difference is not None:
                cells += [nats_interval(difference), _than_first(difference)]
            table.add_row(arm, *cells)
        table.add_row("unigram", "–", f"{metrics.unigram_perplexity:,.1f}", style="dim")
        parts += [Text(), table]
    power = f"± under inconclusive: what {num_seeds(comparison)} would have found in 4 cases of 5"
    has_power = any(map(is_inconclusive, comparison.differences))
    return [*parts, *(Text(line) for line in [*([power] if has_power else []), *reasons(comparison)])]


def _parameter_table(comparison: Comparison) -> Table:
    table = plain_table("parameters", *comparison.arms)
    for group in next(iter(comparison.arms.values())).parameters:
        counts = [summary.parameters[group] for summary in comparison.arms.values()]
        if any(counts):
            style = "bold" if group in ("total", "decoder_weight") else ""
            table.add_row(group, *(f"{count:,}" if count else "–" for count in counts), style=style)
    return table


def _metric_table(comparison: Comparison) -> Table:
    table = plain_table("masked-LM perplexity", *comparison.arms, "unigram")
    for split in next(iter(comparison.arms.values())).metrics:
        cells = [summary.metrics[split] for summary in comparison.arms.values()]
        table.add_row(
            split,
            *(f"{plus_minus(cell.masked_lm_perplexity)} ({percent(cell.masked_lm_accuracy.mean)})" for cell in cells),
            f"{cells[0].unigram_perplexity:,.0f}",
        )
    return table


def differing_lines(comparison: Comparison) -> list[str]:
    """In what tied and untied differ beside the tie, which a reader must know first."""
    if not {"tied", "untied"} <= comparison.arms.keys():
        return []
    tied, untied = (comparison.arms[arm].overrides for arm in ("tied", "untied"))
    differing = [
        f"{key} ({tied.get(key, 'as in the file')}, {untied.get(key, 'as in the file')})"
        for key in {**tied, **untied}
        if key != "model.tie_word_embeddings" and tied.get(key) != untied.get(key)
    ]
    return [f"tied and untied differ in {', '.join(differing)} too"] if differing else []


def verdict_lines(comparison: Comparison) -> list[str]:
    """A line a difference, of 80 columns for the built-in arms: the verdict, and what it rests on."""
    lines = []
    for difference in comparison.differences:
        delta, second = difference.delta_nats, difference.arms[1]
        interval = f"[{', '.join(map(percent_more, delta.ci95))}]"
        seeds = count_seeds(len(delta.values))
        line = f"{difference.split:<6}{difference.verdict:<13} {second} {percent_more(delta.mean)} % perplexity"
        if delta.p_value is None:
            lines += [f"{line}  {seeds}", f"{'':6}{interval}: how much the choice of text moves it, not of seed"]
        elif difference.p_holm is None:
            lines.append(f"{line}  {seeds}")
        else:
            lines.append(f"{line} {interval} {seeds}  {p_value(difference.p_holm)}")
    return lines


def basis_lines(comparison: Comparison) -> list[str]:
    """What stands below the verdicts: why there is none, what would have been found, by which p-values there is one."""
    return [*_detectable_lines(comparison), *reasons(comparison)]


def reasons(comparison: Comparison) -> list[str]:
    """Why there is no verdict, by which p-values there is one, and what another test says."""
    told = dict.fromkeys(item.reason for item in comparison.differences if item.reason)
    return [*told, *_holm_lines(comparison), *(_block_line(comparison, test) for test in comparison.block_tests)]


def _detectable_lines(comparison: Comparison) -> list[str]:
    """Of what is inconclusive, how large a difference would hardly have been missed."""
    return [
        f"{item.split}: {count_seeds(len(item.delta_nats.values))} of {item.arms[1]} would have found ± "
        f"{item.detectable_nats:.2g} nats in 4 cases of 5"
        for item in comparison.differences
        if is_inconclusive(item)
    ]


def is_inconclusive(difference: Difference) -> bool:
    """Whether there is something to tell of what would have been found."""
    return difference.verdict == INCONCLUSIVE and difference.detectable_nats is not None


def _holm_lines(comparison: Comparison) -> list[str]:
    """That p-values are adjusted, where they are."""
    split = comparison.differences[0].split
    number = sum(item.p_holm is not None for item in comparison.differences if item.split == split)
    return [f"verdicts are by Holm's p-values, over the {number} tests of a split"] if number > 1 else []


def _block_line(comparison: Comparison, test: BlockTest) -> str:
    """What all arms' scatter together tells."""
    ends = " to ".join(f"{std:.2g}" for std in test.arm_stds_nats)
    scatter = f"over seeds an arm's loss scatters by {ends} nats, Bartlett's {p_value(test.equal_scatter_p)}"
    if not test.holds:
        return f"{test.split}: arms scatter differently, so they are not tested by one scatter ({scatter})"
    means = {item.arms[1]: item.delta_nats.mean for item in comparison.differences if item.split == test.split}
    found = [arm for arm, p in test.p_holm.items() if p < SIGNIFICANCE]
    behind, ahead = (", ".join(arm for arm in found if (means[arm] > 0) is worse) or "none" for worse in (True, False))
    return (
        f"{test.split}, by a second test, which assumes that all arms scatter alike ({scatter}): ± "
        f"{test.half_width_nats:.3f} nats a difference, with {test.degrees_of_freedom} degrees of freedom; behind the "
        f"first arm by Holm's p < {SIGNIFICANCE}: {behind}; ahead: {ahead}"
    )


def nats_interval(difference: Difference) -> str:
    """`+0.087`, and below it `[+0.065, +0.108]`; of one seed the mean alone."""
    delta = difference.delta_nats
    interval = "" if delta.p_value is None else f"\n[{delta.ci95[0]:+.3f}, {delta.ci95[1]:+.3f}]"
    return f"{delta.mean:+.3f}{interval}"


def _than_first(difference: Difference) -> str:
    """The verdict of an arm in one word, and below it what would have been found."""
    first, second = difference.arms
    if is_inconclusive(difference):
        return f"{difference.verdict}\n± {difference.detectable_nats:.2g}"
    return {f"{first} better": "worse", f"{second} better": "better"}.get(difference.verdict, difference.verdict)


def _verdict_text(comparison: Comparison) -> Text:
    text = Text("\n".join(verdict_lines(comparison)), no_wrap=True, overflow="ignore")
    text.highlight_regex(r"\b\S+ better\b", "bold green")
    text.highlight_regex(r"\b(inconclusive|no verdict)\b", "bold yellow")
    return text


def percent_more(nats: float) -> str:
    """A difference in nats as the perplexity's change in per cent: `+9.1`."""
    return f"{100 * math.expm1(nats):+.1f}"


def describe(difference: Difference) -> str:
    """The paired difference in a sentence."""
    delta, (first, second) = difference.delta_nats, difference.arms
    low, high = delta.ci95
    p = "" if delta.p_value is None else f", {p_value(delta.p_value)}"
    if difference.p_holm != delta.p_value and difference.p_holm is not None:
        p += f", Holm's {p_value(difference.p_holm)}"
    if is_inconclusive(difference):
        p += f", ± {difference.detectable_nats:.2g} would have been found in 4 cases of 5"
    reason = "" if difference.reason is None else f" ({difference.reason})"
    return (
        f"{second} − {first} = {delta.mean:+.4f} nats a token, 95 % interval [{low:+.4f}, {high:+.4f}]{p} "
        f"({delta.method}); {second} has {difference.perplexity_ratio:.3f} × the perplexity of {first}{reason}."
    )


def num_seeds(comparison: Comparison) -> str:
    """How many seeds a comparison rests on."""
    return count_seeds(len(comparison.seeds))


def count_seeds(number: int) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} seed" + ("s" if number > 1 else "")


def corpus_title(name: str) -> str:
    """A corpus as a person calls it."""
    return KNOWN[name].title if name in KNOWN else printable(name)


def plus_minus(summary: Summary) -> str:
    """`72.1 ± 0.4`, or the bare mean for one seed."""
    return digits(summary, 1)


def digits(summary: Summary, number: int) -> str:
    """The mean with so many digits after the point, and the standard deviation if there is one."""
    return f"{summary.mean:,.{number}f}" + ("" if summary.std is None else f" ± {summary.std:.{number}f}")


def p_value(value: float) -> str:
    """`p = 0.013`, or a bound where more digits would pretend."""
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"


def render_record(record: RunRecord) -> RenderableType:
    """One run in a few lines."""
    header = Text(f"{record.experiment}: {record.run}", style="bold")
    table = plain_table("split", "masked-LM perplexity", "nats a token", "accuracy", "unigram perplexity")
    for split, metrics in record.metrics.items():
        table.add_row(
            split,
            f"{metrics.masked_lm_perplexity:,.1f}",
            f"{metrics.masked_lm_loss_nats:.4f}",
            percent(metrics.masked_lm_accuracy),
            f"{metrics.unigram_perplexity:,.0f}",
        )
    valid = record.metrics["valid"]
    across = f"valid: {valid.bits_per_byte:.4f} bits a byte, {valid.nats_per_word:.4f} nats a word"
    if valid.num_unk:
        across += f"; {percent(valid.unk_fraction)} of its tokens are [UNK]"
    cost = f"{sum(record.parameters.values()):,} parameters; {record.cost.train_seconds:,.0f} s of training"
    return Group(header, table, Text(across), Text(cost), Text(WARNING, style="dim"))
