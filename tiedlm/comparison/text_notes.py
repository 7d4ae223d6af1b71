"""What a text is too small for, or divided wrongly for: said before training, and again of its records."""

from __future__ import annotations

import math

from tiedlm.record.trained_on import TrainedOn

FLIP_EPOCHS = 13.0
"""From so many readings of train on untied is ahead of tied: in the maps of results/, untied has the lower mean loss on
valid in every cell above the unigram level that reads its text 13.2 times or more, and in no cell that reads it less
often. Each cell has two seeds, so no cell has a verdict by itself."""
TEXT_NATS = 3.0
"""The choice of text moves a difference by ± this / √(tokens of the split), in nats a token. From the records of
results/: the half-width of the 95 % interval of untied − tied, as the mean over seeds, when runs of blocks of valid are
drawn anew, times √tokens. It is 1.4 to 3.2 where a whole text is trained on, and up to 12 where a part of it is learned
by heart; a quarter or a sixteenth of valid has about the same figure.
"""
WIDE_NATS = 0.05
"""A difference that most comparisons of results/ find."""
CUT_PARAGRAPHS = (
    "valid or test was taken from train by the line, since it has no blank lines between paragraphs, so lines of one "
    "paragraph may be in two splits; put blank lines between paragraphs, or give files for valid and test"
)


def text_notes(text: TrainedOn, may_cut_paragraphs: bool) -> list[str]:
    """What a reader must know of the text before trusting a difference."""
    notes = []
    if text.epochs >= FLIP_EPOCHS:
        notes.append(
            f"train is read {FLIP_EPOCHS:.0f} times or more, and with so many readings of one text untied has been "
            "found ahead of tied (results/README.md, When does it flip?); give more text or fewer steps"
        )
    num_valid = text.num_tokens["valid"]
    by_text = TEXT_NATS / math.sqrt(num_valid)
    if by_text > WIDE_NATS:
        enough = math.ceil((TEXT_NATS / WIDE_NATS) ** 2)
        notes.append(
            f"valid has {num_valid:,} tokens, so which text happens to be in it moves a difference by about "
            f"± {by_text:.2g} nats a token, however many seeds there are; give {enough:,} tokens or more for valid"
        )
    return [*notes, CUT_PARAGRAPHS] if may_cut_paragraphs else notes
