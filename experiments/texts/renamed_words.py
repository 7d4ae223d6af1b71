"""Write the Penn Treebank with some occurrences of frequent words renamed, so that rarity is drawn by lot.

Rare words differ from frequent ones in more than their number: in meaning, in grammar, in the company they keep. Here
each frequent word (2,000 to 20,000 occurrences in train) has four twins, `said~5`, `said~20`, `said~80` and `said~320`,
which stand in so many places of train that the lot chose, and in all else are the word. So whether the lead of tying
follows how often a token occurs, or which word it is, can be told apart (`lead_by_twin.py`).

In valid and test each twin has an equal share of the word's places, by default 4 %. That is not train's share: there,
`said~5` would have no place in valid to be measured at. The measure is a difference between two arms at the same
places, both of which have learned from train how rare a twin is, so the share costs both the same; a larger one would
let twins be more of the context than train has taught. Numbers (`N`) and `<unk>` have no twins.

Run it from the checkout:

    python experiments/texts/renamed_words.py --data-dir DIR --out runs/texts/ptb-twins
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from tiedlm.config.corpus_config import SPLITS
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.errors import InputError

TWIN_COUNTS = (5, 20, 80, 320)
FEWEST, MOST = 2_000, 20_000
WITHOUT_TWINS = ("N", "<unk>")
TWINS_FILE = "twins.json"

Lines = list[list[str]]


def chosen_words(train: Lines) -> list[str]:
    """The frequent words, the most frequent first."""
    counts = Counter(word for line in train for word in line)
    return [word for word, count in counts.most_common() if FEWEST <= count <= MOST and word not in WITHOUT_TWINS]


def twin(word: str, count: int) -> str:
    """The name of a word that occurs so often in train."""
    return f"{word}~{count}"


def renamed(lines: Lines, words: list[str], share: float | None, rng: np.random.Generator) -> Lines:
    """The lines with twins: of each word as many as their counts say or, given a share, that of its occurrences."""
    flat = [word for line in lines for word in line]
    places: dict[str, list[int]] = {word: [] for word in words}
    for place, word in enumerate(flat):
        if word in places:
            places[word].append(place)
    for word in words:
        drawn = iter(rng.permutation(places[word]).tolist())
        for count in TWIN_COUNTS:
            number = count if share is None else round(share * len(places[word]))
            for _ in range(number):
                flat[next(drawn)] = twin(word, count)
    rest = iter(flat)
    return [[next(rest) for _ in line] for line in lines]


def main() -> None:
    """Write a folder."""
    parser = argparse.ArgumentParser(description="Write the Penn Treebank with twins of frequent words.")
    parser.add_argument("--data-dir", type=Path, help="holds ptb/, or the corpus's files; as for tiedlm compare")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.04, help="of a word's places in valid and test, to each twin")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if not 0 < asked.share * len(TWIN_COUNTS) <= 1:
        sys.exit(f"--share {asked.share}: {len(TWIN_COUNTS)} twins of it are no share; give 0.25 or less")
    try:
        corpus = load_corpus("ptb", asked.data_dir)
    except InputError as error:
        sys.exit(str(error))
    lines = {split: [piece.text.split() for batch in corpus.batches(split) for piece in batch] for split in SPLITS}
    words = chosen_words(lines["train"])
    asked.out.mkdir(parents=True, exist_ok=True)
    for number, split in enumerate(SPLITS):
        rng = np.random.default_rng([asked.seed, number])
        text = renamed(lines[split], words, None if split == "train" else asked.share, rng)
        whole = "".join(" ".join(line) + "\n" for line in text)
        (asked.out / f"{split}.txt").write_text(whole, encoding="utf-8")
    document = {"seed": asked.seed, "share": asked.share, "counts": TWIN_COUNTS, "words": words}
    (asked.out / TWINS_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
