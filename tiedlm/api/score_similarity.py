"""Do the rows of a masked LM's matrices agree with people on which words are alike?"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tiedlm.api.foreign_work import IMPORTS, cosines_of_foreign
from tiedlm.exchange.foreign_folder import open_foreign
from tiedlm.probing.word_similarity import SimilarityScores, correlate, read_word_pairs
from tiedlm.processes.guarded_process import run_guarded
from tiedlm.record.run_id import RunId


def score_similarity(model: str | Path, file: str | Path) -> SimilarityScores:
    """Spearman's correlation of people's scores with the cosines of the input rows, and of the output rows.

    `model` is as for `evaluate`. `file` is a table of word pairs with scores: SimLex-999's, or three columns with tabs
    or commas between. Pairs of which a word is no token of its own are left out, and counted.

    Raises:
        InputError: the model or the file is unfit.
    """
    pairs = read_word_pairs(Path(file))
    if RunId.of_file(Path(model)) is not None:
        from tiedlm.exchange.trained_run import open_run  # here, as below: they import torch
        from tiedlm.probing.row_cosines import row_cosines
        from tiedlm.probing.sentence_model import sentences_of_run

        cosines = row_cosines(sentences_of_run(open_run(Path(model)), str(model)), pairs)
    else:
        folder = open_foreign(str(model))
        cosines = run_guarded(folder.source, partial(cosines_of_foreign, folder, pairs), imports=IMPORTS)
    return correlate(cosines, pairs, str(file))
