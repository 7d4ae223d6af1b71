"""What a checkpoint holds, against `transformers` and `safetensors`, and against files that lie."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from tests.counting.test_families import TIED_BY_CLASS, UNTIED_DEFAULT, built, torch, transformers
from tiedlm.api.count import Answer, count_params
from tiedlm.counting.closed_forms.decoders import DECODERS
from tiedlm.counting.closed_forms.families import FAMILIES
from tiedlm.counting.closed_forms.masked_lms import ALIAS
from tiedlm.counting.closed_forms.parameters import count_config
from tiedlm.counting.stored.safetensors_header import read_header
from tiedlm.counting.stored.tie_verdict import CheckpointCount
from tiedlm.counting.stored.weight_files import read_index
from tiedlm.errors import InputError

LIBRARY = f"transformers {transformers.__version__}"
TINY = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 40,
    "vocab_size": 60,
    "max_position_embeddings": 20,
    "embedding_size": 12,
}
TINY_BY_FAMILY = {
    "distilbert": {"dim": 24, "n_layers": 2, "n_heads": 2, "hidden_dim": 40},
    "gpt2": {"n_embd": 24, "n_layer": 2, "n_head": 2, "n_positions": 20},
    "t5": {"d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_heads": 2},
    "opt": {"word_embed_proj_dim": 12, "ffn_dim": 40},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 5,
        "pos_att_type": "p2c|c2p",
        "norm_rel_ebd": "layer_norm",
    },
}
TINY_BY_FAMILY["mt5"] = TINY_BY_FAMILY["t5"]


def tiny(model_type: str, tied: bool = True) -> dict[str, Any]:
    """A small configuration of one family."""
    own = {"num_key_value_heads": 1, "head_dim": 12} if model_type in DECODERS else {}
    return {"model_type": model_type, **TINY, **own, **TINY_BY_FAMILY.get(model_type, {}), "tie_word_embeddings": tied}


def save(raw: dict[str, Any], folder: Path, **options: Any) -> Answer:
    """A model of `transformers` with random values, saved by it, and our answer for the folder."""
    torch.manual_seed(0)
    model = built(raw, count_config("tiny", raw).architecture or "", device="cpu")
    for name, parameter in model.named_parameters():
        if not name.endswith("bias"):  # which would set BERT's two names of one bias apart
            torch.nn.init.normal_(parameter)
    model.save_pretrained(folder, **options)
    return count_params(str(folder))


def checkpoint_of(answer: Answer) -> CheckpointCount:
    """The part that the file decided."""
    assert answer.checkpoint is not None
    return answer.checkpoint


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", list(FAMILIES))
def test_files_of_transformers_hold_what_the_closed_form_says(model_type: str, tied: bool, tmp_path: Path) -> None:
    raw = tiny(model_type, tied)
    planned = count_config("tiny", raw)
    answer = save(raw, tmp_path)
    stored_tied = tied or model_type in TIED_BY_CLASS
    assert answer.count.tie_word_embeddings == stored_tied
    assert checkpoint_of(answer).copies == ("one" if stored_tied else "different")
    # The untied class has a second bias of the head, which it never reads and yet stores.
    second_bias = planned.vocab_size if ALIAS in planned.other_totals and not stored_tied else 0
    expected = {"decoder_weight": 0} if stored_tied else {}
    assert answer.count.groups == planned.groups | expected | {
        "decoder_bias": planned.groups["decoder_bias"] + second_bias
    }
    assert answer.basis == "class"
    assert answer.notes == (f"as many parameters as {planned.architecture} of {LIBRARY}",)
    assert checkpoint_of(answer).mismatch is None


def rewritten(folder: Path, change: Any, **config: Any) -> Answer:
    """Change the tensors, and the keys of `config.json`, of a saved model."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return count_params(str(folder))


INPUT, OUTPUT = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"


def test_a_tied_model_saved_twice_is_counted_once_and_said(tmp_path: Path) -> None:
    once = save(tiny("bert"), tmp_path)
    twice = rewritten(tmp_path, lambda tensors: tensors.update({OUTPUT: tensors[INPUT].clone()}))
    assert twice.count.groups == once.count.groups
    assert twice.count.tie_word_embeddings
    assert checkpoint_of(twice).copies == "identical"
    assert checkpoint_of(twice).duplicates == {OUTPUT: 60 * 24}
    assert checkpoint_of(twice).mismatch is None


