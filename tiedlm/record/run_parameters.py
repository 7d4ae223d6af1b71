"""The parameters of a run by group, by closed form: of the plain model, and what an intervention makes of it."""

from __future__ import annotations

from tiedlm.config.run_config import RunConfig
from tiedlm.counting.closed_forms.parameters import count_config


def run_parameters(config: RunConfig, vocab_size: int, num_untied_rows: int) -> dict[str, int]:
    """Of the model at the end of training, which may have been untied by then.

    `num_untied_rows` counts where some rows of the output matrix are the table's: how many are not.
    """
    intervention, hidden_size = config.intervention, config.model.hidden_size
    groups = count_config("", config.trained_model.config_json(vocab_size)).groups
    if intervention.halved:  # H/2 columns each, and a map of H by H/2
        half = (vocab_size + hidden_size) * hidden_size // 2
        groups = groups | {"word_embeddings": half, "decoder_weight": half}
    if intervention.ties_some_rows:
        groups = groups | {"decoder_weight": num_untied_rows * hidden_size}
    return groups if intervention.decoder_bias else groups | {"decoder_bias": 0}
