"""Write a text of a generated language in which words are alike on both their sides with probability ρ.

A sentence is a Markov chain over words. Each word has a left class, by which the word before it foretells it, and a
right class, by which it foretells the word after it:

    P(next = y | word = x) = T[right(x), left(y)] · p(y) / q(left(y))

p is a Zipf-Mandelbrot law, q(k) the probability of left class k; T is scaled (Sinkhorn) so that p is the chain's
stationary law. So every ρ has the same word frequencies, and the same T but for the scaling. A word's two classes are
one with probability ρ; the rest trade their left classes with words about as frequent, so some of them (1 in K) get
their own back.

A model that reads from left to right has the right class of a word to learn as it enters, the left class as it is
predicted: there, tying assumes ρ = 1. A masked LM sees both neighbours. What a word says of its neighbour is what this
neighbour says of it (information is mutual), so a masked LM has both classes to learn on both sides whatever ρ is.

Beside the text lie `map.json`, for `intervention.output_rows = "map"` (each word is scored by the row of a word whose
right class is its left class, about as frequent; itself where its two classes are one), and `language.json`: the
arguments, and the losses of who knows the language and sees all other words. Run it from the checkout:

    python experiments/texts/likeness_language.py --rho 0.25 --seed 0 --out runs/texts/likeness-0.25
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

NUM_WORDS, NUM_CLASSES = 1_000, 10
ZIPF_SHIFT, ZIPF_EXPONENT = 10.0, 1.2
SHARPNESS = 3.0
"""Standard deviation of the logarithms of T before it is scaled."""
WORDS_A_LINE = 100
NUM_LINES = {"train": 3_000, "valid": 300, "test": 300}
SINKHORN_STEPS = 500

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Language:
    """Words are numbered from the most frequent on."""

    frequencies: Floats
    """p, (V,)."""
    left: Ints
    right: Ints
    """The classes of each word, (V,)."""
    pairs: Floats
    """(K, K): how probable it is that a word of one right class stands before one of a left class."""

    @property
    def of_left(self) -> Floats:
        """Each word's share of its left class, (V,)."""
        return np.divide(self.frequencies, self.pairs.sum(0)[self.left])

    @property
    def transitions(self) -> Floats:
        """T, (K, K); rows sum to one."""
        return np.divide(self.pairs, self.pairs.sum(1, keepdims=True))


