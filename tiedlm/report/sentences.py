"""What a report says beside its tables, once for all of its forms; plain text, with nothing of a record in it."""

from __future__ import annotations

from tiedlm.comparison.comparison import Comparison
from tiedlm.counting.shown.count_tables import percent
from tiedlm.report.terminal import WARNING

PERPLEXITY = (
    f"{WARNING} ± is the standard deviation over seeds. Unigram: what the token frequencies of train reach alone, "
    "each count plus one."
)
NATS = "Differences are in nats a token: of natural logarithms of perplexities. One of d is a ratio of exp(d)."
DETECTABLE = "Detectable: what so many seeds, scattering as these do, find at p < 0.05 in four cases of five."
ARMS_TABLE = (
    "An interval is of each difference alone, by its own scatter over seeds. Holm's p adjusts those tests for their "
    "number and decides the verdict; beside inconclusive stands what so many seeds find at p < 0.05, unadjusted, in "
    "four cases of five. By one scatter: Holm's p of a second test, which assumes that all arms scatter alike; "
    "it decides no verdict, and does not suit an arm that shares training steps with the first."
)
ACROSS_VOCABULARIES = (
    "Bits a byte and nats a word are the same loss over the bytes and the words of the text, which no tokenizer "
    "decides (the end of a line is one of each). A model of finer tokens still has it easier: it sees the other "
    "pieces of the word that it predicts."
)
BANDS = "Nats a token by how often the predicted token occurs in train, with the 95 % interval of each band alone."
GRADIENTS = (
    "Of the word-embedding table as input and of the output matrix, for the loss of the same blocks of train at "
    "each point of the learning curve, without dropout; means over seeds. In a tied model the two are added up."
)
SIMILARITY = (
    "Similarity to the tied run's word-embedding table of the same seed, over the most frequent tokens; the tied "
    "arm's own line is to the table of another seed. Linear CKA (Kornblith et al. 2019) is 1 for a rotated copy. "
    "The overlap is the share of a token's 10 nearest tokens that both agree on."
)
CURVES = (
    "Each point is one evaluation fold of evenly spaced blocks, the same number of train and of valid, so the curves "
    "are estimates where the tables of results are exact. The untrained models are left out."
)
LAST_POINTS = (
    "Last point of each curve: one evaluation fold of evenly spaced blocks, the same number of train and of valid, "
    "so these are estimates where the tables above are exact."
)
PAIRED = (
    "For one seed all arms start with the same values in every tensor they share and see the same batches "
    "and masks; every token of a split is predicted once, under the same masks."
)


def saved_sentence(comparison: Comparison) -> str:
    """What tying saves."""
    return f"V × H = {comparison.saved.formula} saved, {percent(comparison.saved.fraction)} of the untied model."


def search_sentence(comparison: Comparison) -> str:
    """What the search's numbers are; there must be one."""
    assert comparison.search is not None
    seeds = len(next(iter(comparison.search[0].losses_nats.values())))
    return (
        f"Perplexity on valid of {seeds} seed{'s' if seeds > 1 else ''} that the comparison does not use; in bold the "
        "values that each arm has in it."
    )
