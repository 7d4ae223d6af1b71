"""Folders and configurations whose weights are not read here: what each is, in a sentence with what to give instead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiedlm.counting.layouts.drafts import draft_of
from tiedlm.counting.stored.json_file import read_json
from tiedlm.counting.stored.torch_archive import is_archive
from tiedlm.errors import printable

PIPELINE = "model_index.json"
NO_ENCODERS = ("Tokenizer", "Processor", "Extractor", "Checker", "Vision", "Image", "Vocoder", "SpeechT5HifiGan")
MEGATRON_MARK = "latest_checkpointed_iteration.txt"


def config_sentence(path: Path) -> str | None:
    """Why a `config.json` is none of a language model of `transformers`; None where nothing marks it so.

    Raises:
        UnreadableJson: it cannot be read.
    """
    raw = read_json(path)
    return _component_sentence(path, raw) or _tensorrt_sentence(path, raw) or _draft_sentence(path, raw)


def pipeline_sentence(folder: Path) -> str | None:
    """What a pipeline of diffusers is, with the commands for its text encoders (`pipeline_utils.py`).

    Raises:
        UnreadableJson: its `model_index.json` cannot be read.
    """
    if not (folder / PIPELINE).is_file():
        return None
    raw = read_json(folder / PIPELINE)
    return (
        f"{folder}: is a pipeline of diffusers ({_named(raw.get('_class_name'))}), which is no language model; "
        f"{_encoders(folder, raw)}"
    )


def megatron_weights(folder: Path) -> Path | str | None:
    """The only file of a Megatron-LM checkpoint, or a sentence of its slices (Megatron-LM, `checkpointing.py`)."""
    mark = folder / MEGATRON_MARK
    iterations = [
        path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.startswith(("iter_", "release"))
    ]
    inner = iterations[-1] if mark.is_file() and iterations else folder
    ranks = sorted(path for path in inner.iterdir() if path.is_dir() and path.name.startswith("mp_rank_"))
    if not ranks and not mark.is_file():
        return None
    files = [file for rank in ranks for file in sorted(rank.glob("model*.pt"))]
    if len(files) == 1 and is_archive(files[0]):
        return files[0]
    return (
        f"{folder}: is a checkpoint of Megatron-LM in {len(ranks):,} parts (mp_rank_*), each with a slice of every "
        "matrix; convert it (Megatron-LM, tools/checkpoint/convert.py), and give the converted model"
    )


def deepspeed_sentence(folder: Path) -> str | None:
    """What a checkpoint of DeepSpeed is, and how its weights are gathered (DeepSpeed, `utils/zero_to_fp32.py`)."""
    shares = [*folder.glob("*zero_pp_rank_*_mp_rank_*.pt"), *folder.glob("global_step*/*zero_pp_rank_*_mp_rank_*.pt")]
    if not shares and not (folder / "zero_to_fp32.py").is_file():
        return None
    return (
        f"{folder}: is a checkpoint of DeepSpeed in {len(shares):,} files of one process each; gather the weights "
        f"(python zero_to_fp32.py {folder} OUT), then tiedlm count-params OUT"
    )


def distributed_sentence(folder: Path) -> str | None:
    """What a distributed checkpoint of PyTorch is, and how it becomes one file."""
    pieces = list(folder.glob("*.distcp"))
    if not pieces:
        return None
    return (
        f"{folder}: is a distributed checkpoint of PyTorch in {len(pieces):,} .distcp files; join them (python -m "
        f"torch.distributed.checkpoint.format_utils dcp_to_torch {folder} model.pt), then tiedlm count-params model.pt"
    )


def onnx_sentence(folder: Path) -> str | None:
    """That a folder holds graphs of ONNX, with the command for the model that they were made from, if it lies there."""
    graphs = sorted(folder.glob("*.onnx"))
    if not graphs:
        return None
    above = folder.resolve().parent
    whole = (above / "config.json").is_file()
    advice = f"tiedlm count-params {folder.parent if folder.name else above}" if whole else "its config.json"
    return f"{folder}: holds {len(graphs):,} graphs of ONNX, which are not read here; give the model: {advice}"


def _encoders(folder: Path, raw: Mapping[str, Any]) -> str:
    named = [
        key
        for key, value in raw.items()
        if isinstance(value, list)
        and len(value) == 2
        and value[0] == "transformers"
        and not any(word in str(value[1]) for word in NO_ENCODERS)
    ]
    here = [folder / key for key in named if key.isidentifier() and (folder / key).is_dir()]
    if here:
        return "its text encoders are counted by " + " and ".join(f"tiedlm count-params {path}" for path in here[:4])
    if named:
        return f"get its text encoders ({printable(', '.join(named[:4])[:100])}), and give one of their folders"
    return "it has no text encoder"


def _component_sentence(path: Path, raw: Mapping[str, Any]) -> str | None:
    name = raw.get("_class_name")
    if not isinstance(name, str) or "model_type" in raw:
        return None
    above = path.resolve().parent.parent
    advice = _encoders(above, read_json(above / PIPELINE)) if (above / PIPELINE).is_file() else "give a text encoder"
    return f"{path}: is a part of a pipeline of diffusers ({_named(name)}), which has no vocabulary; {advice}"


def _tensorrt_sentence(path: Path, raw: Mapping[str, Any]) -> str | None:
    """Of an engine, or of a checkpoint of TensorRT-LLM (docs, `architecture/checkpoint.md`)."""
    inner = raw.get("pretrained_config")
    if isinstance(inner, Mapping) and "architecture" in inner:
        engines = sorted(path.parent.glob("rank*.engine"))
        return (
            f"{path}: is of an engine of TensorRT-LLM{_sizes(inner)} in {len(engines):,} files rank*.engine, whose "
            "tensors cannot be told; give the model that it was built from"
        )
    if isinstance(raw.get("architecture"), str) and "mapping" in raw and "model_type" not in raw:
        ranks = sorted(path.parent.glob("rank*.safetensors"))
        return (
            f"{path}: is of a checkpoint of TensorRT-LLM{_sizes(raw)} in {len(ranks):,} files rank*.safetensors, each "
            "with a slice of every matrix; give the model that it was converted from"
        )
    return None


def _draft_sentence(path: Path, raw: Mapping[str, Any]) -> str | None:
    draft = draft_of([], raw)
    if draft is None:
        return None
    return (
        f"{path}: is of a draft for speculative decoding ({draft.method}), whose configuration does not tell which "
        "matrices are its own and which its target's; give its weights"
    )


def _sizes(raw: Mapping[str, Any]) -> str:
    vocab, hidden = raw.get("vocab_size"), raw.get("hidden_size")
    sizes = f", vocab_size {vocab:,} and hidden_size {hidden:,}" if type(vocab) is int and type(hidden) is int else ""
    return f" ({_named(raw.get('architecture'))}{sizes})"


def _named(value: object) -> str:
    return printable(str(value)[:60]) if isinstance(value, str) else "unnamed"
