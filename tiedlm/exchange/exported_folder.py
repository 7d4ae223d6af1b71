"""A run → a folder that `AutoModelForMaskedLM.from_pretrained` and `pipeline` read without code of ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tiedlm.atomic_file import replacement, temporary_folder
from tiedlm.errors import InputError
from tiedlm.exchange.exported_config import exported_config
from tiedlm.exchange.exported_origin import OWN_KEY, Origin
from tiedlm.exchange.fast_tokenizer import special_tokens_map, tokenizer_config, tokenizer_json
from tiedlm.exchange.model_card import model_card
from tiedlm.exchange.trained_run import TrainedRun
from tiedlm.exchange.transformers_names import their_tensors
from tiedlm.model.saved_model import write_tensors
from tiedlm.record.run_record import RunRecord


def export_run(run: TrainedRun, folder: Path) -> None:
    """Write the model, its tokenizer and a model card; all of the folder or nothing.

    A model whose tokens are scored by others' rows is tied no longer: the rows stand in another order.

    Raises:
        InputError: the folder is there and not empty or cannot be made, or no class of `transformers` is this model.
    """
    record, model, vocabulary = run.record, run.model, run.vocabulary
    is_tied = model.scores_by_input_rows
    config = exported_config(model.config, record.data.vocab_size, vocabulary.eos_id, is_tied)
    config[OWN_KEY] = origin_of(record).model_dump()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already, and not an empty folder; choose another")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(f".{folder.name[:40]}.", folder.parent) as temporary:
            made = temporary / "model"
            made.mkdir()
            _write_json(made / "config.json", config)
            (made / "tokenizer.json").write_text(tokenizer_json(vocabulary), encoding="utf-8")
            _write_json(
                made / "tokenizer_config.json", tokenizer_config(vocabulary, model.config.max_position_embeddings)
            )
            _write_json(made / "special_tokens_map.json", special_tokens_map(vocabulary))
            (made / "README.md").write_text(model_card(run, is_tied), encoding="utf-8")
            with replacement(made / "model.safetensors") as partial:
                write_tensors(their_tensors(model), partial, {"format": "pt"})
            if folder.exists():
                folder.rmdir()
            shutil.move(made, folder)
    except PermissionError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error


def origin_of(record: RunRecord) -> Origin:
    """What an exported folder says of the run."""
    return Origin(
        seq_length=record.config.corpus.seq_length,
        eval_mask_seed=record.config.train.eval_mask_seed,
        corpus=record.data.corpus,
        text_sha256=record.data.text_sha256,
        record_sha256=record.sha256,
    )


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
