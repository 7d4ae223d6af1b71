"""Who hears what happens while a text is looked for and fetched."""

from __future__ import annotations


class Watcher:
    """Hears nothing; whoever shows something overrides it."""

    shows_bars = False
    """Whether a library may draw its own bars."""

    def tell(self, sentence: str) -> None:
        """News, e.g. what is fetched now."""

    def notice(self, sentence: str) -> None:
        """Something that a user must know, e.g. that a file was refused and another place is tried."""

    def fetched(self, num_bytes: int, total_bytes: int) -> None:
        """So much of a download is here by now."""

    def end_of_fetch(self) -> None:
        """All is here, or it was given up."""
