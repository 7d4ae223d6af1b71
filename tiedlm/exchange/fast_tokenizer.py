"""Our vocabulary as a `tokenizer.json` whose ids are the model's, and the files beside it that `transformers` reads."""

from __future__ import annotations

import json
from typing import Any

from tokenizers import Tokenizer

from tiedlm.data.tokenizer import Vocabulary
from tiedlm.errors import InputError
from tiedlm.exchange.read_back import blank_before_first_part, check_read_back
from tiedlm.masked_batch import EOS, MASK, MASK_ID, PAD, PAD_ID, UNK, UNK_ID


def tokenizer_json(vocabulary: Vocabulary) -> str:
    """The tokenizer with the ids that its tokens have here, `[MASK]` in a text being what the model fills in.

    A text is put between two ends of a line, as the model has seen lines in training. What is made is read back, and
    compared with the tokenizer of training.

    Raises:
        InputError: no tokenizer of this kind reads a text, or what stands beside a mask, as the run did.
    """
    document = _numbered(vocabulary)
    names = special_names(vocabulary)
    document["post_processor"] = _between_ends(names[EOS], vocabulary.eos_id)
    document["truncation"] = document["padding"] = None
    if "dropout" in document["model"]:  # with which the run was not trained (`turn_off_dropout`)
        document["model"]["dropout"] = None
    blank_before_first_part(document)
    text = json.dumps(document, ensure_ascii=False)
    check_read_back(vocabulary, Tokenizer.from_str(text), names[MASK])
    return text


def _numbered(vocabulary: Vocabulary) -> dict[str, Any]:
    """The tokenizer, each of its tokens with its id here.

    Every added token is one of the model's own too: to others the library gives the next free ids, whatever stands in
    the file (`tokenizers`, added_vocabulary.rs, add_tokens).
    """
    document: dict[str, Any] = json.loads(vocabulary.text)
    ids = _new_ids(vocabulary)
    names = special_names(vocabulary)
    kept = (entry for entry in document["added_tokens"] if entry["id"] in ids)
    added = {entry["content"]: entry | {"id": ids[entry["id"]]} for entry in kept}
    for role, id_here in _ids_here(vocabulary).items():
        added[names[role]] = _added_token(names[role], id_here, takes_blank=role == MASK)
    document["added_tokens"] = sorted(added.values(), key=lambda entry: entry["id"])
    model, of_added = document["model"], {content: entry["id"] for content, entry in added.items()}
    match model.get("vocab"):
        case dict() as tokens:
            model["vocab"] = {token: ids[old] for token, old in tokens.items() if old in ids} | of_added
        case list() as tokens:
            least = min((score for _, score in tokens), default=0.0)  # lower, it would change what [UNK] costs
            scored = {new: [content, least] for content, new in of_added.items()}
            scored |= {ids[old]: token for old, token in enumerate(tokens) if old in ids}
            model["vocab"], model["unk_id"] = [token for _, token in sorted(scored.items())], UNK_ID
        case _:
            raise InputError(f"a tokenizer of kind {model.get('type')} cannot be exported")
    return document


def model_tokenizer(vocabulary: Vocabulary) -> Tokenizer:
    """The same, ready to encode."""
    return Tokenizer.from_str(tokenizer_json(vocabulary))


def special_names(vocabulary: Vocabulary) -> dict[str, str]:
    """How each of our special tokens is called in this vocabulary: its own name where it has one, else ours."""
    tokens = {role: vocabulary.tokenizer.id_to_token(own_id) for role, own_id in vocabulary.roles.items()}
    return {role: tokens.get(role) or role for role in (PAD, MASK, UNK, EOS)}


def tokenizer_config(vocabulary: Vocabulary, max_position_embeddings: int) -> dict[str, Any]:
    """`tokenizer_config.json`. No `token_type_ids`: ModernBERT has no segments and would refuse them."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special_tokens_map(vocabulary),
        "model_max_length": max_position_embeddings,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
    }


def special_tokens_map(vocabulary: Vocabulary) -> dict[str, str]:
    """`special_tokens_map.json`; the end of a line is what others call the beginning and the end of a text."""
    names = special_names(vocabulary)
    ends = dict.fromkeys(("bos_token", "cls_token", "eos_token", "sep_token"), names[EOS])
    return {"mask_token": names[MASK], "pad_token": names[PAD], "unk_token": names[UNK], **ends}


def _ids_here(vocabulary: Vocabulary) -> dict[str, int]:
    return {PAD: PAD_ID, MASK: MASK_ID, UNK: UNK_ID, EOS: vocabulary.eos_id}


def _new_ids(vocabulary: Vocabulary) -> dict[int, int]:
    """The tokenizer's own id of each token → the id here; two tokens that are `[UNK]` here keep only its own."""
    theirs = {old: int(new) for old, new in enumerate(vocabulary.ids) if new != UNK_ID}
    here = _ids_here(vocabulary)
    return theirs | {old: here[role] for role, old in vocabulary.roles.items()}


def _added_token(content: str, id_here: int, takes_blank: bool) -> dict[str, Any]:
    """`takes_blank`: the blank before it is part of it, as in RoBERTa's, or it would be a token of its own."""
    flags = {"single_word": False, "lstrip": takes_blank, "rstrip": False, "normalized": False, "special": True}
    return {"id": id_here, "content": content, **flags}


def _between_ends(eos: str, eos_id: int) -> dict[str, Any]:
    end = {"SpecialToken": {"id": eos, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B"))
    return {
        "type": "TemplateProcessing",
        "single": [end, first, end],
        "pair": [end, first, end, second, end],
        "special_tokens": {eos: {"id": eos, "ids": [eos_id], "tokens": [eos]}},
    }
