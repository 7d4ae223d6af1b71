"""The models of a folder → similarity.json: how alike their matrices are to the tied run's table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tiedlm.atomic_file import write_atomically
from tiedlm.comparison.folder import SIMILARITY_FILE, load_similarity
from tiedlm.comparison.similarity import MatrixPair, Similarity
from tiedlm.masked_batch import SPECIAL_TOKENS
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord

MAX_TOKENS = 5_000


def measure_similarity(folder: Path, count_tokens: Callable[[], npt.NDArray[np.int64]]) -> None:
    """Write `similarity.json`: what was measured before, and what the models in the folder allow beside it.

    Each run's input and output matrix is held to the table of the tied run of its seed, the tied arm's to that of the
    next seed. `count_tokens` gives how often each token occurs in train, (V,); the most frequent 5,000 are compared.
    """
    records = {record.run: record for record in load_records(folder, may_be_empty=True)}
    earlier = load_similarity(folder)
    pairs = {} if earlier is None else {(pair.arm, pair.matrix, pair.records_sha256): pair for pair in earlier.pairs}
    wanted = [(record, tied) for record in records.values() if (tied := _tied_run(record, records)) is not None]
    missing = [
        (record, tied)
        for record, tied in wanted
        if (record.arm, "input", (record.sha256, tied.sha256)) not in pairs
        and all((folder / one.run.model_file).is_file() for one in (record, tied))
    ]
    if not missing:
        return
    counts = count_tokens()
    by_frequency = np.argsort(-counts[len(SPECIAL_TOKENS) :], kind="stable") + len(SPECIAL_TOKENS)
    tokens = by_frequency[:MAX_TOKENS].tolist()
    for record, tied in missing:
        for pair in _measured(folder, record, tied, tokens):
            pairs[pair.arm, pair.matrix, pair.records_sha256] = pair
    similarity = Similarity(num_tokens=len(tokens), pairs=[pairs[key] for key in sorted(pairs)])
    sealed = similarity.model_copy(update={"sha256": similarity.own_sha256()})
    write_atomically(folder / SIMILARITY_FILE, sealed.model_dump_json(indent=1) + "\n")


def _tied_run(record: RunRecord, records: Mapping[RunId, RunRecord]) -> RunRecord | None:
    """The tied run that a run is held to: of its seed, or for a tied run of the next one; None if there is none."""
    if record.arm != "tied":
        return records.get(RunId("tied", record.seed))
    seeds = sorted(run.seed for run in records if run.arm == "tied")
    following = seeds[(seeds.index(record.seed) + 1) % len(seeds)]
    return None if following == record.seed else records[RunId("tied", following)]


def _measured(folder: Path, record: RunRecord, tied: RunRecord, tokens: list[int]) -> Iterator[MatrixPair]:
    from tiedlm.model.matrix_similarity import linear_cka, neighbour_overlap  # here, as below: they import torch
    from tiedlm.model.saved_model import load_model

    of_tied = load_model(folder / tied.run.model_file, tied.model_sha256)
    table = of_tied.embeddings.rows_by_token().detach()[tokens]
    model = load_model(folder / record.run.model_file, record.model_sha256)
    matrices = {"input": model.embeddings.rows_by_token().detach()}
    if not model.scores_by_input_rows:
        matrices["output"] = model.head.rows_by_token()[0].detach()
    for name, matrix in matrices.items():
        yield MatrixPair(
            arm=record.arm,
            seed=record.seed,
            records_sha256=(record.sha256, tied.sha256),
            matrix=name,
            tied_seed=tied.seed,
            linear_cka=linear_cka(matrix[tokens], table),
            neighbour_overlap=neighbour_overlap(matrix[tokens], table),
        )
