"""What the multiplication by the output matrix does to one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiedlm.explanation.explanation import Explanation


def explain(sentence: str, model: str | Path | None = None) -> list[Explanation]:
    """Follow a sentence with one `[MASK]` through the head of a model; without one, of both that come with tiedlm.

    `model` is a run, `DIR/ARM-seedN.safetensors`, or a masked LM that `transformers` reads (the `hf` extra).

    Raises:
        InputError: the model cannot be had, or the sentence has not one `[MASK]`.
    """
    from tiedlm.explanation.explanation import explain_head  # here, since it imports torch
    from tiedlm.explanation.head_view import view_head, view_shipped

    if model is not None:
        return [explain_head(view_head(model, sentence))]
    return [explain_head(view_shipped(arm, sentence)) for arm in ("tied", "untied")]