@pytest.mark.parametrize("place", [0, 700, -1])
def test_two_matrices_that_differ_in_one_number_are_two(place: int, tmp_path: Path) -> None:
    save(tiny("bert"), tmp_path)

    def untie(tensors: dict[str, Any]) -> None:
        tensors[OUTPUT] = tensors[INPUT].clone()
        tensors[OUTPUT].view(-1)[place] += 1

    answer = rewritten(tmp_path, untie)
    assert checkpoint_of(answer).copies == "different"
    assert "says tied, but the file holds two different matrices" in (checkpoint_of(answer).mismatch or "")
    assert INPUT in (checkpoint_of(answer).mismatch or "")
    assert answer.count.groups["decoder_weight"] == 60 * 24


def test_the_same_bytes_of_another_type_are_another_matrix(tmp_path: Path) -> None:
    save(tiny("bert"), tmp_path)

    def retype(tensors: dict[str, Any]) -> None:
        tensors[INPUT] = tensors[INPUT].to(torch.float16)
        tensors[OUTPUT] = tensors[INPUT].view(torch.bfloat16).clone()

    assert checkpoint_of(rewritten(tmp_path, retype)).copies == "different"


def test_an_untied_configuration_without_an_output_matrix_is_a_mismatch(tmp_path: Path) -> None:
    save(tiny("llama", tied=False), tmp_path)
    answer = rewritten(tmp_path, lambda tensors: tensors.pop("lm_head.weight"))
    assert "says untied" in (checkpoint_of(answer).mismatch or "")


def test_a_bare_encoder_has_no_tie_to_break(tmp_path: Path) -> None:
    save(tiny("llama", tied=False), tmp_path)
    answer = rewritten(tmp_path, lambda tensors: tensors.pop("lm_head.weight"), architectures=["LlamaModel"])
    assert checkpoint_of(answer).mismatch is None
    assert answer.count.no_tie == "no language-model head, so the tie does not apply"
    assert answer.notes == (f"as many parameters as LlamaModel of {LIBRARY}",)


@pytest.mark.parametrize("tied", [True, False])
def test_two_equal_matrices_are_one_only_where_the_configuration_ties_them(tied: bool, tmp_path: Path) -> None:
    save(tiny("llama", tied=False), tmp_path)
    copy = "lm_head.weight", "model.embed_tokens.weight"
    answer = rewritten(
        tmp_path, lambda tensors: tensors.update({copy[0]: tensors[copy[1]].clone()}), tie_word_embeddings=tied
    )
    assert answer.count.tie_word_embeddings == tied
    assert answer.count.groups["decoder_weight"] == (0 if tied else 60 * 24)
    assert any("still bit for bit the same" in note for note in answer.notes) != tied


def renamed(names: dict[str, str]) -> Any:
    """A change that gives tensors other names."""

    def change(tensors: dict[str, Any]) -> None:
        for old, new in names.items():
            tensors[new] = tensors.pop(old)

    return change


@pytest.mark.parametrize(
    ("names", "copies", "tied"),
    [
        ({"model.embed_tokens.weight": "tok_embeddings.weight", "lm_head.weight": "output.weight"}, "different", False),
        ({"model.embed_tokens.weight": "backbone.embeddings.weight"}, "different", False),
        ({"lm_head.weight": "to_words.weight"}, "different", False),
        ({"lm_head.weight": "layers.9.linear.weight"}, "different", False),
    ],
)
def test_names_of_others_give_no_false_alarm(
    names: dict[str, str], copies: str, tied: bool | None, tmp_path: Path
) -> None:
    """Meta's and Mistral's own names, Mamba's, and two that nobody knows (Phi-1's), which their shape tells."""
    save(tiny("llama", tied=False), tmp_path)
    answer = rewritten(tmp_path, renamed(names))
    assert (checkpoint_of(answer).copies, answer.count.tie_word_embeddings) == (copies, tied)
    assert checkpoint_of(answer).mismatch is None


def test_two_matrices_of_unknown_names_leave_the_tie_open(tmp_path: Path) -> None:
    save(tiny("llama"), tmp_path)
    answer = rewritten(
        tmp_path,
        lambda tensors: tensors.update(
            {f"to_words_{n}.weight": tensors["model.embed_tokens.weight"] + n for n in (1, 2)}
        ),
    )
    assert answer.count.tie_word_embeddings is None
    assert checkpoint_of(answer).mismatch is None
    assert checkpoint_of(answer).pair.may_be_output == ("to_words_1.weight", "to_words_2.weight")


