"""What the multiplication by the output matrix does to one sentence."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tiedlm.api.foreign_work import IMPORTS, explain_foreign
from tiedlm.exchange.foreign_folder import open_foreign
from tiedlm.processes.guarded_process import run_guarded
from tiedlm.record.run_id import RunId

if TYPE_CHECKING:
    from tiedlm.explanation.explanation import Explanation


def explain(sentence: str, model: str | Path | None = None) -> list[Explanation]:
    """Follow a sentence with one `[MASK]` through the head of a model; without one, of both that come with tiedlm.

    `model` is a run, `DIR/ARM-seedN.safetensors`, or a masked LM that `transformers` reads (the `hf` extra).

    Raises:
        InputError: the model cannot be had, or the sentence has not one `[MASK]`.
    """
    if model is not None and RunId.of_file(Path(model)) is None:
        folder = open_foreign(str(model))
        return [run_guarded(folder.source, partial(explain_foreign, folder, sentence), imports=IMPORTS)]

    from tiedlm.explanation.explanation import explain_head  # here, since it imports torch
    from tiedlm.explanation.head_view import view_run, view_shipped

    if model is not None:
        return [explain_head(view_run(Path(model), sentence))]
    return [explain_head(view_shipped(arm, sentence)) for arm in ("tied", "untied")]
