"""`map.json` of a text's folder → the rows of `intervention.output_rows = "map"`: which word's row scores a word.

It belongs to the text, so that each folder of a scan over `corpus.name` may have its own.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tiedlm.data.tokens import TokenizedCorpus
from tiedlm.errors import InputError
from tiedlm.masked_batch import EOS, SPECIAL_TOKENS
from tiedlm.regular_file import read_regular_file

MAP_FILE = "map.json"
MAX_MAP_BYTES = 1 << 26


def read_output_map(corpus: TokenizedCorpus) -> npt.NDArray[np.int64]:
    """(V,): the row for each token, by `{word: word whose row scores it}`.

    Raises:
        InputError: the file cannot be read, or is no permutation of the words of the vocabulary.
    """
    path = Path(corpus.name, MAP_FILE)
    needed = "give a JSON object that maps each word of the vocabulary to another, each once"
    try:
        content = json.loads(read_regular_file(path, MAX_MAP_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: intervention.output_rows='map' cannot read it ({error}); {needed}") from error
    vocabulary = Tokenizer.from_str(corpus.tokenizer_text()).get_vocab()
    words = vocabulary.keys() - {*SPECIAL_TOKENS, EOS}
    is_whole = isinstance(content, dict) and content.keys() == words
    if not is_whole or not all(isinstance(word, str) for word in content.values()) or set(content.values()) != words:
        raise InputError(f"{path}: is no permutation of the {len(words):,} words of corpus {corpus.name!r}; {needed}")
    rows = np.arange(corpus.vocab_size)
    for word, other in content.items():
        rows[vocabulary[word]] = vocabulary[other]
    return rows
