"""Make the two small models that come with the package, so that `tiedlm explain` answers without training.

    python experiments/explain/make_pair.py --out results/explain-pair

Trains a tied and an untied masked LM on the Penn Treebank, everything else equal, and writes them with their
tokenizer and a card to `tiedlm/explanation/pair`, in half precision: what is shown of them has two digits, and a
package should be small.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file

from tiedlm import compare, load_experiment
from tiedlm.atomic_file import replacement, write_atomically
from tiedlm.config.saved_model_config import MODEL_SCHEMA_VERSION, SavedModelConfig
from tiedlm.data.sources.layout import TOKENIZER_FILE
from tiedlm.explanation.head_view import PAIR
from tiedlm.model.saved_model import METADATA_KEY, write_tensors
from tiedlm.record.record_file import load_record
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord

EXPERIMENT = "ptb-quick"
SETTINGS = (
    "model.hidden_size=40",
    "model.intermediate_size=128",
    "model.head_transform=true",
    "train.num_steps=4000",
)
ARMS = ("tied", "untied")


def main() -> None:
    """Train, halve, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/explain-pair"))
    out = parser.parse_args().out
    compare(load_experiment(EXPERIMENT, SETTINGS), seeds=1, out=out)
    PAIR.mkdir(exist_ok=True)
    records = [load_record(out / RunId(arm, 0).record_file) for arm in ARMS]
    for record in records:
        tensors = load_file(out / record.run.model_file)
        config = SavedModelConfig(
            schema_version=MODEL_SCHEMA_VERSION,
            model=record.config.trained_model,
            intervention=record.config.intervention,
            vocab_size=record.data.vocab_size,
        )
        with replacement(PAIR / f"{record.arm}.safetensors") as partial:
            halves = {name: tensor.to(torch.float16) for name, tensor in tensors.items()}
            write_tensors(halves, partial, {METADATA_KEY: config.model_dump_json()})
    write_atomically(PAIR / TOKENIZER_FILE, (out / TOKENIZER_FILE).read_text(encoding="utf-8"))
    write_atomically(PAIR / "README.md", card(records))


def card(records: list[RunRecord]) -> str:
    """What the models are, and the command that made them."""
    first = records[0]
    rows = [
        f"| {record.arm} | {sum(record.parameters.values()):,} | "
        + " | ".join(f"{record.metrics[split].masked_lm_perplexity:.1f}" for split in ("valid", "test"))
        + f" | `{record.sha256}` |"
        for record in records
    ]
    settings = " ".join(f"--set {setting}" for setting in SETTINGS)
    return "\n".join(
        [
            "# The two models of `tiedlm explain`\n",
            f"Masked LMs of width {first.config.model.hidden_size} on the Penn Treebank, whose text is "
            "licensed by the LDC and is not here. Stored in half precision.\n",
            "| arm | parameters | valid masked-LM perplexity | test | SHA-256 of the record |",
            "|---|---:|---:|---:|---|",
            *rows,
            f"\nTrained by `tiedlm compare {EXPERIMENT} {settings} --seeds 1`, commit "
            f"{first.provenance.git_commit}, seed 0 of both arms; put here by "
            "`python experiments/explain/make_pair.py`. SHA-256 of train: "
            f"`{first.data.text_sha256['train']}`.\n",
        ]
    )


if __name__ == "__main__":
    main()
