"""The header of a GGUF file: its tensors, and what its metadata say of the tie and of experts, no tensor being read.

The format is that of ggml (docs/gguf.md); the package `gguf` has the types of its tensors. The package's own reader is
not used: it makes arrays of every token of the vocabulary (1.4 GB for Gemma's), and in a file that ends too early it
reads on without end.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tiedlm.counting.closed_forms.parameters import Routing
from tiedlm.counting.stored.header_json import MAX_NAME_LENGTH
from tiedlm.counting.stored.placed_names import Place, PlacedNames
from tiedlm.counting.stored.safetensors_header import StoredTensor, check_name
from tiedlm.errors import InputError

MAX_HEADER_BYTES = 64_000_000
MAX_KEYS, MAX_TENSORS, MAX_DIMENSIONS, MAX_FILES = 10_000, 100_000, 4, 1_000
MAX_TEXT_BYTES = 1_000
"""Of a value that is kept; longer ones, such as chat templates, are passed over."""
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9
FILE_OF_SEVERAL = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
INPUT_FROM_OUTPUT = ("codeshell",)
"""Where llama.cpp makes the embeddings from the output's matrix (src/models/codeshell.cpp, load_arch_tensors)."""
OUTPUT_OF_ANOTHER = ("eagle3",)
"""Drafts, which borrow from the model that they draft for what they lack (src/models/eagle3.cpp)."""
DIFFUSION = ("dream", "llada", "llada-moe", "rnd1")
"""Predict words with attention to both sides (src/llama-arch.cpp, llm_arch_is_diffusion)."""
TRAINED_ROUTING = {
    "ernie4_5-moe": (".exp_probs_b", ".exp_probs_b.bias"),
    "afmoe": (".exp_probs_b", ".exp_probs_b.bias"),
    "laguna": (".exp_probs_b", ".exp_probs_b.bias"),
    "gemma4": (".ffn_gate_inp.scale", ".ffn_down_exps.scale"),
}
"""Family → ends of names that are parameters of its class, and of something else in other families (transformers:
Ernie4_5_MoeStatics, AfmoeMoE, LagunaTopKRouter; Gemma4TextRouter, whose scales have the names of quantisation's)."""


class Unsound(Exception):
    """What is wrong with a header."""


