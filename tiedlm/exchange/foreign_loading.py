"""A masked LM of `transformers` with its tokenizer, from a stranger's folder: loaded whole, or refused in a sentence.

What `transformers` cannot fill it draws at random and only warns; a score of such a model would be a false number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from tiedlm.counting.built.build_limits import module_budget
from tiedlm.counting.built.configured_class import harmless
from tiedlm.counting.stored.bit_comparison import compare_bits
from tiedlm.data.encoding_limits import enter_reading
from tiedlm.data.tokenizer_kinds import turn_off_dropout
from tiedlm.errors import InputError, printable, told
from tiedlm.exchange.foreign_folder import CONFIG, ForeignFolder
from tiedlm.processes.guarded_process import Guard

FLOATS = {"F64", "F32", "F16", "BF16"}
"""Types of weights that are read in fp32 as they are."""
FP32_BYTES = 4
LOADING_BYTES = 1 << 30
"""Beside the weights: of libraries."""
LOADING_CPU_SECONDS = 30.0
BYTES_PER_CPU_SECOND = 100 << 20
"""Of weights that are read and converted."""
MAX_FRAME = 16
"""Tokens around a text; templates have one or two on each side."""
KINDS = {bool: "true or false", int: "a whole number from 0", float: "a number", str: "a text"}
"""Of a configuration's values, by the type of what a family has by default."""
NUM_NAMES = 3
"""Of tensors, in a sentence."""


def load_foreign(folder: ForeignFolder, guard: Guard) -> tuple[Any, Any]:
    """The model in fp32, ready to be read, and its tokenizer; no code of a repository is run.

    Raises:
        InputError: it is no masked LM, not every parameter has a finite value of its own in the file, the file has
            layers or biases that the model has not, its two matrices differ though it ties them, or the tokenizer gives
            ids that the model has not.
    """
    try:
        import transformers
    except ImportError as error:
        raise InputError(f"{folder.source}: to load it needs transformers; pip install 'tiedlm[hf]'") from error
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    source = folder.source
    cannot = f"transformers {transformers.__version__} cannot load it as a masked LM"
    guard.enter(f"building what its {CONFIG} describes", LOADING_BYTES, LOADING_CPU_SECONDS)
    with told(source, cannot, f"correct its {CONFIG}, or give a masked LM"):
        config = _configuration(folder.raw, transformers, f"{source}, {CONFIG}")
        with torch.device("meta"), module_budget(torch):
            planned = transformers.AutoModelForMaskedLM.from_config(config)  # type: ignore[no-untyped-call]
    _check_planned(planned, folder)
    enter_reading(guard)
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    with told(source, "its tokenizer cannot be used", "give the tokenizer.json of this model"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder.path, config=config, **options)
        if tokenizer.is_fast:
            turn_off_dropout(tokenizer.backend_tokenizer)
        _check_ids(tokenizer, word_embeddings(planned).weight.shape[0], source)
        _check_mask(tokenizer, folder)
    num_bytes = FP32_BYTES * folder.num_elements
    seconds = LOADING_CPU_SECONDS + num_bytes / BYTES_PER_CPU_SECOND
    guard.enter("reading its weights", LOADING_BYTES + 2 * num_bytes, of_all_threads(seconds))
    with told(source, cannot, "get its files anew, or give a masked LM"):
        options |= {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}  # we refuse
        model, account = transformers.AutoModelForMaskedLM.from_pretrained(
            folder.path, config=config, dtype=torch.float32, **options
        )
    _check_filled(model, account, folder)
    return model.eval(), tokenizer


def of_all_threads(cpu_seconds: float) -> float:
    """For PyTorch's work: each of its threads takes processor time while it waits for the others."""
    return cpu_seconds * max(1.0, torch.get_num_threads() / 2)


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
    """The tokens before and after a text, by what the tokenizer puts around its mask token."""
    mask = tokenizer.mask_token_id
    plain, framed = (tokenizer(tokenizer.mask_token, add_special_tokens=adds)["input_ids"] for adds in (False, True))
    if framed.count(mask) != 1:
        raise ValueError(f"its post-processor puts {framed.count(mask) - 1} mask tokens around a text")
    start = framed.index(mask) - plain.index(mask)
    return framed[:start], framed[start + len(plain) :]


def _configuration(raw: Mapping[str, Any], transformers: Any, place: str) -> Any:
    """Of the class of its family, in which what would run code or choose a precision is left out."""
    if raw["model_type"] not in transformers.CONFIG_MAPPING:
        raise InputError(
            f"{place}: model_type={raw['model_type']!r:.60} is not known to transformers {transformers.__version__}; "
            "give a masked LM that it knows"
        )
    for key in ("dtype", "torch_dtype"):
        name = raw.get(key)
        if name is not None and not isinstance(getattr(torch, name, None) if isinstance(name, str) else 0, torch.dtype):
            raise InputError(f"{place}: {key}={name!r:.60} is no type of numbers; write float32")
    family = transformers.CONFIG_MAPPING[raw["model_type"]]
    _check_values(raw, family(), place)
    if raw.get("is_decoder") is True:
        raise InputError(
            f"{place}: is_decoder=true, so every place would see what stands before it alone, as in a causal LM; set "
            "it to false, or give a masked LM"
        )
    if raw.get("languages") and raw.get("default_language") is None:  # X-MOD has layers for each
        raise InputError(f"{place}: says no language; set default_language to one of its languages, e.g. en_XX")
    return family.from_dict(harmless(raw))


