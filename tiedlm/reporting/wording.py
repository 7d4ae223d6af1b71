"""The words of a report, once for all of its forms: titles, numbers with their intervals, verdicts and sentences.

The terminal, Markdown, the plots and the page draw these and the tables of `tables.py`, and have no words of their own.
Plain text: whoever draws a text of a record escapes it for his form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tiedlm.comparison.arm_summary import Summary
from tiedlm.comparison.comparison import Comparison
from tiedlm.comparison.tested_differences import INCONCLUSIVE, Difference
from tiedlm.counting.shown.count_tables import percent
from tiedlm.data.sources.known_corpora import KNOWN
from tiedlm.errors import printable

WARNING = (
    "Masked-LM perplexity predicts masked tokens from both sides; it is not comparable with a causal (left-to-right) "
    "perplexity, nor with pseudo-perplexity."
)
PERPLEXITY = (
    f"{WARNING} ± is the standard deviation over seeds. Unigram: what the token frequencies of train reach alone, "
    "each count plus one."
)
NATS = (
    "Differences are in nats a token, between natural logarithms of perplexities. A difference d means a perplexity "
    "ratio of exp(d)."
)
DETECTABLE = "Detectable: the true difference that this many seeds would find significant 80 % of the time."
ARMS_TABLE = (
    "In brackets is the 95 % interval of each difference alone, from its own variance over seeds. Holm's p adjusts "
    "these tests for their number and decides the verdict. Beside an inconclusive verdict stands the true difference "
    "that this many seeds would find significant 80 % of the time, without that adjustment."
)
EXPLORATORY_TABLE = (
    "In brackets is the 95 % interval of each difference alone, from its own variance over seeds. These differences "
    "are exploratory: their p-values are not adjusted for their number, and decide nothing."
)
OVER_CELLS = "Exploratory: the planned contrasts are tested over all cells, in the report of the scan."
ACROSS_VOCABULARIES = (
    "Bits a byte and nats a word are the same loss over the bytes and the words of the text, which no tokenizer "
    "decides (the end of a line is one of each). A model of finer tokens still has it easier: it sees the other "
    "pieces of the word that it predicts."
)
BITS_A_BYTE = (
    "Differences are in bits a byte, since the cells cut their text into different tokens: what a token costs in one "
    "cell is not what it costs in another."
)
MAP = (
    "In the map a cell in full colour, with its number in bold, has a verdict for one of the arms. A pale cell has "
    "none: its difference is inconclusive, or exploratory. A hatched cell with its number in parentheses is not "
    "tested: it has one seed, or a model that token frequencies beat, which are those of the whole train split. "
    "Where both arms have verdicts, a black line is where the difference would be zero, by interpolation between "
    "tested cells."
)
BANDS = "Nats a token by how often the predicted token occurs in train, with the 95 % interval of each band alone."
GRADIENTS = (
    "The gradients of the word-embedding table as input and of the output matrix, for the loss of the same blocks of "
    "train at each point of the learning curve, without dropout; means over seeds. A tied model adds the two up."
)
SIMILARITY = (
    "Similarity to the tied run's word-embedding table of the same seed, over the most frequent tokens; the tied "
    "arm's own line is to the table of another seed. Linear CKA (Kornblith et al. 2019) is 1 for a rotated copy. "
    "The overlap is the share of a token's 10 nearest tokens that both agree on."
)
CURVES = (
    "Each point is an estimate from one evaluation fold of evenly spaced blocks, as many of train as of valid; the "
    "tables of results are exact. The untrained models are not drawn."
)
LAST_POINTS = (
    "Last point of each curve: one evaluation fold of evenly spaced blocks, the same number of train and of valid, so "
    "these are estimates where the tables of results are exact."
)
PAIRED = (
    "For one seed all arms start with the same values in every tensor they share and see the same batches "
    "and masks; every token of a split is predicted once, under the same masks."
)


# ---- numbers


def interval(ends: Sequence[float] | None, digits: int = 3) -> str:
    """`[+0.065, +0.108]`; nothing where there is none."""
    return "" if ends is None else f"[{', '.join(f'{end:+.{digits}f}' for end in ends)}]"


def percent_interval(ends: Sequence[float]) -> str:
    """The same of differences in nats, as changes of the perplexity in per cent: `[+6.7, +11.4]`."""
    return interval([100 * math.expm1(end) for end in ends], 1)


def with_interval(mean: float, ends: Sequence[float] | None, digits: int = 3) -> str:
    """`+0.087 [+0.065, +0.108]`; of one seed the mean alone."""
    return f"{mean:+z.{digits}f} {interval(ends, digits)}".rstrip()


def percent_more(nats: float) -> str:
    """A difference in nats as the perplexity's change in per cent: `+9.1`."""
    return f"{100 * math.expm1(nats):+z.1f}"


