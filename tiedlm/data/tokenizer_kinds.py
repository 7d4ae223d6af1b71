"""What a file is that is given as a tokenizer and is no `tokenizer.json`; and whether a tokenizer leaves text out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from tiedlm.data.sources.unpacking import packing_of, pointer_of

NEEDED = (
    "give a tokenizer.json, which AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) of transformers writes"
)
OF_OTHER_FORMATS = {  # beginnings and suffixes
    r"#version": "a list of merges (merges.txt)",
    r".{8}\{": "a file of weights (safetensors)",
    r"\n[\0-\x40]\n[\0-\x3c]": "a SentencePiece model",
    r"[A-Za-z0-9+/]+=* \d+\n": "a tiktoken model",
}
OF_SUFFIXES = {
    ".safetensors": "a file of weights (safetensors)",
    ".model": "a SentencePiece model",
    ".spm": "a SentencePiece model",
}
OF_KEYS = {  # of other JSON files that lie beside a tokenizer
    "tokenizer_class": "a tokenizer_config.json",
    "model_type": "the config.json of a model",
    "architectures": "the config.json of a model",
}
PROBED = "[characters without a token]"


def what_is_wrong(path: Path, content: bytes) -> str | None:
    """What a file is that is clearly no `tokenizer.json`, and what to do, to be said after its name."""
    if pointer := pointer_of(content):
        return pointer
    if packing := packing_of(content):
        return f"is compressed by {packing}; unpack it"
    other = _other_format(path, content)
    return f"is {other}; {NEEDED}" if other else None


def _other_format(path: Path, content: bytes) -> str | None:
    if path.suffix.lower() in OF_SUFFIXES:
        return OF_SUFFIXES[path.suffix.lower()]
    beginning = content[:200].decode("latin-1")
    for begins, name in OF_OTHER_FORMATS.items():
        if not beginning.startswith("{") and re.match(begins, beginning, re.DOTALL):
            return name
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        lines = content.splitlines()
        is_list = len(lines) > 1 and not beginning.startswith("{") and all(len(line.split()) <= 1 for line in lines)
        return "a list of tokens (vocab.txt)" if is_list else None
    if not isinstance(value, dict) or isinstance(value.get("model"), dict):
        return None
    if value and all(isinstance(number, int) for number in value.values()):
        return "a list of tokens (vocab.json)"
    return next((name for key, name in OF_KEYS.items() if key in value), None)


def turn_off_dropout(tokenizer: Tokenizer) -> None:
    """From now on a text is the same tokens each time; BPE may leave out merges at random."""
    if isinstance(tokenizer.model, models.BPE):
        tokenizer.model.dropout = None


def dropping(tokenizer: Tokenizer) -> Tokenizer | None:
    """None, unless a tokenizer leaves out characters that it does not know; else one that has `PROBED` in their place.

    BPE without an unknown token does, unless each byte has a token. Where nothing marks their place, the offsets of the
    library are wrong, so that they cannot be found by what the tokens hold.
    """
    document: dict[str, Any] = json.loads(tokenizer.to_str())
    model = document["model"]
    if model["type"] != "BPE" or model["unk_token"] is not None or _knows_each_byte(document):
        return None
    model["vocab"][PROBED] = max(model["vocab"].values(), default=-1) + 1
    model["unk_token"], model["fuse_unk"] = PROBED, False
    document["added_tokens"] = [token for token in document["added_tokens"] if not token["special"]]
    document["post_processor"] = document["truncation"] = document["padding"] = None
    probe = Tokenizer.from_str(json.dumps(document))
    probe.encode_special_tokens = tokenizer.encode_special_tokens
    return probe


def _knows_each_byte(document: dict[str, Any]) -> bool:
    tokens = set(document["model"]["vocab"])
    if document["model"]["byte_fallback"] and tokens.issuperset(f"<0x{byte:02X}>" for byte in range(256)):
        return True
    by_bytes = '"type": "ByteLevel"' in json.dumps([document["pre_tokenizer"], document["normalizer"]])
    return by_bytes and tokens.issuperset(pre_tokenizers.ByteLevel.alphabet())


def bytes_left_out(probe: Tokenizer, texts: list[str]) -> int:
    """Of the characters that a tokenizer leaves out, by its `dropping`."""
    mark, left_out = probe.token_to_id(PROBED), 0
    for text, encoding in zip(texts, probe.encode_batch(texts, add_special_tokens=False), strict=True):
        if mark in encoding.ids:
            places = {place for token, place in zip(encoding.ids, encoding.offsets, strict=True) if token == mark}
            left_out += sum(len(text[start:end].encode()) for start, end in places)
    return left_out