@dataclass(frozen=True)
class GgufModel:
    """What one or several files hold together."""

    tensors: list[StoredTensor]
    metadata: dict[str, Any]

    @property
    def architecture(self) -> str | None:
        """The family, as llama.cpp calls it."""
        name = self.metadata.get("general.architecture")
        return name if isinstance(name, str) else None

    @property
    def has_head(self) -> bool:
        """Whether it predicts words: it has a last norm or an output matrix, and is no encoder for retrieval."""
        names = {tensor.name for tensor in self.tensors}
        sees_both = self.of_architecture("attention.causal") is False and self.architecture not in DIFFUSION
        is_encoder = sees_both or bool(self.of_architecture("pooling_type"))
        return bool(names & {"output.weight", "output_norm.weight", "dec.output_norm.weight"}) and not is_encoder

    @property
    def tie(self) -> tuple[bool | None, str | None]:
        """Whether llama.cpp multiplies by the matrix that it looks up in, as it does where one alone is stored.

        Second, who says so, in words. Where a file holds both matrices, or may borrow one, nobody says.
        """
        names = {tensor.name for tensor in self.tensors}
        has_input, has_output = "token_embd.weight" in names, "output.weight" in names
        if not self.has_head or has_input == has_output or self.architecture in OUTPUT_OF_ANOTHER:
            return None, None
        if has_input:
            return True, "llama.cpp, which multiplies by token_embd.weight where a file has no output.weight"
        if self.architecture in INPUT_FROM_OUTPUT:
            return (
                True,
                f"llama.cpp, which looks up in output.weight where a {self.architecture} has no token_embd.weight",
            )
        return None, None

    @property
    def placed(self) -> PlacedNames:
        """The tensors that are parameters although their names are of something else in other families."""
        ends = TRAINED_ROUTING.get(self.architecture or "", ())
        trained = [tensor.name for tensor in self.tensors if tensor.name.endswith(ends)]
        return PlacedNames({name: Place(name, name) for name in trained})

    @property
    def routing(self) -> Routing | None:
        """Of a mixture of experts, whose tensors have one expert after the other."""
        experts = [tensor for tensor in self.tensors if re.search(r"_exps\.(weight|bias)$", tensor.name)]
        if not experts:
            return None
        many, few = self.of_architecture("expert_count"), self.of_architecture("expert_used_count")
        if type(many) is not int or type(few) is not int or not 0 < few <= many:
            return Routing((), None)
        if any(tensor.shape[0] != many for tensor in experts):
            return Routing((), None)
        return Routing(((few, many),), sum(tensor.num_elements // many * (many - few) for tensor in experts))

    def of_architecture(self, key: str) -> Any:
        """A value that the family has under its own name."""
        return self.metadata.get(f"{self.architecture}.{key}")


def read_gguf(path: Path) -> GgufModel:
    """The model of a file, and of the others that it was split into, which lie beside it.

    Raises:
        InputError: a file cannot be read, is no sound GGUF file or lacks, or the package `gguf` is not installed.
    """
    model = _read_one(path)
    num_files = model.metadata.get("split.count", 1)
    named = FILE_OF_SEVERAL.fullmatch(path.name)
    if num_files in (0, 1):
        return model
    if named is None or int(named[3]) != num_files or num_files > MAX_FILES:
        raise InputError(f"{path}: is one of {num_files} files and not named as such; give the whole model")
    tensors: list[StoredTensor] = []
    for number in range(1, num_files + 1):
        part = path.with_name(f"{named[1]}-{number:05}-of-{named[3]}.gguf")
        if not part.is_file():
            raise InputError(f"{path}: is one of {num_files} files, of which {part.name} is missing; get it too")
        tensors += _read_one(part).tensors
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise InputError(f"{path}: is one of {num_files} files that hold a tensor twice; get them anew")
    return GgufModel(tensors, model.metadata)


def _read_one(path: Path) -> GgufModel:
    try:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # here: it imports numpy
    except ImportError as error:
        raise InputError(f"{path}: reading .gguf files needs the package gguf; pip install 'tiedlm[gguf]'") from error
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path}: is no file; give a .gguf file")
    types = {int(kind): (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType}
    try:
        with path.open("rb") as file:
            header = _Header(file, path.stat().st_size)
            num_tensors, num_keys = header.begin()
            metadata = dict(header.key() for _ in range(num_keys))
            tensors = list(header.tensors(path, num_tensors, types, metadata.get("general.alignment", 32)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a .gguf file") from error
    except Unsound as error:
        raise InputError(f"{path}: is no sound GGUF file ({error}); get the file anew") from error
    return GgufModel(tensors, metadata)


class _Header:
    """Reads forwards, never past the end of the file or of what a header may be."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size, self.place = file, size, 0

    def take(self, num_bytes: int) -> bytes:
        self._move(num_bytes)
        return self.file.read(num_bytes)

    def skip(self, num_bytes: int) -> None:
        self._move(num_bytes)
        self.file.seek(self.place)

    def _move(self, num_bytes: int) -> None:
        self.place += num_bytes
        if self.place > self.size:
            raise Unsound(f"its header goes on after its {self.size:,} bytes")
        if self.place > MAX_HEADER_BYTES:
            raise Unsound(f"its header is over the limit of {MAX_HEADER_BYTES:,} bytes")

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self, max_bytes: int) -> str | None:
        """None where it is longer."""
        length = self.number("<Q")
        if length > max_bytes:
            self.skip(length)
            return None
        return self.take(length).decode("utf-8", errors="replace")

    def begin(self) -> tuple[int, int]:
        """How many tensors and how many keys there are."""
        if self.take(4) != b"GGUF":
            raise Unsound("it does not begin with GGUF")
        version = self.number("<I")
        if version not in (2, 3):
            raise Unsound(f"its version is {version}, or it is big-endian; versions 2 and 3 are read")
        num_tensors, num_keys = self.number("<Q"), self.number("<Q")
        if num_tensors > MAX_TENSORS or num_keys > MAX_KEYS:
            raise Unsound(f"it claims {num_tensors:,} tensors and {num_keys:,} keys")
        return num_tensors, num_keys

    def key(self) -> tuple[str, Any]:
        """A key and its value; None for arrays and long texts."""
        name = self.text(MAX_TEXT_BYTES)
        if name is None:
            raise Unsound("a key has a name that is too long")
        return name, self._value(self.number("<I"))

    def _value(self, kind: int) -> Any:
        if kind == TEXT:
            return self.text(MAX_TEXT_BYTES)
        if kind != ARRAY:
            return self.number(self._form(kind))
        kind, length = self.number("<I"), self.number("<Q")
        if kind == TEXT:
            for _ in range(length):  # each of at least eight bytes, so the limit of the header bounds them
                self.skip(self.number("<Q"))
        else:
            self.skip(length * struct.calcsize(self._form(kind)))
        return None

    @staticmethod
    def _form(kind: int) -> str:
        if kind not in SCALARS:
            raise Unsound(f"a value has the unknown type {kind}")
        return SCALARS[kind]

    def tensors(
        self, path: Path, number: int, types: dict[int, tuple[str, int, int]], alignment: Any
    ) -> Iterator[StoredTensor]:
        """Those of a file, whose bytes must lie in it one after the other."""
        told = [self._tensor(types) for _ in range(number)]
        if type(alignment) is not int or not 0 < alignment <= 1 << 20:
            raise Unsound("its general.alignment is no size")
        start = self.place + -self.place % alignment
        end = start
        for name, dtype, shape, num_bytes, offset in sorted(told, key=lambda tensor: tensor[-1]):
            check_name(str(path), name)
            if start + offset < end or start + offset + num_bytes > self.size:
                raise Unsound(f"tensor {name[:80]!r} lies in another or after the end of the file")
            end = start + offset + num_bytes
            yield StoredTensor(name, dtype, shape, path, start + offset, num_bytes)
        if len({name for name, *_ in told}) != number:
            raise Unsound("it holds a tensor twice")

    def _tensor(self, types: dict[int, tuple[str, int, int]]) -> tuple[str, str, tuple[int, ...], int, int]:
        name = self.text(4 * MAX_NAME_LENGTH)
        num_dimensions = self.number("<I")
        if name is None or not 0 < num_dimensions <= MAX_DIMENSIONS:
            raise Unsound(f"a tensor has {num_dimensions:,} dimensions, or a name that is too long")
        sizes = [self.number("<Q") for _ in range(num_dimensions)]
        kind, offset = self.number("<I"), self.number("<Q")
        if kind not in types:
            raise Unsound(f"tensor {name[:80]!r} is of type {kind}, which this version of the package gguf has not")
        dtype, block, block_bytes = types[kind]
        num_elements = 1
        for size in sizes:
            num_elements *= size
        if not 0 < num_elements < 2**63 or sizes[0] % block:
            raise Unsound(f"tensor {name[:80]!r} has no elements, more than 2^63, or no whole blocks of {block}")
        return name, dtype, tuple(reversed(sizes)), num_elements // block * block_bytes, offset