def and_list(words: Sequence[str]) -> str:
    """`tied`, `tied and untied`, `tied, untied and tied-no-transform`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def plus_minus(summary: Summary, digits: int = 1) -> str:
    """`72.1 ± 0.4`, or the bare mean for one seed."""
    return f"{summary.mean:,.{digits}f}" + ("" if summary.std is None else f" ± {summary.std:.{digits}f}")


def p_value(value: float) -> str:
    """`p = 0.013`, or a bound where more digits would pretend."""
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"


# ---- titles


def corpus_title(name: str) -> str:
    """A corpus as a person calls it."""
    return KNOWN[name].title if name in KNOWN else printable(name)


def count_seeds(number: int) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} seed" + ("s" if number > 1 else "")


def count_steps(number: int) -> str:
    """`1 step`, `2,350 steps`."""
    return f"{number:,} step" + ("s" if number > 1 else "")


def title(comparison: Comparison) -> str:
    """`Penn Treebank, 5 seeds`."""
    return f"{corpus_title(comparison.corpus)}, {count_seeds(len(comparison.seeds))}"


def count_tokens(num_tokens: Mapping[str, int]) -> str:
    """`442,834 tokens of train, 29,577 of valid, 30,021 of test`."""
    first, *others = (f"{number:,}" for number in num_tokens.values())
    return ", ".join(
        f"{number} of {split}" for number, split in zip([f"{first} tokens", *others], num_tokens, strict=True)
    )


def count_epochs(number: float) -> str:
    """`26 epochs`, `2.6 epochs`, `0.013 epochs`: two significant digits, or a whole number."""
    return f"{number:,.0f} epochs" if number >= 10 else f"{number:.2g} epochs"


def text_sentence(comparison: Comparison) -> str:
    """How much text there is, and how much of it is read."""
    text = comparison.trained_on
    return (
        f"Text: {count_tokens(text.num_tokens)}. A run reads {text.num_tokens_read:,} tokens of train in "
        f"{text.num_steps:,} steps, {count_epochs(text.epochs)}."
    )


def pace_sentence(comparison: Comparison) -> str:
    """How fast the runs were, for forms that have no table of costs."""
    paces = {arm: summary.tokens_per_second for arm, summary in comparison.arms.items()}
    if len(paces) > 2:
        return f"Tokens a second: {min(paces.values()):,.0f} to {max(paces.values()):,.0f}, by arm."
    return f"Tokens a second: {', '.join(f'{arm} {pace:,.0f}' for arm, pace in paces.items())}."


def pair_name(arms: Sequence[str]) -> str:
    """What is subtracted from what."""
    return f"{arms[1]} − {arms[0]}"


def heading(comparison: Comparison) -> str:
    """`pydoc, 3 seeds`; `ptb-quick: Penn Treebank, 5 seeds`: an experiment of its corpus's name is named once."""
    is_named = comparison.experiment == comparison.corpus
    return title(comparison) if is_named else f"{comparison.experiment}: {title(comparison)}"


def saved_sentence(comparison: Comparison) -> str:
    """What tying saves."""
    return f"V × H = {comparison.saved.formula} saved, {percent(comparison.saved.fraction)} of the untied model."


# ---- what a difference says

FEW_BLOCKS = "the split has too few blocks for an interval over the choice of text"


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
        ends, seeds = percent_interval(delta.ci95), count_seeds(len(delta.values))
        line = f"{difference.split:<6}{difference.verdict:<13} {second} {percent_more(delta.mean)} % perplexity"
        if delta.p_value is None:
            basis = "how much the choice of text moves it, not of seed"
            lines += [f"{line}  {seeds}", f"{'':6}{FEW_BLOCKS if delta.is_of_few_blocks else f'{ends}: {basis}'}"]
        elif difference.p_holm is None and not difference.is_exploratory:
            lines.append(f"{line}  {seeds}")
        else:
            p = delta.p_value if difference.p_holm is None else difference.p_holm
            lines.append(f"{line} {ends} {seeds}  {p_value(p)}")
    return lines


def basis_lines(comparison: Comparison) -> list[str]:
    """What stands below the verdicts of several arms; of a pair, the closing sentence tells all of it."""
    if len(comparison.arms) == 2:
        return _exploratory_lines(comparison)
    missed = [
        f"{item.split}, {item.arms[1]}: too few seeds; a difference below {item.detectable_nats:.2g} nats would "
        "usually be missed"
        for item in comparison.differences
        if is_inconclusive(item)
    ]
    return [*missed, *reasons(comparison)]


def reasons(comparison: Comparison) -> list[str]:
    """Why there is no verdict, and by which p-values there is one."""
    told = dict.fromkeys(item.reason for item in comparison.differences if item.reason)
    return [*told, *_holm_lines(comparison), *_exploratory_lines(comparison)]


def is_inconclusive(difference: Difference) -> bool:
    """Whether there is something to tell of what would have been missed."""
    return difference.verdict == INCONCLUSIVE and difference.detectable_nats is not None


def _holm_lines(comparison: Comparison) -> list[str]:
    """That p-values are adjusted, where they are."""
    split = comparison.differences[0].split
    number = sum(item.p_holm is not None for item in comparison.differences if item.split == split)
    return [f"verdicts are by Holm's p-values, over the {number} tests of a split"] if number > 1 else []


def _exploratory_lines(comparison: Comparison) -> list[str]:
    """That no difference is tested, where contrasts are."""
    told = "differences between arms are exploratory: their p-values are not adjusted, and decide nothing"
    return [told] if comparison.is_exploratory else []


def than_first(difference: Difference) -> str:
    """The verdict of an arm in one word, and below it what would have been missed."""
    if is_inconclusive(difference):
        return f"{difference.verdict}\n± {difference.detectable_nats:.2g}"
    if difference.ahead is None:
        return difference.verdict
    return "worse" if difference.ahead == difference.arms[0] else "better"


def describe(difference: Difference) -> str:
    """The paired difference in a sentence."""
    delta, (first, second) = difference.delta_nats, difference.arms
    p = "" if delta.p_value is None else f", {p_value(delta.p_value)}"
    if difference.p_holm != delta.p_value and difference.p_holm is not None:
        p += f", Holm's {p_value(difference.p_holm)}"
    if is_inconclusive(difference):
        p += f"; a difference below {difference.detectable_nats:.2g} would usually be missed"
    reason = "" if difference.reason is None else f" ({difference.reason})"
    return (
        f"{pair_name(difference.arms)} = {delta.mean:+.4f} nats a token, 95 % interval {interval(delta.ci95, 4)}{p} "
        f"({delta.method}); {second} has {difference.perplexity_ratio:.3f} × the perplexity of {first}{reason}."
    )
