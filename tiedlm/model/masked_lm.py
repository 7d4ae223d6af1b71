"""MaskedLM = embeddings + encoder + head, and the one line that ties."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tiedlm.config.interventions import PLAIN, Intervention
from tiedlm.config.model_config import ModelConfig
from tiedlm.generators import make_generator
from tiedlm.masked_batch import PAD_ID, MaskedBatch
from tiedlm.model.embeddings import Embeddings
from tiedlm.model.encoder import Encoder
from tiedlm.model.head import MaskedLMHead, Transform
from tiedlm.model.output_rows import draw_output_rows, draw_rotation
from tiedlm.model.partial_tie import rows_of_its_own, tie_some_rows, untied_rows

PARAMETER_GROUPS = {  # the first prefix that fits a parameter's name decides its group
    "embeddings.word_embeddings.": "word_embeddings",
    "embeddings.projection.": "word_embeddings",
    "embeddings.position_embeddings.": "position_embeddings",
    "embeddings.token_type_embeddings.": "token_type_embeddings",
    "embeddings.norm.": "embeddings_norm",
    "encoder.layers.": "encoder_layers",
    "encoder.final_norm.": "final_norm",
    "head.transform.": "head_transform",
    "head.projection.": "decoder_weight",
    "head.decoder.weight": "decoder_weight",
    "head.decoder.parametrizations.weight.": "decoder_weight",
    "head.decoder.bias": "decoder_bias",
}

OUTPUT_MATRIX = "head.decoder.weight"
FROZEN: dict[str, tuple[str, ...]] = {
    "none": (),
    "input": ("embeddings.word_embeddings.", "embeddings.projection."),
    "output": ("head.decoder.weight", "head.decoder.parametrizations.weight.original", "head.projection."),
}
"""The starts of the names of what `intervention.freeze` keeps as it was drawn."""


class TieError(RuntimeError):
    """The model is not tied, or is tied, against its configuration."""


class MaskedLM(nn.Module):
    """A masked LM; its output matrix is the word-embedding table if `tie_word_embeddings`."""

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        intervention: Intervention = PLAIN,
        untied_rows: Tensor | None = None,
    ) -> None:
        """Of some rows tied, `untied_rows` (U,) are the others."""
        super().__init__()
        self.config, self.intervention = config, intervention
        self.embeddings = Embeddings(config, vocab_size, intervention)
        self.encoder = Encoder(config)
        self.head = MaskedLMHead(config, vocab_size, intervention)
        if config.tie_word_embeddings:  # one tensor, two names (Press & Wolf 2017)
            self.head.decoder.weight = self.embeddings.word_embeddings.weight
        if untied_rows is not None:
            tie_some_rows(self.head.decoder, self.embeddings.word_embeddings, untied_rows)
        for name, parameter in self.named_parameters():
            if name.startswith(FROZEN[intervention.freeze]):
                parameter.requires_grad_(False)

    @property
    def scores_by_input_rows(self) -> bool:
        """Whether each token is scored by the row by which it enters: tied, and by no other token's row."""
        return self.head.rows_by_token()[0] is self.embeddings.word_embeddings.weight

    @property
    def untied_rows(self) -> Tensor | None:
        """(U,): of a model some of whose rows are tied, the others."""
        return rows_of_its_own(self.head.decoder)

    @property
    def is_tied(self) -> bool:
        """Measured on the tensors, not read from the configuration."""
        return self.head.decoder.weight is self.embeddings.word_embeddings.weight

    def untie(self) -> None:
        """Let the output matrix go on as a copy of the word-embedding table, and say so in `config`."""
        self.head.decoder.weight = nn.Parameter(self.embeddings.word_embeddings.weight.detach().clone())
        self.config = self.config.model_copy(update={"tie_word_embeddings": False})

    def forward(self, input_ids: Tensor, masked_lm_positions: Tensor) -> Tensor:
        """Logits at the masked positions: (B, T) and (B, P) → (B, P, V)."""
        return self.head(self.hidden_states(input_ids, masked_lm_positions))  # type: ignore[no-any-return]

    def loss(self, batch: MaskedBatch, sum_of_weights: float | None = None) -> Tensor:
        """The masked-LM loss of a batch, in nats, in training with what `intervention.pull` adds: ().

        Of a part of a batch, `sum_of_weights` is that of the whole, and the parts' losses add up to the whole's.
        """
        hidden_states = self.hidden_states(batch.input_ids, batch.masked_lm_positions)
        loss = self.head.loss(hidden_states, batch.masked_lm_ids, batch.masked_lm_weights, sum_of_weights)
        if self.training and self.intervention.pull:
            apart = self.head.decoder.weight - self.embeddings.word_embeddings.weight
            share = 1.0 if sum_of_weights is None else batch.masked_lm_weights.sum() / sum_of_weights
            loss = loss + share * self.intervention.pull * apart.square().sum()
        return loss

    def score(self, batch: MaskedBatch) -> tuple[Tensor, Tensor]:
        """Each prediction's loss in nats, and whether it is right: two of (B, P), without a gradient."""
        hidden_states = self.hidden_states(batch.input_ids, batch.masked_lm_positions)
        return self.head.score(hidden_states, batch.masked_lm_ids)

    def hidden_states(self, input_ids: Tensor, masked_lm_positions: Tensor) -> Tensor:
        """What the encoder gives to the head: (B, T) and (B, P) → (B, P, H)."""
        padding = input_ids == PAD_ID
        is_padding = padding if bool(padding.any()) else None
        return self.encoder(self.embeddings(input_ids), masked_lm_positions, is_padding)  # type: ignore[no-any-return]


