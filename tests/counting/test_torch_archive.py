"""`pytorch_model.bin` by its directory and its instructions: against torch's own reader, and files from strangers."""

from __future__ import annotations

import argparse
import collections
import io
import itertools
import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from tests.counting.test_families import torch
from tests.counting.test_stored_weights import save, tiny
from tiedlm.api.count import count_params
from tiedlm.counting.stored.pickle_words import MAX_INSTRUCTIONS
from tiedlm.counting.stored.safetensors_header import read_header
from tiedlm.counting.stored.torch_archive import MAX_DIRECTORY_BYTES, MAX_PICKLE_BYTES, read_archive
from tiedlm.errors import InputError


def saved(path: Path, tensors: Any, **options: Any) -> Path:
    """By `torch.save`."""
    torch.save(tensors, path, **options)
    return path


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", ["bert", "gpt2", "llama"])
def test_a_pickled_model_is_counted_as_its_safetensors_are(model_type: str, tied: bool, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    expected = save(tiny(model_type, tied=tied), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    path = saved(tmp_path / "pytorch_model.bin", {name: torch.nn.Parameter(value) for name, value in tensors.items()})
    for config in (True, False):
        if not config:
            (tmp_path / "config.json").unlink()
        answer = count_params(path)
        # By names alone, BERT's two biases of an untied head are one: both are 0 at the start.
        second_bias = 60 if model_type == "bert" and not tied and not config else 0
        assert answer.count.total == expected.count.total - second_bias
        assert answer.checkpoint is not None
        assert expected.checkpoint is not None
        assert answer.checkpoint.copies == expected.checkpoint.copies
        assert answer.checkpoint.num_bytes == expected.checkpoint.num_bytes
    (tmp_path / "model.safetensors").unlink()
    assert count_params(tmp_path).count.total == expected.count.total - second_bias


@pytest.mark.parametrize("place", [None, "state_dict", "model"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_one_matrix_under_two_names_is_a_tie(place: str | None, protocol: int, tmp_path: Path) -> None:
    embedding, head = torch.nn.Embedding(60, 8), torch.nn.Linear(8, 60)
    head.weight = embedding.weight
    model = torch.nn.ModuleDict({"embed_tokens": embedding, "lm_head": head})
    table = model.state_dict() if place is None else {"epoch": 3, place: model.state_dict()}
    count = count_params(saved(tmp_path / "model.pt", table, pickle_protocol=protocol)).count
    assert (count.total, count.tie_word_embeddings) == (60 * 8 + 60, True)


def test_tensors_and_their_bytes_are_those_that_torch_reads(tmp_path: Path) -> None:
    whole = torch.randn(6, 10)
    tensors = {
        "whole": whole,
        "rows": whole[2:4],
        "turned": whole.T,
        "half": torch.randn(3, 4).half(),
        "bfloat": torch.randn(5).bfloat16(),
        "whole numbers": torch.arange(7),
        "one": torch.tensor(2.5),
        "none": torch.zeros(0, 4),
    }
    path = saved(tmp_path / "model.bin", tensors)
    found, aliases = read_archive(path)
    assert aliases == {}
    assert {tensor.name: tensor.shape for tensor in found} == {name: tuple(t.shape) for name, t in tensors.items()}
    for tensor in found:
        if tensor.name == "turned":
            assert tensor.file is None
            continue
        content = path.read_bytes()[tensor.offset : tensor.offset + tensor.num_bytes]
        expected = tensors[tensor.name].contiguous().reshape(-1).view(torch.uint8)
        assert content == bytes(expected.tolist()), tensor.name


@pytest.mark.parametrize(
    "dtype", ["float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "uint16", "uint32", "complex64", "float16"]
)
def test_newer_types_are_read_as_torch_reads_them(dtype: str, tmp_path: Path) -> None:
    """A float8 tensor is on a storage of bytes, and its type is told with the tensor (torch.storage, _new_dtypes)."""
    rows = torch.arange(1, 13).reshape(4, 3).to(getattr(torch, dtype))
    path = saved(tmp_path / "model.bin", {"all": rows, "last": rows[2:], "again": rows})
    found, aliases = read_archive(path)
    assert aliases == {"again": "all"}
    safe = tmp_path / "model.safetensors"
    save_file({"all": rows, "last": rows[2:].clone()}, safe)
    expected = {tensor.name: tensor for tensor in read_header(safe)[0]}
    for tensor in found:
        same = expected[tensor.name]
        assert (tensor.dtype, tensor.shape) == (same.dtype, same.shape)
        begin = same.offset
        content = safe.read_bytes()[begin : begin + same.num_bytes]
        assert path.read_bytes()[tensor.offset : tensor.offset + tensor.num_bytes] == content


def test_what_surrounds_tensors_in_checkpoints_is_passed_over(tmp_path: Path) -> None:
    """Attributes of tensors, versions of modules, numbers of numpy, arguments of fairseq, storages and classes."""
    parameter, plain = torch.nn.Parameter(torch.ones(7, 4)), torch.ones(3)
    parameter.tensor_model_parallel = plain.own = True  # as Megatron-LM sets it
    table = collections.OrderedDict({"wte.weight": parameter, "ln_f.weight": plain})
    table["ln_f.bias"] = torch.nn.Buffer(torch.ones(3))
    table._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]
    others = {
        "args": argparse.Namespace(lr=np.float32(1e-3), seeds=np.arange(3), dropout=0.1),
        "loss": np.float64(3.5),
        "step": np.int64(7),
        "storage": torch.zeros(2).untyped_storage(),
        "best_val_loss": torch.tensor(3.5),  # of nanoGPT's train.py
        "complex": torch.zeros(2, dtype=torch.complex64),
        "counts": collections.defaultdict(int, {"a": 1}),
    }
    for protocol in (2, 4, 5):
        path = saved(tmp_path / "model.pt", others | {"model": table}, pickle_protocol=protocol)
        found, aliases = read_archive(path)
        assert ({tensor.name for tensor in found}, aliases) == ({"wte.weight", "ln_f.weight", "ln_f.bias"}, {})
        assert all(tensor.dtype == "F32" for tensor in found)


OTHER_TENSORS = {
    "quantised tensors, 'torch._utils._rebuild_qtensor'": lambda: torch.quantize_per_tensor(
        torch.zeros(7, 4), 1.0, 0, torch.qint8
    ),
    "sparse tensors, 'torch._utils._rebuild_sparse_tensor'": lambda: torch.eye(7, 4).to_sparse(),
    "tensors of the meta device, which have no numbers": lambda: torch.zeros(7, 4, device="meta"),
    "on 'torch.ComplexDoubleStorage', a type that is not read": lambda: torch.zeros(7, 4, dtype=torch.complex128),
    "is of 'torch.complex32', a type that is not read": lambda: torch.zeros(7, 4).to(torch.complex32),
}


@pytest.mark.filterwarnings("ignore")  # torch's, of complex32 and of its quantisation
@pytest.mark.parametrize("words", OTHER_TENSORS)
def test_tensors_of_other_kinds_are_named(words: str, tmp_path: Path) -> None:
    table = {"ln_f.weight": torch.ones(3), "wte.weight": OTHER_TENSORS[words]()}
    with pytest.raises(InputError) as refused:
        count_params(saved(tmp_path / "model.pt", table))
    assert words in str(refused.value)


@pytest.mark.filterwarnings("ignore")  # torch's, of its quantisation
@pytest.mark.parametrize("whole", [True, False])
def test_a_model_whose_layers_were_quantised_is_refused(whole: bool, tmp_path: Path) -> None:
    """Its weights are in a tuple of the table, or in an object of C++ (torch.ao: LinearPackedParams)."""
    model = torch.nn.Sequential(torch.nn.Embedding(60, 8), torch.nn.Linear(8, 60))
    quantised = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear})
    top = quantised if whole else quantised.state_dict()
    words = "packed weights of quantised layers" if whole else "quantised tensors"
    head = {"head": quantised[1]} if whole else {"head": quantised[1].state_dict()}
    for held in (top, {"model": top}, {"model": model.state_dict()} | head):
        with pytest.raises(InputError, match=words):
            count_params(saved(tmp_path / "model.pt", held))


AMONG_WEIGHTS = {
    "a list": ([torch.ones(3, 4)], "lists of tensors"),
    "lists in lists": ([[1, (torch.ones(3, 4),)]], "lists of tensors"),
    "tables in a list": ([{"weight": torch.ones(3, 4)}], "lists of tensors"),
    "an array": (np.ones((3, 4)), "arrays of numpy"),
}


@pytest.mark.parametrize("place", [None, "model", "net"])
@pytest.mark.parametrize("case", AMONG_WEIGHTS)
def test_what_may_be_a_weight_and_is_no_plain_tensor_is_named(case: str, place: str | None, tmp_path: Path) -> None:
    value, words = AMONG_WEIGHTS[case]
    table = {"wte.weight": torch.zeros(7, 4), "odd": value}
    for protocol in (2, 4, 5):
        path = saved(tmp_path / "model.pt", table if place is None else {place: table}, pickle_protocol=protocol)
        with pytest.raises(InputError, match=words):
            count_params(path)


def of_parts() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Checkpoints of libraries, and the weights that each holds by name."""
    body = {"embed_tokens.weight": torch.randn(60, 8), "layers.0.weight": torch.randn(8, 8)}
    head = {"weight": torch.randn(60, 8), "bias": torch.randn(60)}
    generator = body | {f"generator.{name}": value for name, value in head.items()}
    lm_head = body | {f"lm_head.{name}": value for name, value in head.items()}
    average = {name: value + 1 for name, value in body.items()}
    parameters = [torch.nn.Parameter(value) for value in body.values()]
    optimizer = torch.optim.AdamW(parameters)
    sum(parameter.sum() for parameter in parameters).backward()
    optimizer.step()
    state = {
        "optim": optimizer.state_dict(),
        "en_opt": optimizer.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
    }
    state |= {"rng": {"torch": torch.get_rng_state(), "numpy": np.ones(3)}, "rng_state": torch.get_rng_state()}
    state |= {"losses": torch.ones(9), "callbacks": {"best": {"score": torch.tensor(1.0)}}, "epoch": 3}
    return {
        "OpenNMT-py": ({"model": body, "generator": head, "vocab": {"src": ["a"]}} | state, generator),
        "a head of its own": ({"state_dict": body, "lm_head": head} | state, lm_head),
        "a tensor of its own": (
            {"model_state_dict": body, "lm_head.weight": head["weight"]} | state,
            body | {"lm_head.weight": head["weight"]},
        ),
        "averages": ({"model": body, "model_ema": average, "emaState": average, "best_state": average}, body),
        "twice": ({"model": body, "state_dict": average}, body),
        "the same": ({"model": body, "net": dict(body)}, body),
        "Megatron-LM": (
            {"model": {"lm": {"embedding": {"weight": head["weight"]}, "encoder": body}}, "args": argparse.Namespace()},
            {"lm.embedding.weight": head["weight"]} | {f"lm.encoder.{name}": value for name, value in body.items()},
        ),
        "parts": (
            {"encoder": body, "lm_head": head, "embedding": {"weight": body["embed_tokens.weight"]}} | state,
            {f"encoder.{name}": value for name, value in body.items()}
            | {f"lm_head.{name}": value for name, value in head.items()}
            | {"embedding.weight": body["embed_tokens.weight"]},
        ),
        "no places": (body | {"lm_head": head}, lm_head),
    }


@pytest.mark.parametrize("library", of_parts())
def test_all_parts_of_a_checkpoint_are_its_model(library: str, tmp_path: Path) -> None:
    checkpoint, expected = of_parts()[library]
    path = saved(tmp_path / "model.pt", checkpoint)
    found, aliases = read_archive(path)
    shapes = {tensor.name: tensor.shape for tensor in found}
    assert shapes | {name: shapes[kept] for name, kept in aliases.items()} == {
        name: tuple(value.shape) for name, value in expected.items()
    }
    distinct = {value.data_ptr(): value.numel() for value in expected.values()}
    assert count_params(path).count.total == sum(distinct.values())


def test_a_part_that_nobody_can_tell_is_named(tmp_path: Path) -> None:
    body = {"wte.weight": torch.zeros(7, 4), "ln_f.weight": torch.zeros(4)}
    again = {name: value + 1 for name, value in body.items()}
    for beside, words in [
        ({"second": again}, "its tables 'model' and 'second' have the same names and shapes"),
        ({"projection": torch.ones(3, 4)}, "it holds 'projection' beside its tables of weights"),
        ({"head": {"proj.weight": np.ones((7, 4))}}, "arrays of numpy"),
        ({"ln_f.weight": torch.ones(4)}, "it holds two tensors called 'ln_f.weight'"),
        ({"experts": [again]}, "it holds 'experts' beside its tables of weights"),
        ({"state_dict": {"wte.weight": torch.zeros(2, 2)}}, "it holds two tensors called 'wte.weight'"),
    ]:
        with pytest.raises(InputError, match=words):
            count_params(saved(tmp_path / "model.pt", {"model": body} | beside))


def test_tables_within_each_other_without_end_cost_a_sentence(tmp_path: Path) -> None:
    circle: dict[str, Any] = {"wte.weight": torch.zeros(7, 4)}
    circle |= dict.fromkeys(map(str, range(100)), circle)
    for key in circle.keys() - {"wte.weight"}:
        circle[key] = circle
    powers: list[dict[str, Any]] = [{} for _ in range(40)]
    for outer, inner in itertools.pairwise(powers):
        outer |= {"a": inner, "b": inner}
    lists: list[Any] = [torch.zeros(7, 4)]
    lists.append(lists)
    for table, words in ((circle, "without end"), (powers[0], "without end"), ({"odd": lists}, "lists of tensors")):
        with pytest.raises(InputError, match=words):
            count_params(saved(tmp_path / "model.pt", {"model": table}))


@pytest.mark.parametrize("shared", ["target", "source and target", "all"])
def test_the_table_that_has_two_roles_is_the_one_of_the_tie(shared: str, tmp_path: Path) -> None:
    """As in the Annotated Transformer, whose names no table here has: `src_embed.0.lut`, `generator.proj`."""
    source, target, output = (torch.nn.Embedding(60, 8).weight.detach() for _ in range(3))
    if shared != "target":
        source = target
    if shared != "source and target":
        output = target
    table = {"src_embed.0.lut.weight": source, "tgt_embed.0.lut.weight": target, "generator.proj.weight": output}
    table |= {"src_embed.1.pe": torch.ones(1, 50, 8), "tgt_embed.1.pe": torch.ones(1, 50, 8)}
    answer = count_params(saved(tmp_path / "model.pt", table))
    assert answer.count.total == (1 if shared == "all" else 2) * 60 * 8
    assert answer.count.tie_word_embeddings == (shared != "source and target")


def test_the_decoders_table_is_tied_though_the_encoder_has_its_own(tmp_path: Path) -> None:
    """fairseq's --share-decoder-input-output-embed."""
    encoder, decoder = torch.randn(60, 8), torch.randn(60, 8)
    table = {"encoder.embed_tokens.weight": encoder, "decoder.embed_tokens.weight": decoder}
    table |= {"decoder.output_projection.weight": decoder, "encoder.version": torch.tensor([3.0])}
    answer = count_params(saved(tmp_path / "model.pt", {"model": table}))
    assert (answer.count.total, answer.count.tie_word_embeddings) == (2 * 60 * 8, True)


class Shared(torch.nn.Module):  # type: ignore[misc]
    """Of modules within modules, with a buffer of the form of a parameter."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(60, 8)
        self.layers = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))])
        self.lm_head = torch.nn.Linear(8, 60, bias=False)
        self.table = torch.nn.Buffer(torch.ones(8, 8))
        if tied:
            self.lm_head.weight = self.embed_tokens.weight


@pytest.mark.parametrize("place", [None, "model"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_module_that_was_pickled_whole_tells_its_parameters(tied: bool, place: str | None, tmp_path: Path) -> None:
    model = Shared(tied)
    path = saved(tmp_path / "model.pt", model if place is None else {place: model, "epoch": torch.tensor(3)})
    found, aliases = read_archive(path)
    assert [tensor.name for tensor in found] == [name for name, _ in model.named_parameters()]
    assert aliases == ({"lm_head.weight": "embed_tokens.weight"} if tied else {})
    count = count_params(path).count
    assert (count.total, count.tie_word_embeddings) == (sum(p.numel() for p in model.parameters()), tied)


@pytest.mark.parametrize("place", [None, "model"])
@pytest.mark.parametrize("name", ["pe", "alibi", "version", "tril", "running_mean"])
def test_a_parameter_of_a_module_is_none_of_a_buffers_name(name: str, place: str | None, tmp_path: Path) -> None:
    """The pickle of a module tells them apart; a table of weights has names alone."""
    model = Shared(tied=True)
    sizes = (1,) if name == "version" else (8, 8)
    model.register_parameter(name, torch.nn.Parameter(torch.ones(sizes)))
    path = saved(tmp_path / "model.pt", model if place is None else {place: model})
    total = sum(p.numel() for p in model.parameters())
    assert count_params(path).count.total == total
    named = saved(tmp_path / "named.pt", dict(model.named_parameters()))
    assert count_params(named).count.total == total - getattr(model, name).numel()


@pytest.mark.parametrize(("case", "words"), [("circle", "without end"), ("powers of two", "over 100,000 modules")])
def test_modules_within_each_other_without_end_cost_a_sentence(case: str, words: str, tmp_path: Path) -> None:
    modules = [torch.nn.Module() for _ in range(40)]
    for outer, inner in itertools.pairwise(modules):
        outer._modules |= {"a": inner, "b": inner}
    if case == "circle":
        modules[0]._modules["a"] = modules[0]
    with pytest.raises(InputError, match=words):
        count_params(saved(tmp_path / "model.pt", modules[0]))


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    told = tmp_path / "was-run"
    path = saved(tmp_path / "model.bin", {"wte.weight": torch.zeros(7, 4), "args": Runs(told)})
    torch.load(path, weights_only=False)
    assert told.exists()  # as it is when torch trusts it
    told.unlink()
    assert count_params(path).count.total == 28
    with pytest.raises(InputError, match="no table of tensors"):
        count_params(saved(tmp_path / "alone.bin", Runs(told)))
    assert not told.exists()


def archive(content: bytes, *others: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with this pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, told in (("a/data.pkl", content), *others):
            file.writestr(name, told)
    return buffer.getvalue()


def sound() -> bytes:
    """A sound file."""
    buffer = io.BytesIO()
    torch.save({"wte.weight": torch.zeros(7, 4)}, buffer)
    return buffer.getvalue()


def claimed(storage: int, *sizes: int) -> bytes:
    """A file whose pickle tells of another storage and shape than it holds."""
    content = zipfile.ZipFile(io.BytesIO(sound())).read("archive/data.pkl")
    assert content.count(b"K\x1c") == 1  # 28 elements
    assert content.count(b"K\x07K\x04\x86") == 1
    content = content.replace(b"K\x1c", b"J" + storage.to_bytes(4, "little"))
    content = content.replace(b"K\x07K\x04\x86", b"".join(b"J" + n.to_bytes(4, "little") for n in sizes) + b"\x86")
    return archive(content, ("a/data/0", bytes(112)))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "no pickle": (lambda: archive(b"", ("a/other", b"")).replace(b"data.pkl", b"data.pkx"), "no data.pkl"),
    "cut": (lambda: sound()[:-40], "zip file"),
    "damaged": (lambda: archive(b"\x80\x02}q\x00(X\xff\xff\xff\x7f"), "without running it"),
    "empty stack": (lambda: archive(b"\x80\x02s."), "damaged at SETITEM"),
    "empty memo": (lambda: archive(b"\x80\x02h\x05."), "damaged at BINGET"),
    "instances": (lambda: archive(pickle.dumps(Ellipsis, 0)), "without running it"),
    "extension": (lambda: archive(b"\x80\x02\x82\x01."), "instruction EXT1"),
    "long": (lambda: archive(b"N" * (MAX_INSTRUCTIONS + 1) + b"."), "over 1,000,000 instructions"),
    "bomb": (lambda: archive(b"N" * (MAX_PICKLE_BYTES + 1), compression=zipfile.ZIP_DEFLATED), "or one over"),
    "directory": (
        lambda: archive(b".", *((f"a/{n:0200}", b"") for n in range(MAX_DIRECTORY_BYTES // 240))),
        "directory is over the limit",
    ),
    "no storage": (lambda: archive(zipfile.ZipFile(io.BytesIO(sound())).read("archive/data.pkl")), "is missing"),
    "larger storage": (lambda: claimed(2**31 - 1, 7, 4), "not of"),
    "larger tensor": (lambda: claimed(28, 2**31 - 1, 4), "goes on after its storage"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_cost_a_sentence(case: str, tmp_path: Path) -> None:
    content, words = HOSTILE[case]
    (tmp_path / "x.bin").write_bytes(content())
    with pytest.raises(InputError) as refused:
        count_params(tmp_path / "x.bin")
    assert words in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_damaged_archive_is_read_or_refused(tmp_path: Path) -> None:
    """Random bytes changed, and every end: never another exception."""
    whole = sound()
    numbers = random.Random(0)
    for number in range(150):
        content = bytearray(whole)
        for _ in range(3):
            content[numbers.randrange(len(content))] = numbers.randrange(256)
        path = tmp_path / "damaged.bin"
        path.write_bytes(content if number % 3 else content[: numbers.randrange(len(content))])
        try:
            read_archive(path)
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017 (either is right)


def test_what_is_no_pickle_is_not_called_one(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(InputError, match="is a Git-LFS pointer, for which git lfs pull gets the file"):
        count_params(tmp_path / "model.bin")


def test_a_pickle_alone_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "old.bin", {"wte.weight": torch.zeros(7, 4)}, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="is a pickle, which can run code"):
        count_params(path)


@pytest.mark.parametrize("other", ["lm_head", "to_words"])
def test_a_further_name_of_the_table_is_no_tie(other: str, tmp_path: Path) -> None:
    """`self.first = self.embed_tokens` beside an output matrix of its own."""
    table = torch.randn(60, 24)
    tensors = {"embed_tokens.weight": table, "first.weight": table, f"{other}.weight": torch.randn(60, 24)}
    answer = count_params(saved(tmp_path / "model.pt", tensors))
    assert (answer.count.total, answer.count.tie_word_embeddings) == (2 * 60 * 24, False)


@pytest.mark.parametrize("tied", [True, False])
def test_modules_that_are_listed_twice_say_nothing_of_a_tie(tied: bool, tmp_path: Path) -> None:
    """`self.net = nn.ModuleList([self.embed, self.lstm, self.decoder])`."""
    model = torch.nn.Module()
    model.embed, model.lstm, model.decoder = torch.nn.Embedding(60, 24), torch.nn.LSTM(24, 24), torch.nn.Linear(24, 60)
    model.net = torch.nn.ModuleList([model.embed, model.lstm, model.decoder])
    if tied:
        model.decoder.weight = model.embed.weight
    answer = count_params(saved(tmp_path / "model.pt", model.state_dict()))
    assert answer.count.total == sum(parameter.numel() for parameter in model.parameters())
    assert answer.count.tie_word_embeddings == tied
