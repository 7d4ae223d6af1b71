"""What is asked of a masked LM: one of two forms in a sentence, or one of two sentences."""

from __future__ import annotations

from dataclasses import dataclass

from tiedlm.masked_batch import MASK


@dataclass(frozen=True)
class Cloze:
    """A sentence with one `[MASK]`, the form that is right there, and one that is wrong."""

    sentence: str
    right: str
    wrong: str
    paradigm: str | None = None
    """What it tests, in the words of whoever made it."""

    @property
    def group(self) -> tuple[str, ...]:
        """The same for all items that ask for one pair of forms, whichever is right: they are not independent."""
        return tuple(sorted((self.right, self.wrong)))

    @property
    def filled(self) -> tuple[str, str]:
        """The sentence with the right form, and with the wrong one."""
        return self.sentence.replace(MASK, self.right), self.sentence.replace(MASK, self.wrong)


@dataclass(frozen=True)
class SentencePair:
    """Two sentences that differ in little, of which one is acceptable: an item of BLiMP (Warstadt et al. 2020)."""

    good: str
    bad: str
    paradigm: str | None = None

    @property
    def group(self) -> tuple[str, ...]:
        """Each is one of its own."""
        return self.good, self.bad


Item = Cloze | SentencePair


@dataclass(frozen=True)
class PairSet:
    """Items, and where they are from."""

    name: str
    """`agreement`, or the file."""
    items: tuple[Item, ...]
