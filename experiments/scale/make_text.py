"""Write a text of any size from a real one: its lines in another order in every copy, rare words new in every copy.

A text that is only repeated has no new words, and a vocabulary grows with a real text. So in the second copy and later
ones a word that the text has fewer than `RARE` times has the copy's number at its end: each copy brings as many new
words as a text of its size has rare ones.

    python experiments/scale/make_text.py --data-dir DIR --megabytes 100 --out runs/texts/scale-100
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

from tiedlm.config.corpus_config import SPLITS
from tiedlm.data.sources.corpus import load_corpus

RARE = 5
BYTES_PER_MEGABYTE = 1_000_000


def write_text(corpus_name: str, data_dir: Path, megabytes: int, out: Path) -> None:
    """A folder with train of so many megabytes, and the corpus's own valid and test."""
    corpus = load_corpus(corpus_name, data_dir)
    lines = {split: [piece.text for batch in corpus.batches(split) for piece in batch] for split in SPLITS}
    counts = Counter(word for line in lines["train"] for word in line.split())
    out.mkdir(parents=True, exist_ok=True)
    for split in ("valid", "test"):
        (out / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines[split]), encoding="utf-8")
    size, copy = 0, 0
    with (out / "train.txt").open("w", encoding="utf-8") as file:
        while size < megabytes * BYTES_PER_MEGABYTE:
            order = random.Random(copy).sample(range(len(lines["train"])), len(lines["train"]))
            for number in order:
                words = lines["train"][number].split()
                if copy:
                    words = [f"{word}{copy}" if counts[word] < RARE else word for word in words]
                line = " ".join(words) + "\n"
                file.write(line)
                size += len(line.encode())
                if size >= megabytes * BYTES_PER_MEGABYTE:
                    break
            copy += 1


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="wikitext-2")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--megabytes", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_text(given.corpus, given.data_dir, given.megabytes, given.out)


if __name__ == "__main__":
    main()