def make_language(rho: float, seed: int) -> Language:
    """The language of a seed; of two values of ρ, the one with the lower has traded the words of the other and more."""
    rng = np.random.default_rng(seed)
    ranks = np.arange(NUM_WORDS)
    frequencies: Floats = np.power(ranks + 1 + ZIPF_SHIFT, -ZIPF_EXPONENT)
    frequencies /= frequencies.sum()
    bands = ranks // NUM_CLASSES
    right = _shuffled_within(bands, rng.random(NUM_WORDS)) % NUM_CLASSES  # each class has one word of each band
    trades = np.flatnonzero(rng.random(NUM_WORDS) >= rho)
    left = right.copy()
    left[trades] = right[trades][_shuffled_within(bands[trades] // 5, rng.random(NUM_WORDS)[: len(trades)])]
    pairs: Floats = np.exp(SHARPNESS * ndtri(rng.uniform(1e-12, 1.0, (NUM_CLASSES, NUM_CLASSES))))
    rows, columns = (np.bincount(of, frequencies, NUM_CLASSES) for of in (right, left))
    for _ in range(SINKHORN_STEPS):
        pairs *= (rows / pairs.sum(1))[:, None]
        pairs *= columns / pairs.sum(0)
    return Language(frequencies, left, right, pairs)


def _shuffled_within(groups: Ints, draws: Floats) -> Ints:
    """A permutation of the places that stays within groups, which are consecutive."""
    return np.lexsort((draws, groups))


def draw_lines(language: Language, num_lines: int, rng: np.random.Generator) -> Ints:
    """(num_lines, WORDS_A_LINE) words."""
    by_class = np.argsort(language.left, kind="stable")
    upto = np.cumsum(language.of_left[by_class])  # class k fills the stretch from k to k + 1
    of_classes = np.cumsum(language.transitions, axis=1)
    lines = np.empty((num_lines, WORDS_A_LINE), dtype=np.int64)
    lines[:, 0] = np.searchsorted(np.cumsum(language.frequencies), rng.random(num_lines))
    for place in range(1, WORDS_A_LINE):
        before = of_classes[language.right[lines[:, place - 1]]]
        classes = (before < rng.random(num_lines)[:, None]).sum(1).clip(max=NUM_CLASSES - 1)
        found = np.searchsorted(upto, classes + rng.random(num_lines))
        lines[:, place] = by_class[found.clip(max=NUM_WORDS - 1)]
    return lines.clip(max=NUM_WORDS - 1)


def oracle_nats(language: Language, lines: Ints) -> dict[str, float]:
    """Mean nats a word of who knows the language: by frequencies, by the word before, and by both neighbours."""
    transitions, of_left = language.transitions, language.of_left
    before, words, after = (lines[:, places].ravel() for places in (slice(None, -2), slice(1, -1), slice(2, None)))
    by_before = transitions[language.right[before], language.left[words]] * of_left[words]
    by_both = by_before * transitions[language.right[words], language.left[after]]
    # The sum over all words of P(word | before) · P(after | word), by the classes of the neighbours.
    through = np.zeros((NUM_CLASSES, NUM_CLASSES))
    np.add.at(through, (language.left, language.right), of_left)
    sums = (transitions @ through @ transitions)[language.right[before], language.left[after]]
    return {
        "frequencies": float(-np.log(language.frequencies[words]).mean()),
        "one_neighbour": float(-np.log(by_before).mean()),
        "both_neighbours": float(-np.log(by_both / sums).mean()),
    }


def true_map(language: Language) -> Ints:
    """(V,): for each word one whose right class is its left class, about as frequent; a permutation.

    Words whose two classes are one keep their own. The others of a left class take, in the order of their frequency,
    the others of that right class.
    """
    rows = np.arange(NUM_WORDS)
    differs = language.left != language.right
    for number in range(NUM_CLASSES):
        scored, scoring = (np.flatnonzero(differs & (of == number)) for of in (language.left, language.right))
        rows[scored] = scoring  # as many, since trades keep the sizes of classes
    return rows


def main() -> None:
    """Write a folder."""
    parser = argparse.ArgumentParser(description="Write a text of a generated language.")
    parser.add_argument("--rho", type=float, required=True, help="probability that a word's two classes are one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if not 0 <= asked.rho <= 1:
        sys.exit(f"--rho {asked.rho}: is no probability; give a number from 0 to 1")
    language = make_language(asked.rho, asked.seed)
    names = np.array([f"w{number}" for number in range(NUM_WORDS)])
    asked.out.mkdir(parents=True, exist_ok=True)
    facts = {"rho": asked.rho, "seed": asked.seed, "words": NUM_WORDS, "classes": NUM_CLASSES}
    facts["share_alike"] = float((language.left == language.right).mean())
    losses = {}
    for number, (split, num_lines) in enumerate(NUM_LINES.items()):
        lines = draw_lines(language, num_lines, np.random.default_rng([asked.seed, number]))
        if split == "train" and len(np.unique(lines)) < NUM_WORDS:
            sys.exit(f"--seed {asked.seed}: a word does not occur in train; give another seed")
        text = "".join(" ".join(line) + "\n" for line in names[lines])
        (asked.out / f"{split}.txt").write_text(text, encoding="utf-8")
        losses[split] = oracle_nats(language, lines)
    document = facts | {"nats_a_word_of_who_knows_the_language": losses}
    (asked.out / "language.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    rows = dict(zip(names.tolist(), names[true_map(language)].tolist(), strict=True))
    (asked.out / "map.json").write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