def test_a_matrix_of_unknown_name_is_compared_by_its_shape(tmp_path: Path) -> None:
    save(tiny("llama"), tmp_path)
    answer = rewritten(
        tmp_path, lambda tensors: tensors.update({"to_words.weight": tensors["model.embed_tokens.weight"] + 1})
    )
    assert answer.count.tie_word_embeddings is False
    assert "to_words.weight" in (checkpoint_of(answer).mismatch or "")


@pytest.mark.parametrize("shape", [(60 * 24,), (1, 60, 24), (0, 24)])
def test_embeddings_that_are_no_matrix_cost_a_sentence(shape: tuple[int, ...], tmp_path: Path) -> None:
    save(tiny("llama"), tmp_path)
    with pytest.raises(InputError, match="no tensor is known by its name as a word-embedding matrix"):
        rewritten(tmp_path, lambda tensors: tensors.update({"model.embed_tokens.weight": torch.zeros(shape)}))


@pytest.mark.parametrize("names", [("encoder", "decoder"), ("embedding", "fc")])
def test_an_output_of_another_width_is_found_by_its_rows(names: tuple[str, str], tmp_path: Path) -> None:
    """As of an LSTM whose states are wider than its embeddings: PyTorch's word_language_model, and lessons."""
    looks_up, output = names
    shapes = {f"{looks_up}.weight": (60, 8), f"{output}.weight": (60, 24), f"{output}.bias": (60,)}
    shapes |= {"rnn.weight_ih_l0": (96, 8), "embed_per_layer.weight": (60, 8)}
    save_file({name: torch.randn(shape) for name, shape in shapes.items()}, tmp_path / "model.safetensors")
    answer = count_params(tmp_path / "model.safetensors")
    assert (answer.count.vocab_size, answer.count.embedding_size, answer.count.output_shape) == (60, 8, (60, 24))
    assert checkpoint_of(answer).input_embedding.name == f"{looks_up}.weight"


def test_an_encoder_without_a_head_is_neither_tied_nor_untied(tmp_path: Path) -> None:
    """As every sentence encoder is stored: with a pooler, under the names of the base class."""
    save(tiny("bert"), tmp_path)

    def behead(tensors: dict[str, Any]) -> None:
        for name in [name for name in tensors if name.startswith("cls.")]:
            del tensors[name]
        tensors["bert.pooler.dense.weight"] = torch.zeros((24, 24))

    answer = rewritten(tmp_path, behead, architectures=["BertModel"])
    assert answer.count.tie_word_embeddings is None
    assert answer.count.head_flops is None
    (tmp_path / "config.json").unlink()
    assert count_params(str(tmp_path)).count.tie_word_embeddings is None


def test_quantised_weights_are_counted_by_their_configuration(tmp_path: Path) -> None:
    plain = save(tiny("llama", tied=False), tmp_path)
    name = "model.layers.0.mlp.up_proj"

    def pack(tensors: dict[str, Any]) -> None:
        del tensors[f"{name}.weight"]
        tensors[f"{name}.qweight"] = torch.zeros((3, 40), dtype=torch.int32)

    answer = rewritten(tmp_path, pack)
    assert answer.count.total == plain.count.total
    assert checkpoint_of(answer).copies == "different"
    assert "quantised" in answer.notes[-1]
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"put a config\.json beside it"):
        count_params(str(tmp_path))


@pytest.mark.parametrize("config", ["{", '{"model_type": "nosuch"}', '{"model_type": "llama", "vocab_size": -1}'])
def test_a_file_is_counted_whatever_its_configuration_is(config: str, tmp_path: Path) -> None:
    plain = save(tiny("llama", tied=False), tmp_path)
    (tmp_path / "config.json").write_text(config)
    answer = count_params(str(tmp_path))
    assert answer.count.total == plain.count.total
    assert answer.notes


def test_matrices_of_two_shapes_cannot_be_tied(tmp_path: Path) -> None:
    save(tiny("llama", tied=False), tmp_path)
    answer = rewritten(tmp_path, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(64, 24)}))
    count = answer.count
    assert count.no_tie == "cannot be tied: the embedding matrix is 60 × 24, the output matrix 64 × 24"
    assert (count.saved, count.total_tied, count.total_untied) == (0, count.total, count.total)
    assert count.groups["decoder_weight"] == 64 * 24


