"""What is done with a stranger's folder in a process of its own; torch is imported there alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiedlm.data.sources.corpus import Corpus
from tiedlm.exchange.asked import Asked
from tiedlm.exchange.foreign_folder import ForeignFolder
from tiedlm.processes.guarded_process import Guard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiedlm.exchange.split_text import Reading
    from tiedlm.exchange.text_evaluation import ScoredText
    from tiedlm.explanation.explanation import Explanation
    from tiedlm.probing.pair_items import Item
    from tiedlm.probing.pair_scores import Outcomes
    from tiedlm.probing.word_similarity import Cosines, WordPair

IMPORTS = ("tiedlm.exchange.foreign_model", "transformers.modeling_utils", "transformers.tokenization_utils_tokenizers")


def evaluate_foreign(folder: ForeignFolder, text: Corpus, asked: Asked, guard: Guard) -> ScoredText:
    """Load a stranger's model, and score the text by it.

    Raises:
        InputError: the model, its tokenizer, the text or the device is unfit.
    """
    from tiedlm.exchange.foreign_model import score_foreign
    from tiedlm.exchange.text_evaluation import evaluate_text
    from tiedlm.training.device import start_device

    start_device(asked.device)  # what it takes for itself is not the model's
    return evaluate_text(score_foreign(folder, asked.seq_length, guard), text, asked, guard.tell)


def read_foreign(folder: ForeignFolder, text: Corpus, asked: Asked, guard: Guard) -> dict[str, Reading]:
    """Load a stranger's model, and read the text by its tokenizer.

    Raises:
        InputError: the model, its tokenizer or the text is unfit.
    """
    from tiedlm.exchange.foreign_model import score_foreign
    from tiedlm.exchange.split_text import read_splits

    return read_splits(score_foreign(folder, asked.seq_length, guard), text, asked.splits, guard.tell)


def explain_foreign(folder: ForeignFolder, sentence: str, guard: Guard) -> Explanation:
    """Load a stranger's model, and follow the sentence through its head.

    Raises:
        InputError: the model, its tokenizer or the sentence is unfit.
    """
    from tiedlm.explanation.explanation import explain_head
    from tiedlm.explanation.head_view import view_foreign

    return explain_head(view_foreign(folder, sentence, guard))


def judge_foreign(folder: ForeignFolder, items: Sequence[Item], device: str, guard: Guard) -> Outcomes:
    """Load a stranger's model, and ask it the items.

    Raises:
        InputError: the model, its tokenizer or the device is unfit.
    """
    from tiedlm.probing.judging import judge
    from tiedlm.probing.sentence_model import sentences_of_foreign
    from tiedlm.training.device import resolve_runtime, start_device

    start_device(device)  # what it takes for itself is not the model's
    return judge(sentences_of_foreign(folder, guard), items, resolve_runtime(device, "fp32").device, guard.tell)


def cosines_of_foreign(folder: ForeignFolder, pairs: Sequence[WordPair], guard: Guard) -> Cosines:
    """Load a stranger's model, and compare the rows of words.

    Raises:
        InputError: the model or its tokenizer is unfit.
    """
    from tiedlm.probing.row_cosines import row_cosines
    from tiedlm.probing.sentence_model import sentences_of_foreign

    return row_cosines(sentences_of_foreign(folder, guard), pairs)
