"""A foreign masked LM's loss in a few plain lines, one row and one fold at a time: what `evaluate` is held to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from tiedlm.data.masking import NUM_FOLDS, fold_ranks


class PlainScore(NamedTuple):
    """Of a text as one sequence of tokens."""

    ids: list[int]
    nll_nats: list[float]
    """Of each of them."""
    num_correct: int

    @property
    def loss_nats(self) -> float:
        """Their mean."""
        return math.fsum(self.nll_nats) / len(self.nll_nats)


@torch.no_grad()
def plain_score(
    model: Any, tokenizer: Any, lines: Sequence[str], content: int, before: Sequence[int], after: Sequence[int]
) -> PlainScore:
    """In blocks of `content` tokens between those that stand around a text."""
    ids = [token for line in lines for token in tokenizer(line, add_special_tokens=False)["input_ids"]]
    kept = {tokenizer.mask_token_id, tokenizer.pad_token_id}  # which no text may become
    unknown = tokenizer.mask_token_id if tokenizer.unk_token_id is None else tokenizer.unk_token_id
    ids = [unknown if token in kept else token for token in ids]
    nll, num_correct = [0.0] * len(ids), 0
    blocks = [ids[start : start + content] for start in range(0, len(ids), content)]
    ranks = fold_ranks(torch.zeros(len(blocks), content), 0).argsort(1)
    for number, (block, order) in enumerate(zip(blocks, ranks.tolist(), strict=True)):
        for fold in range(NUM_FOLDS):
            asked = [place for place in order[fold::NUM_FOLDS] if place < len(block)]
            shown = [tokenizer.mask_token_id if place in asked else token for place, token in enumerate(block)]
            framed = torch.tensor([[*before, *shown, *after]])
            log_probabilities = model(input_ids=framed).logits[0].log_softmax(-1)
            for place in asked:
                at = log_probabilities[place + len(before)]
                nll[number * content + place] = -at[block[place]].item()
                num_correct += int(at.argmax().item() == block[place])
    return PlainScore(ids, nll, num_correct)
