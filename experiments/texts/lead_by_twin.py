"""Read runs on a text of `renamed_words.py`: untied − tied by how often a twin occurs in train.

Each seed with a record and a model of both arms is scored token by token, by the evaluation of the runs. Beside the
twins stand the words that they are twins of, where they were left their names, and ordinary words about as frequent as
a twin (by a third at most). Of the seeds' differences the mean and its 95 % t-interval are written beside the records,
to `lead-by-twin.json` and `lead-by-twin.md`, with the tokens that they are over. Run it from the checkout:

    python experiments/texts/lead_by_twin.py runs/ptb-twins
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from renamed_words import TWINS_FILE, twin
from tokenizers import Tokenizer

from tiedlm.comparison.paired_statistics import paired_t
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import TokenizedCorpus, tokenize
from tiedlm.errors import InputError
from tiedlm.exchange.trained_run import TrainedRun, open_run
from tiedlm.record.record_file import load_records
from tiedlm.record.run_id import RunId
from tiedlm.training.device import resolve_runtime
from tiedlm.training.fold_evaluation import evaluate

ARMS = ("tied", "untied")
SPLITS_SCORED = ("valid", "test")
ABOUT = 4 / 3
"""An ordinary word is about as frequent as a twin if neither occurs more than this times as often as the other."""

Floats = npt.NDArray[np.float64]
Groups = dict[str, list[int]]


def groups_of(corpus: TokenizedCorpus, twins: dict[str, Any]) -> Groups:
    """The ids of the tokens whose losses are put together, by the name of the group."""
    vocabulary = Tokenizer.from_str(corpus.tokenizer_text()).get_vocab()
    counts = corpus.token_counts("train")
    words: list[str] = twins["words"]
    groups = {
        f"twins of {count}": [vocabulary[twin(word, count)] for word in words if twin(word, count) in vocabulary]
        for count in twins["counts"]
    }
    ordinary = [number for word, number in vocabulary.items() if "~" not in word and word not in words]
    for count in twins["counts"]:
        groups[f"ordinary words of about {count}"] = [
            number for number in ordinary if count / ABOUT <= counts[number] <= count * ABOUT
        ]
    return groups | {"the words themselves": [vocabulary[word] for word in words]}


def losses_by_token(run: TrainedRun, corpus: TokenizedCorpus) -> tuple[Floats, Floats]:
    """Nats in sum and number of predictions of each token, over valid and test: two of (V,)."""
    config = run.record.config
    sums, numbers = np.zeros(corpus.vocab_size), np.zeros(corpus.vocab_size)
    for split in SPLITS_SCORED:
        blocks, each = corpus.blocks(split, config.corpus), torch.arange(corpus.vocab_size)
        autocast = resolve_runtime("cpu", "fp32").autocast()
        totals = evaluate(run.model, blocks, config.train.eval_mask_seed, autocast, each)
        sums += totals.band_nll_nats.numpy()[: corpus.vocab_size]
        numbers += totals.band_num_tokens.numpy()[: corpus.vocab_size]
    return sums, numbers


def leads(
    folder: Path, seeds: list[int], corpus: TokenizedCorpus, groups: dict[str, list[int]]
) -> list[dict[str, Any]]:
    """untied − tied of each group, in nats a token."""
    losses: dict[str, dict[str, list[float]]] = {arm: {name: [] for name in groups} for arm in ARMS}
    tokens: dict[str, int] = {}
    for seed in seeds:
        for arm in ARMS:
            sums, numbers = losses_by_token(open_run(folder / RunId(arm, seed).model_file), corpus)
            for name, ids in groups.items():
                tokens[name] = int(numbers[ids].sum())
                losses[arm][name].append(float(sums[ids].sum() / max(1, tokens[name])))
    rows = []
    for name in groups:
        tied, untied = (losses[arm][name] for arm in ARMS)
        values = [other - one for one, other in zip(tied, untied, strict=True)]
        delta = paired_t(values) if len(values) > 1 else None
        rows.append(
            {
                "group": name,
                "num_tokens": tokens[name],
                "loss_nats": {"tied": tied, "untied": untied},
                "delta_nats": {"mean": float(np.mean(values)), "ci95": delta and delta.ci95, "values": values},
            }
        )
    return rows


def table(rows: list[dict[str, Any]], seeds: list[int]) -> str:
    """Markdown."""
    lines = [
        f"# untied − tied by how often a token occurs in train, seeds {', '.join(map(str, seeds))}",
        "",
        "Nats a token of valid and test together, positive where tied is ahead; in brackets the 95 % t-interval over "
        "seeds. A twin is a frequent word under another name in places that were drawn by lot.",
        "",
        "| tokens | predictions | tied | untied | untied − tied |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        tied, untied = (f"{np.mean(row['loss_nats'][arm]):.3f}" for arm in ARMS)
        ends = row["delta_nats"]["ci95"]
        interval = f" [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends else " (one seed)"
        shown = f"{row['delta_nats']['mean']:+.3f}{interval}"
        lines.append(f"| {row['group']} | {row['num_tokens']:,} | {tied} | {untied} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table beside the records."""
    parser = argparse.ArgumentParser(description="untied − tied by how often a twin occurs in train.")
    parser.add_argument("folder", type=Path, help="of runs on a text of renamed_words.py, with their models")
    parser.add_argument("--text", help="the text's folder, by default the one in the records")
    asked = parser.parse_args()
    try:
        records = load_records(asked.folder)
        found = {record.run for record in records if (asked.folder / record.run.model_file).is_file()}
        seeds = sorted({run.seed for run in found if all(RunId(arm, run.seed) in found for arm in ARMS)})
        if not seeds:
            sys.exit(f"{asked.folder}: has no seed with a record and a model of both arms; train them first")
        text = asked.text or records[0].config.corpus.name
        source = load_corpus(text)
        if source.sha256 != records[0].data.text_sha256:
            sys.exit(f"{text}: is not the text of these runs; make it with the same seed and share")
        corpus = tokenize(source, records[0].config.corpus)
        groups = groups_of(corpus, json.loads(Path(text, TWINS_FILE).read_text(encoding="utf-8")))
        rows = leads(asked.folder, seeds, corpus, groups)
    except InputError as error:
        sys.exit(str(error))
    document = {"seeds": seeds, "splits": SPLITS_SCORED, "groups": rows}
    (asked.folder / "lead-by-twin.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (asked.folder / "lead-by-twin.md").write_text(table(rows, seeds), encoding="utf-8")
    sys.stdout.write(table(rows, seeds))


if __name__ == "__main__":
    main()