def test_masks_and_positions_are_named_and_not_counted(tmp_path: Path) -> None:
    """GPT-2's published file: 12 masks of 1 × 1 × 1,024 × 1,024 make 137,022,720 of 124,439,808."""
    plain = save(tiny("gpt2"), tmp_path)

    def add_buffers(tensors: dict[str, Any]) -> None:
        for layer in range(2):
            tensors[f"transformer.h.{layer}.attn.bias"] = torch.ones((1, 1, 20, 20))
            tensors[f"transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
        tensors["position_ids"] = torch.arange(20)[None]

    answer = rewritten(tmp_path, add_buffers)
    assert answer.count.groups == plain.count.groups
    assert checkpoint_of(answer).not_parameters == {
        "causal masks": 2 * 400 + 2,
        "whole numbers (positions, masks)": 20,
    }


def test_what_the_closed_form_lacks_is_named(tmp_path: Path) -> None:
    save(tiny("bert"), tmp_path)

    def add_pooler(tensors: dict[str, Any]) -> None:
        tensors["bert.pooler.dense.weight"] = torch.zeros((24, 24))
        tensors["cls.seq_relationship.weight"] = torch.zeros((2, 24))

    difference, names = rewritten(tmp_path, add_pooler).notes
    assert names == "not of the class: bert.pooler.dense.weight, cls.seq_relationship.weight"
    assert difference == f"+624 parameters against BertForMaskedLM of {LIBRARY} (pooler +576, next_sentence_head +48)"


def test_a_tied_matrix_may_be_stored_under_the_name_of_the_output(tmp_path: Path) -> None:
    plain = save(tiny("gpt2"), tmp_path)
    answer = rewritten(
        tmp_path, lambda tensors: tensors.update({"lm_head.weight": tensors.pop("transformer.wte.weight")})
    )
    assert answer.count.groups == plain.count.groups
    assert checkpoint_of(answer).mismatch is None


def test_shards_are_one_model(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = save(tiny("llama", tied=False), whole)
    answer = save(tiny("llama", tied=False), parts, max_shard_size="10KB")
    assert len(list(parts.glob("*.safetensors"))) > 1
    assert answer.count.groups == expected.count.groups
    assert checkpoint_of(answer).copies == "different"
    assert count_params(str(parts / "model.safetensors.index.json")).count.groups == expected.count.groups


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda index: index.pop("weight_map"), "has no weight_map"),
        (
            lambda index: index["weight_map"].update({"lm_head.weight": "../x.safetensors"}),
            "no .safetensors file beside it",
        ),
        (lambda index: index["weight_map"].update({"lm_head.weight": "/etc/passwd"}), "no .safetensors file beside it"),
        (lambda index: index["weight_map"].update({"lm_head.weight": "gone.safetensors"}), "cannot be read"),
        (
            lambda index: index["weight_map"].update({"lm_head.weight": "\0.safetensors"}),
            "no .safetensors file beside it",
        ),
        (lambda index: index["weight_map"].update({"lm_head.weight": "\ud800.safetensors"}), "names"),
    ],
)
def test_an_index_that_lies_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    save(tiny("llama", tied=False), tmp_path, max_shard_size="10KB")
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    with pytest.raises(InputError, match=words):
        read_index(path)


