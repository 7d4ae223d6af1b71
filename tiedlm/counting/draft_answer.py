"""The answer for a draft of speculative decoding: what it stores, of which matrices the target model has the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiedlm.counting.closed_forms.configuration import named_class
from tiedlm.counting.cross_check import Answer, answer_tensors
from tiedlm.counting.layouts.drafts import Draft
from tiedlm.counting.stored.safetensors_header import StoredTensor
from tiedlm.counting.stored.stored_weights import PackedWeights
from tiedlm.counting.stored.tensor_kinds import is_known_matrix, kind_of_buffer
from tiedlm.errors import InputError, printable


def answer_draft(
    name: str,
    draft: Draft,
    tensors: list[StoredTensor],
    config: Mapping[str, Any] | None,
    aliases: Mapping[str, str],
) -> Answer:
    """Count what a draft stores; its configuration, which is the target's in most keys, is not held against it.

    Raises:
        InputError: it has neither matrix, or its weights are quantised.
    """
    if not any(is_known_matrix(tensor.name) and len(tensor.shape) == 2 for tensor in tensors):
        number = sum(tensor.num_elements for tensor in tensors if kind_of_buffer(tensor) is None)
        raise InputError(
            f"{name}: is a draft for speculative decoding ({draft.method}) with {number:,} parameters and neither "
            f"matrix of a tie: both are {_whose(draft)}; give that"
        )
    try:
        answer = answer_tensors(name, tensors, None, aliases)
    except PackedWeights as error:
        raise InputError(f"{error}, and is a draft for speculative decoding ({draft.method})") from error
    if config is not None:
        answer = replace(answer, names_since="a draft's configuration is its target's in most keys")
    checkpoint = answer.checkpoint
    assert checkpoint is not None
    architecture = printable((named_class(config or {}) or draft.method)[:80])
    count = replace(answer.count, architecture=architecture, hidden_size=_hidden_size(config, answer.count.hidden_size))
    told = f"is a draft for speculative decoding ({draft.method})"
    if checkpoint.output_embedding is not None:
        return replace(answer, count=count, notes=(f"{told} with two matrices of its own", *answer.notes))
    matrix = checkpoint.input_embedding
    rows, columns = matrix.shape
    groups = dict(checkpoint.groups)
    if checkpoint.pair.only_output:
        groups |= {"word_embeddings": 0, "decoder_weight": matrix.num_elements}
        stored, missing = "output", "input"
    else:
        stored, missing = "input", "output"
    note = (
        f"{told}: {matrix.name} ({rows:,} × {columns:,}) is its {stored} matrix, the {missing} matrix is "
        f"{_whose(draft)}"
    )
    count = replace(
        count,
        groups=groups,
        tie_word_embeddings=None,
        source=None,
        no_partner=f"a draft, whose {missing} matrix is {_whose(draft)}, so there is no tie in it",
    )
    return replace(answer, count=count, checkpoint=replace(checkpoint, groups=groups), notes=(note, *answer.notes))


def _whose(draft: Draft) -> str:
    return f"that of its target, {draft.target}" if draft.target else "the target model's"


def _hidden_size(config: Mapping[str, Any] | None, width: int) -> int:
    stated = (config or {}).get("hidden_size")
    return stated if type(stated) is int and stated > 0 else width