def build_model(
    config: ModelConfig,
    vocab_size: int,
    seed: int,
    token_counts: npt.NDArray[np.int64] | None = None,
    intervention: Intervention = PLAIN,
    output_map: npt.NDArray[np.int64] | None = None,
) -> MaskedLM:
    """Build a model whose every tensor is drawn once, from a generator that its own name seeds.

    Two arms of one seed thus start with the same values wherever name and shape agree. Matrices are
    normal with std `initializer_range`, norms start at one, biases at zero. To the head's dense layer a part of the
    identity may be added; an output matrix may start as a copy of the table; maps to and from halves are orthogonal.
    `token_counts` (V,), how often each token occurs in train, is needed where tokens are scored by others' rows, or
    rare ones are treated otherwise; an `output_map` (V,) where it says by which.
    """
    assert token_counts is not None or not intervention.needs_token_counts
    rows = None
    if intervention.ties_some_rows:
        assert token_counts is not None
        rows = untied_rows(intervention, token_counts)
    model = MaskedLM(config, vocab_size, intervention, rows)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # lists a shared tensor once
            if name.endswith(".projection.weight"):
                nn.init.orthogonal_(parameter, generator=make_generator(seed, "init", name))
            elif name.startswith("head.decoder.parametrizations."):
                whole = torch.empty(vocab_size, config.hidden_size)
                whole.normal_(std=config.initializer_range, generator=make_generator(seed, "init", OUTPUT_MATRIX))
                model.head.decoder.weight = whole
            elif parameter.dim() >= 2:
                parameter.normal_(std=config.initializer_range, generator=make_generator(seed, "init", name))
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.fill_(1.0)
        if isinstance(model.head.transform, Transform):
            model.head.transform.dense.weight.diagonal().add_(config.head_dense_identity)
        if intervention.output_matrix_start == "copied":
            model.head.decoder.weight.copy_(model.embeddings.word_embeddings.weight)
        if model.head.output_rows is not None:
            if intervention.output_rows == "map":
                assert output_map is not None
                model.head.output_rows.copy_(torch.from_numpy(output_map))
            else:
                assert token_counts is not None
                model.head.output_rows.copy_(draw_output_rows(intervention.output_rows, token_counts))
        if model.head.rotation is not None:
            model.head.rotation.copy_(draw_rotation(intervention.output_rows, config.hidden_size))
        if intervention.gradient_scales_below is not None:
            assert token_counts is not None
            for scale in (model.embeddings.word_embeddings.gradient_scale, model.head.gradient_scale):
                scale.keep_to_rare(token_counts, intervention.gradient_scales_below)
    check_tie(model, "after build")
    return model


def check_tie(model: MaskedLM, moment: str) -> None:
    """Compare the measured tie with the configuration.

    Raises:
        TieError: they differ, e.g. because a load replaced one of the two names.
    """
    if model.is_tied != model.config.tie_word_embeddings:
        raise TieError(
            f"{moment}: tie_word_embeddings={model.config.tie_word_embeddings} but decoder.weight "
            f"{'is' if model.is_tied else 'is not'} the word-embedding tensor"
        )


def measure_parameters(model: MaskedLM) -> dict[str, int]:
    """Stored parameters by group; a shared tensor counts once, under its first name."""
    groups = dict.fromkeys(PARAMETER_GROUPS.values(), 0)
    for name, parameter in model.named_parameters():
        groups[next(group for prefix, group in PARAMETER_GROUPS.items() if name.startswith(prefix))] += (
            parameter.numel()
        )
    assert sum(groups.values()) == sum(parameter.numel() for parameter in model.parameters())
    return groups
