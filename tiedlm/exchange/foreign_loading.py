"""A masked LM of `transformers` with its tokenizer, from a folder or the Hub: loaded whole, or refused in a sentence.

What `transformers` cannot fill it draws at random and only warns; a score of such a model would be a false number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tiedlm.counting.stored.bit_comparison import compare_bits
from tiedlm.counting.stored.other_formats import unread_note
from tiedlm.counting.stored.safetensors_header import WEIGHTS, StoredTensor, read_header, read_index
from tiedlm.errors import InputError, Stopped, printable

FLOATS = {"F64", "F32", "F16", "BF16"}
"""Types of weights that are read in fp32 as they are."""
TOKENIZER_FILES = ("tokenizer*", "*vocab*", "*.model", "special_tokens_map.json")
MAX_FRAME = 16
"""Tokens around a text; templates have one or two on each side."""
NUM_NAMES = 3
"""Of tensors, in a sentence."""


def load_foreign(source: str) -> tuple[Any, Any]:
    """The model in fp32, ready to be read, and its tokenizer; no code of a repository is run.

    Raises:
        InputError: it cannot be had, is no masked LM, not every parameter has a finite value of its own in the file,
            the file's two matrices differ though it ties them, or the tokenizer gives ids that the model has not.
    """
    source = source.removeprefix("hub:")  # as a text or a tokenizer on the Hub is named
    try:
        import transformers
    except ImportError as error:
        raise InputError(f"{source}: to load it needs transformers; pip install 'tiedlm[hf]'") from error
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    is_folder = bool(source) and Path(source).is_dir()
    stored = _read_folder(Path(source)) if is_folder else {}
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": is_folder}
    with _told(source, f"transformers {transformers.__version__} cannot load it as a masked LM"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
        model, account = transformers.AutoModelForMaskedLM.from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **options
        )
    _check_filled(model, account, stored, source)
    with _told(source, "its tokenizer cannot be used"):
        _check_ids(tokenizer, word_embeddings(model).weight.shape[0], source)
    return model.eval(), tokenizer


def word_embeddings(model: Any) -> Any:
    """The table that token ids index; Perceiver names its latent vectors as input embeddings instead."""
    given = model.get_input_embeddings()
    if isinstance(given, nn.Module):
        return given
    return next(module for module in model.modules() if isinstance(module, nn.Embedding))


def is_tied(model: Any) -> bool:
    """Whether the output matrix is the table: without a module of its own it is, unless a second one of its shape is.

    Measured on the tensors of the model.
    """
    table, output = word_embeddings(model).weight, model.get_output_embeddings()
    if output is not None:
        return output.weight is table
    return all(parameter is table or parameter.shape != table.shape for parameter in model.parameters())


def frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The tokens before and after a text, by what the tokenizer adds to a word."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a")["input_ids"]
    starts = [start for start in range(len(framed)) if framed[start : start + len(plain)] == plain]
    start = starts[0] if plain and starts else 0
    return framed[:start], framed[start + len(plain) :] if starts else []


@contextmanager
def _told(source: str, what: str) -> Iterator[None]:
    """Whatever the libraries raise on a stranger's file, as one sentence."""
    try:
        yield
    except (InputError, Stopped, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of Rust code is no Exception
        told = printable(" ".join(str(error).split()))[:300] or type(error).__name__
        raise InputError(
            f"{printable(source)}: {what} ({told}); give a run, a folder with config.json, model.safetensors and a "
            "tokenizer, or owner/name on the Hub"
        ) from error


def _read_folder(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a folder by name, from headers alone; also what the loader would read elsewhere is refused.

    Raises:
        InputError: there are none, they are unsound, or no tokenizer lies beside them.
    """
    files = [folder / name for name in WEIGHTS if (folder / name).exists()]
    if not files:
        others = [f" ({note})" for note in unread_note(folder, [])]
        raise InputError(
            f"{folder}: transformers cannot load it as a masked LM: it has no {' and no '.join(WEIGHTS)}"
            f"{''.join(others)}; give a folder with config.json, model.safetensors and a tokenizer"
        )
    if not any(path.is_file() for pattern in TOKENIZER_FILES for path in folder.glob(pattern)):
        raise InputError(f"{folder}: has no tokenizer, so its text cannot be read; put its tokenizer.json beside it")
    tensors, _ = (read_index if files[0].suffix == ".json" else read_header)(files[0])
    return {tensor.name: tensor for tensor in tensors}


def _check_filled(model: nn.Module, account: dict[str, Any], stored: dict[str, StoredTensor], source: str) -> None:
    """Every parameter came from the file, as the loader accounts for it, and is a finite number."""
    num_parameters = len(list(model.named_parameters()))
    missing = sorted(account["missing_keys"])
    if missing:
        raise InputError(
            f"{source}: {len(missing)} of {num_parameters} tensors of {type(model).__name__} are not in its weights, "
            f"e.g. {_named(missing)}, and would be random; give a checkpoint of a masked LM, with its head"
        )
    mismatched = sorted(str(key[0] if isinstance(key, tuple) else key) for key in account.get("mismatched_keys", ()))
    wrong = mismatched or sorted(str(message) for message in account.get("error_msgs", ()))
    if wrong:
        raise InputError(
            f"{source}: {len(wrong)} of its tensors are not as {type(model).__name__} and its config.json have them, "
            f"e.g. {_named(wrong)}; give the config.json of these weights"
        )
    floating = {name for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    for tensor in stored.values():
        if tensor.name in floating and tensor.dtype not in FLOATS:
            raise InputError(
                f"{source}: {printable(tensor.name)} is stored as {tensor.dtype}, which is no weight of 16, 32 or 64 "
                "bits; give the model before it was quantised"
            )
    _check_tie(model, stored, source)
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise InputError(f"{source}: {name} has numbers that are not finite; give a checkpoint that is whole")


def _check_tie(model: Any, stored: dict[str, StoredTensor], source: str) -> None:
    """Of two matrices that the class and the configuration make one, the file does not hold two that differ."""
    names = {module: f"{name}.weight" for name, module in model.named_modules()}
    table, output = (names.get(module, "") for module in (word_embeddings(model), model.get_output_embeddings()))
    tied = getattr(model, "_tied_weights_keys", None) or ()
    if not getattr(model.config, "tie_word_embeddings", False) or not any(re.search(key, output) for key in tied):
        return
    if table in stored and output in stored and compare_bits(stored[table], stored[output]) == "different":
        raise InputError(
            f"{source}: is tied by its configuration, but {table} and {output} differ in its weights; set "
            "tie_word_embeddings to false in its config.json, or give the weights that belong to it"
        )


def _check_ids(tokenizer: Any, num_rows: int, source: str) -> None:
    """Every id that the tokenizer can give is a row of the embeddings, and the mask token is one that can be read."""
    mask, padding = tokenizer.mask_token_id, tokenizer.pad_token_id
    if mask is None:
        raise InputError(f"{source}: its tokenizer has no mask token, so it cannot be scored; give a masked LM")
    if mask == padding:
        raise InputError(
            f"{source}: its mask token {printable(str(tokenizer.mask_token))} is its padding too, so no place can be "
            "masked; give each a token of its own in tokenizer_config.json"
        )
    before, after = frame(tokenizer)
    if len(before) + len(after) > MAX_FRAME:
        raise InputError(
            f"{source}: its tokenizer puts {len(before) + len(after):,} tokens around a text; correct the "
            "post_processor of its tokenizer.json"
        )
    largest = max([*tokenizer.get_vocab().values(), *tokenizer.all_special_ids, *before, *after])
    if largest >= num_rows:
        raise InputError(
            f"{source}: its tokenizer gives the id {largest:,}, but its embeddings have {num_rows:,} rows; give the "
            "tokenizer of this model"
        )
    read = tokenizer(tokenizer.mask_token, add_special_tokens=False)["input_ids"]
    if read.count(mask) != 1:
        raise InputError(
            f"{source}: its tokenizer reads its mask token {printable(str(tokenizer.mask_token))} as the ids "
            f"{read[:5]} and not as {mask}; add it to the tokenizer as a special token"
        )


def _named(names: Sequence[str]) -> str:
    return ", ".join(printable(name) for name in names[:NUM_NAMES])
