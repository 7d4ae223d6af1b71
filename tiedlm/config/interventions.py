"""The interventions that take apart why tying helps: each field is one change to the plain model or its training.

Written as `[arms.NAME.intervention]`. Every field has a neutral default, the plain model, which is not written. A new
intervention is a field here, the one place where it acts, the arm that uses it and its test.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tiedlm.config.strict import NeutralUnwritten, words_of_pattern

OUTPUT_ROWS_PATTERN = words_of_pattern(
    r"^(own|identity|map|(band|any|rotated):\d{1,9})$", "own, identity, map, band:N, any:N or rotated:N, e.g. band:0"
)
OF_ANOTHER_ARM = "set it under arms.NAME"
Occurrences = Annotated[int, Field(ge=0, le=10**12)]


class Intervention(NeutralUnwritten):
    """Nothing, unless a field says otherwise."""

    output_rows: Annotated[str, Field(pattern=OUTPUT_ROWS_PATTERN)] = "own"
    """Whose row of the output matrix, and bias, scores a token: its `own`, or that of another, drawn once by the number
    N. `band:N`: of one about as frequent in train; `any:N`: of any; `identity`: its own, by the same code; `map`: as
    the text's folder says in `map.json`, word by word. Special tokens keep theirs. `rotated:N`: its own, after one
    random rotation of all rows: which tokens are alike stays, where their rows point does not."""
    halved: bool = False
    """Both matrices of an untied model have H/2 columns, and a map to or from H beside them: as many parameters as one
    table of H, and H² more, but no row has two uses."""
    tied_below: Occurrences | None = None
    """In an untied model, tokens that occur less often in train than this are scored by their row of the table all the
    same."""
    tied_from: Occurrences | None = None
    """The same of tokens that occur at least so often."""
    output_matrix_start: Literal["drawn", "copied"] = "drawn"
    """An untied output matrix starts with values of its own, or as a copy of the word-embedding table."""
    input_gradient_scale: Annotated[float, Field(ge=0.0)] = 1.0
    """The gradient that the table gets from its use as input is multiplied by this (Lopardo et al. 2026)."""
    output_gradient_scale: Annotated[float, Field(ge=0.0)] = 1.0
    """The gradient that the output matrix gets from its use is multiplied by this; in a tied model that is the table's
    other part. At 0 this use teaches the matrix nothing."""
    gradient_scales_below: Occurrences | None = None
    """Both scales are for the rows of tokens that occur less often in train than this, and for no others."""
    input_matrix_rate_scale: Annotated[float, Field(gt=0.0)] = 1.0
    """The table of an untied model learns at this times `train.learning_rate`."""
    output_matrix_rate_scale: Annotated[float, Field(gt=0.0)] = 1.0
    """An untied output matrix learns at this times `train.learning_rate`."""
    freeze: Literal["none", "input", "output"] = "none"
    """Of an untied model, the table (`input`) or the output matrix stays as it was drawn."""
    pull: Annotated[float, Field(ge=0.0)] = 0.0
    """The loss of an untied model has this times ‖W − E‖² more, for its output matrix W and its table E."""
    decoder_bias: bool = True
    """Whether the output has a bias, one number a token."""
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

    @property
    def needs_token_counts(self) -> bool:
        """Whether how often each token occurs in train decides something."""
        is_permuted = self.output_rows.startswith(("identity", "band:", "any:"))
        return is_permuted or self.ties_some_rows or self.gradient_scales_below is not None

    @property
    def ties_some_rows(self) -> bool:
        """Whether some tokens of an untied model are scored by their row of the table."""
        return self.tied_below is not None or self.tied_from is not None

    def idle_keys(self, tie_word_embeddings: bool) -> frozenset[str]:
        """The fields that change nothing in a model that is tied, or that is not."""
        stays_tied = tie_word_embeddings and self.tied_fraction == 1.0
        return frozenset({"output_matrix_rate_scale", "input_matrix_rate_scale"}) if stays_tied else frozenset()

    def why_not_of(self, tie_word_embeddings: bool) -> str | None:
        """What does not fit a model that is tied, or that is not, or another field, and a remedy; None if all fits."""
        if self.tied_fraction < 1.0 and not tie_word_embeddings:
            return f"intervention.tied_fraction={self.tied_fraction} applies only to tied models; {OF_ANOTHER_ARM}"
        stated = [key for key in ONLY_UNTIED if getattr(self, key) != NEUTRAL[key]]
        if stated and tie_word_embeddings:
            value = getattr(self, stated[0])
            return f"intervention.{stated[0]}={value!r} applies only to untied models; {OF_ANOTHER_ARM}"
        if self.gradient_scales_below is not None and self.input_gradient_scale == self.output_gradient_scale == 1.0:
            return (
                "intervention.gradient_scales_below limits input_gradient_scale and output_gradient_scale to some "
                "rows, and both are 1; set one of these, or leave it out"
            )
        of_two = [key for key in stated if key in NEED_TWO_OF_A_SIZE]
        if self.halved and of_two:
            return f"intervention.halved and intervention.{of_two[0]} do not go together; leave one of them out"
        if len(both := [key for key in ("tied_below", "tied_from") if key in stated]) > 1:
            return f"intervention.{both[0]} and intervention.{both[1]} both say which tokens are tied; give one of them"
        return None


PLAIN = Intervention()
NEUTRAL: dict[str, Any] = {name: field.default for name, field in Intervention.model_fields.items()}
"""The plain model, as one and by its keys."""
NEED_TWO_OF_A_SIZE = ("output_matrix_start", "tied_below", "tied_from", "pull")
ONLY_UNTIED = ("halved", *NEED_TWO_OF_A_SIZE, "freeze")
"""Keys that say something of an output matrix that is not the table."""