def _check_values(raw: Mapping[str, Any], usual: Any, place: str) -> None:
    """Flags are flags, and numbers numbers of the usual kind: what is none fails late and in words of no help."""
    for key, value in raw.items():
        default = vars(usual).get(usual.attribute_map.get(key, key))  # what it has of itself, and computes by none
        kind = next((kind for of_kind, kind in KINDS.items() if type(default) is of_kind), None)
        values = value if isinstance(value, list) else [value]  # a list: one a layer
        if kind is not None and not all(inner is None or _is_like(inner, default, key) for inner in values):
            raise InputError(f"{place}: {printable(key)}={value!r:.60} is not {kind}, as {default!r} is; correct it")


def _is_like(value: Any, default: Any, key: str) -> bool:
    match default:
        case bool() | str():
            return isinstance(value, type(default))
        case int():
            return type(value) is int and (value >= min(default, 0) or (value == -1 and key.endswith("_id")))
    return type(value) in (int, float) and math.isfinite(value)


def _check_planned(planned: Any, folder: ForeignFolder) -> None:
    """The weights are enough for what the configuration describes, before memory is taken for it."""
    planned.tie_weights()
    num_parameters = sum(parameter.numel() for parameter in planned.parameters())
    if num_parameters > 2 * folder.num_elements:
        raise InputError(
            f"{folder.source}: its {CONFIG} describes a {type(planned).__name__} of {num_parameters:,} parameters, and "
            f"its weights hold {folder.num_elements:,}; give the {CONFIG} of these weights, and weights with their head"
        )


def _check_filled(model: nn.Module, account: dict[str, Any], folder: ForeignFolder) -> None:
    """Every parameter came from the file, as the loader accounts for it, and is a finite number; none is left out."""
    source = folder.source
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
    unread = _left_out(model, account["unexpected_keys"])
    if unread:
        raise InputError(
            f"{source}: {len(unread)} of its tensors have no place in {type(model).__name__} as its {CONFIG} describes "
            f"it, e.g. {_named(unread)}, and would be left out; give the {CONFIG} of these weights"
        )
    floating = {name for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    for tensor in folder.tensors.values():
        if tensor.name in floating and tensor.dtype not in FLOATS:
            raise InputError(
                f"{source}: {printable(tensor.name)} is stored as {tensor.dtype}, which is no weight of 16, 32 or 64 "
                "bits; give the model before it was quantised"
            )
    _check_tie(model, folder)
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise InputError(f"{source}: {name} has numbers that are not finite; give a checkpoint that is whole")


def _left_out(model: nn.Module, unread: Iterable[str]) -> list[str]:
    """Of the tensors that the model has not, weights and biases of its modules and of layers that it lacks.

    Those of other heads may be left out.
    """
    modules = dict(model.named_modules())
    layers = tuple(f"{name}." for name, module in modules.items() if isinstance(module, nn.ModuleList))
    parts = ((name, *name.rpartition(".")[::2]) for name in sorted(unread))
    return [
        name
        for name, module, kind in parts
        if kind in ("weight", "bias") and (module in modules or name.startswith(layers))
    ]


def _check_tie(model: Any, folder: ForeignFolder) -> None:
    """Of two matrices that the class and the configuration make one, the file does not hold two that differ."""
    stored = folder.tensors
    names = {module: f"{name}.weight" for name, module in model.named_modules()}
    table, output = (names.get(module, "") for module in (word_embeddings(model), model.get_output_embeddings()))
    tied = getattr(model, "_tied_weights_keys", None) or ()
    if not getattr(model.config, "tie_word_embeddings", False) or not any(re.search(key, output) for key in tied):
        return
    if table in stored and output in stored and compare_bits(stored[table], stored[output]) == "different":
        raise InputError(
            f"{folder.source}: is tied by its configuration, but {table} and {output} differ in its weights; set "
            "tie_word_embeddings to false in its config.json, or give the weights that belong to it"
        )


def _check_ids(tokenizer: Any, num_rows: int, source: str) -> None:
    """Every id that the tokenizer can give is a row of the embeddings, and the mask token is one that can be read."""
    mask, padding = tokenizer.mask_token_id, tokenizer.pad_token_id
    if mask is None:
        raise InputError(f"{source}: its tokenizer has no mask token, so it cannot be scored; give a masked LM")
    if mask == padding:
        raise InputError(
            f"{source}: its mask token {_short(tokenizer.mask_token)} is its padding too, so no place can be "
            "masked; give each a token of its own in tokenizer_config.json"
        )
    read = tokenizer(tokenizer.mask_token, add_special_tokens=False)["input_ids"]
    if read.count(mask) != 1:
        raise InputError(
            f"{source}: its tokenizer reads its mask token {_short(tokenizer.mask_token)} as the ids "
            f"{read[:5]} and not as {mask}; add it to the tokenizer as a special token"
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


def _check_mask(tokenizer: Any, folder: ForeignFolder) -> None:
    """The mask token is one of the tokenizer's file; the library adds one that it lacks, which no model has learned."""
    file, given = folder.path / "tokenizer.json", tokenizer.init_kwargs.get("added_tokens_decoder") or {}
    if not file.is_file() or tokenizer.mask_token in [str(token) for token in given.values()]:
        return
    if Tokenizer.from_file(str(file)).token_to_id(tokenizer.mask_token) is None:
        raise InputError(
            f"{folder.source}: its mask token {_short(tokenizer.mask_token)} is not in its tokenizer.json; name the "
            "one that the model has learned in tokenizer_config.json"
        )


def _short(token: object) -> str:
    """A name that a stranger has given."""
    return printable(str(token)[:60])


def _named(names: Sequence[str]) -> str:
    return ", ".join(printable(name) for name in names[:NUM_NAMES])
