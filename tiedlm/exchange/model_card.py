"""The README.md of an exported model: what it is, how good it is, what it was trained on, and how to use it."""

from __future__ import annotations

import json

from tiedlm.errors import printable
from tiedlm.exchange.fast_tokenizer import special_names
from tiedlm.exchange.trained_run import TrainedRun
from tiedlm.exchange.transformers_names import CLASSES
from tiedlm.masked_batch import MASK


def model_card(run: TrainedRun, is_tied: bool) -> str:
    """Markdown with the front matter that the Hub reads; everything in it follows from the record."""
    record, vocabulary = run.record, run.vocabulary
    config, data, provenance = record.config, record.data, record.provenance
    rows = [
        f"| {split} | {metrics.masked_lm_perplexity:.2f} | {metrics.bits_per_byte:.4f} | "
        f"{metrics.masked_lm_accuracy:.2%} | {metrics.unigram_perplexity:.1f} |"
        for split, metrics in record.metrics.items()
    ]
    tied = "is the word-embedding table itself (tied)" if is_tied else "is a matrix of its own (untied)"
    changes = ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in config.intervention.model_dump().items())
    changed = f", and it was trained with the intervention {changes}" if changes else ""
    mask = special_names(vocabulary)[MASK]
    return "\n".join(
        [
            "---",
            "library_name: transformers",
            "pipeline_tag: fill-mask",
            f'mask_token: "{mask}"',
            "tags: [masked-lm, weight-tying, tiedlm]",
            "---",
            "",
            f"# {record.experiment}, {record.run}",
            "",
            f"A small masked LM, `{CLASSES[config.model.encoder]}`, of {sum(record.parameters.values()):,} parameters, "
            f"trained by tiedlm to measure what weight tying does. Its output matrix "
            f"{tied}{changed}.",
            "",
            "| split | masked-LM perplexity | bits a byte | accuracy | unigram perplexity |",
            "|---|---:|---:|---:|---:|",
            *rows,
            "",
            f"Every token of a split is predicted once, under `{mask}`, in folds of about 15 % of blocks of "
            f"{config.corpus.seq_length} tokens. Masked-LM perplexity is not comparable with a causal perplexity.",
            "",
            "```python",
            "from transformers import pipeline",
            "",
            f'pipeline("fill-mask", "PATH", tokenizer="PATH")("the {mask} of the")',
            "```",
            "",
            "## What it was made of",
            "",
            f"- text: {_words(data.corpus)}, {data.num_tokens['train']:,} tokens of train; SHA-256 of train "
            f"`{data.text_sha256['train']}`",
            f"- tokenizer: `{_words(config.corpus.tokenizer)}`, {data.vocab_size:,} tokens, SHA-256 "
            f"`{data.tokenizer_sha256}`; here each text is put between two ends of a line",
            f"- training: {config.train.num_steps:,} steps of {config.train.batch_size} blocks",
            f"- command: `{_words(provenance.command)}`",
            f"- code: tiedlm {_words(provenance.tiedlm_version)}, commit {_words(provenance.git_commit or 'unknown')}"
            f"{', changed' if provenance.git_dirty else ''}; torch {_words(provenance.torch)}, "
            f"{_words(provenance.precision)} on {_words(provenance.processor)}",
            f"- record: SHA-256 `{record.sha256}`",
            *(f"- {note}" for note in run.notes),
            "",
        ]
    )


def _words(foreign: str) -> str:
    """Of a record, inside or outside of a span of code."""
    return printable(foreign).replace("`", "'").replace("<", "‹").replace(">", "›")
