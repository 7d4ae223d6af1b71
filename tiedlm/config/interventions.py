"""The interventions that take apart why tying helps: each field is one change to the plain model or its training.

Written as `[arms.NAME.intervention]`. Every field has a neutral default, the plain model, which is not written. A new
intervention is a field here, the one place where it acts, the arm that uses it and its test.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tiedlm.config.strict import NeutralUnwritten, words_of_pattern

OUTPUT_ROWS_PATTERN = words_of_pattern(
    r"^(own|identity|(band|any):\d{1,9})$", "own, identity, band:N or any:N, e.g. band:0"
)


class Intervention(NeutralUnwritten):
    """Nothing, unless a field says otherwise."""

    output_rows: Annotated[str, Field(pattern=OUTPUT_ROWS_PATTERN)] = "own"
    """Whose row of the output matrix, and bias, scores a token: its `own`, or that of another, drawn once by the number
    N. `band:N`: of one about as frequent in train; `any:N`: of any; `identity`: its own, by the same code. Special
    tokens keep theirs."""
    output_matrix_start: Literal["drawn", "copied"] = "drawn"
    """An untied output matrix starts with values of its own, or as a copy of the word-embedding table."""
    input_gradient_scale: Annotated[float, Field(ge=0.0)] = 1.0
    """The gradient that the table gets from its use as input is multiplied by this (Lopardo et al. 2026)."""
    output_matrix_rate_scale: Annotated[float, Field(gt=0.0)] = 1.0
    """An untied output matrix learns at this times `train.learning_rate`."""
    tied_fraction: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """A tied model stays tied for this share of the steps; then its output matrix goes on as a copy of the table, with
    a copy of its optimizer's states (modded-nanogpt, record 53)."""

    def untie_step(self, num_steps: int) -> int | None:
        """After how many steps a tied model is untied; None: never."""
        return None if self.tied_fraction == 1.0 else round(self.tied_fraction * num_steps)

    @property
    def own_start_values(self) -> frozenset[str]:
        """The parameters whose start values it sets, which are then not those of other arms."""
        return frozenset({"head.decoder.weight"}) if self.output_matrix_start == "copied" else frozenset()

    def why_not_of(self, tie_word_embeddings: bool) -> str | None:
        """What does not fit a model that is tied, or that is not; None if all does."""
        if self.tied_fraction < 1.0 and not tie_word_embeddings:
            return f"intervention.tied_fraction={self.tied_fraction} applies only to tied models"
        if self.output_matrix_start == "copied" and tie_word_embeddings:
            return "intervention.output_matrix_start='copied' applies only to untied models"
        return None


PLAIN = Intervention()
NEUTRAL: dict[str, Any] = {name: field.default for name, field in Intervention.model_fields.items()}
"""The plain model, as one and by its keys."""