def test_a_sparse_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Two matrices of 3 GB of nothing, in a file that takes a few kB."""
    entry = {"dtype": "F32", "shape": [750_000, 1_000]}
    half = 3 * 10**9
    header = {
        "wte.weight": entry | {"data_offsets": [0, half]},
        "lm_head.weight": entry | {"data_offsets": [half, 2 * half]},
    }
    text = json.dumps(header).encode()
    with (tmp_path / "sparse.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + 2 * half)
    assert checkpoint_of(count_params(str(tmp_path / "sparse.safetensors"))).copies == "unknown"


def test_only_headers_are_read(tmp_path: Path) -> None:
    """A sparse file of a terabyte: 250,000,000 × 1,000 numbers."""
    header = {"lm_head.weight": {"dtype": "F32", "shape": [250_000_000, 1_000], "data_offsets": [0, 10**12]}}
    text = json.dumps(header).encode()
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + 10**12)
    assert count_params(str(path)).count.total == 250 * 10**9


WIDTHS = {"F32": 4, "BF16": 2, "BOOL": 1, "I64": 8, "F8_E4M3": 1, "C64": 8}
DAMAGE = st.sampled_from(
    ["none", "none", "none", "entry", "extra key", "metadata", "suffix", "padding", "claim", "payload", "cut", "gap"]
)
ODD_ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F4", "BOOL", "F31", 3]),
        "shape": st.lists(st.sampled_from([0, 1, 2, 3, -1, 1.5, 2**63, "2", True]), max_size=2),
        "data_offsets": st.lists(st.sampled_from([0, 1, 4, 8, -4, 2**64]), min_size=1, max_size=3),
    }
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A sound file of up to four tensors, or one with a single damage."""
    header: dict[str, Any] = {}
    end = 0
    for place in range(draw(st.integers(0, 4))):
        dtype = draw(st.sampled_from(list(WIDTHS)))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        num_bytes = WIDTHS[dtype] * math.prod(shape)
        header[f"tensor{place}"] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + num_bytes]}
        end += num_bytes
    header = dict(draw(st.permutations(list(header.items()))))
    if draw(st.booleans()):
        header["__metadata__"] = {"format": "pt"}
    damage = draw(DAMAGE)
    if damage == "entry":
        header["odd"] = draw(ODD_ENTRIES)
    if damage == "extra key":
        header["odd"] = {"dtype": "F32", "shape": [0], "data_offsets": [end, end], "strides": [1]}
    if damage == "metadata":
        header["__metadata__"] = draw(st.sampled_from([{"a": 1}, [], "text", {"a": None}]))
    if damage == "gap" and header:
        header["odd"] = {"dtype": "BOOL", "shape": [1], "data_offsets": [end + 1, end + 2]}
        end += 2
    text = json.dumps(header).encode()
    text += {"suffix": draw(st.sampled_from([b"x", b"\xff", b"{}"])), "padding": b"   "}.get(damage, b"")
    claim = len(text) + (draw(st.sampled_from([1, -1, 2**62])) if damage == "claim" else 0)
    payload = bytes(max(0, end + (draw(st.sampled_from([1, -1])) if damage == "payload" else 0)))
    whole = struct.pack("<Q", claim) + text + payload
    return whole[: draw(st.integers(0, len(whole)))] if damage == "cut" else whole


@settings(deadline=None, max_examples=400, derandomize=True, suppress_health_check=list(HealthCheck))
@given(content=files())
def test_a_header_is_accepted_exactly_when_safetensors_accepts_it(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.mktemp("header") / "file.safetensors"
    path.write_bytes(content)
    theirs: dict[str, tuple[int, ...]] | None = None
    with contextlib.suppress(SafetensorError), safe_open(path, framework="pt") as file:
        theirs = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    ours: dict[str, tuple[int, ...]] | None = None
    with contextlib.suppress(InputError):
        ours = {tensor.name: tensor.shape for tensor in read_header(path)[0]}
    event("accepted" if theirs is not None else "refused")
    assert ours == theirs


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    entry = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    text = f"{{{entry},{entry}}}".encode()
    path = tmp_path / "twice.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(InputError, match="a key occurs twice"):
        read_header(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "BOOL", "shape": [True], "data_offsets": [0, 1]},
        {"dtype": "BOOL", "shape": [1], "data_offsets": [False, 1]},
        {"dtype": "BOOL", "shape": [1.0], "data_offsets": [0, 1]},
        {"dtype": "BOOL", "shape": "1", "data_offsets": [0, 1]},
        {"dtype": "BOOL", "shape": [-1, -1], "data_offsets": [0, 1]},
        {"dtype": "BOOL", "shape": [2**63, 0], "data_offsets": [0, 0]},
    ],
)
def test_sizes_are_whole_numbers_and_nothing_else(entry: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps({"a": entry}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * entry["data_offsets"][1])
    with pytest.raises(InputError, match="no whole numbers"):
        read_header(path)


def test_a_file_that_is_no_language_model_says_what_it_holds(tmp_path: Path) -> None:
    save_file({"vision.patch.weight": torch.zeros(3, 4)}, tmp_path / "vision.safetensors")
    with pytest.raises(InputError, match="holds 12 parameters, but no tensor is known"):
        count_params(str(tmp_path / "vision.safetensors"))


def test_the_default_of_the_class_decides_where_the_configuration_is_silent(tmp_path: Path) -> None:
    for model_type in ("llama", "gemma"):
        folder = tmp_path / model_type
        raw = tiny(model_type)
        del raw["tie_word_embeddings"]
        answer = save(raw, folder)
        assert answer.count.tie_word_embeddings == (model_type not in UNTIED_DEFAULT)
