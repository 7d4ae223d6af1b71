"""Headers and indexes of many names: read within bounded memory, and hostile ones refused in as little."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.counting.stored_llama import LLAMA, TIED_TOTAL, llama, stored
from tiedlm.api.count import count_params
from tiedlm.counting.stored.header_json import MAX_ENTRIES
from tiedlm.counting.stored.safetensors_header import MAX_HEADER_BYTES, read_header
from tiedlm.counting.stored.weight_files import MAX_INDEX_BYTES, read_index
from tiedlm.errors import InputError

MAX_MEMORY_BYTES = 500_000_000
MEASURED = """
import re, sys
from tiedlm.api.count import count_params
from tiedlm.errors import InputError
try:
    count_params(sys.argv[1])
except InputError as error:
    print(error)
else:
    print('counted')
print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])  # of this process since its start
"""


def measured(path: Path) -> str:
    """What `count-params` says of a file, within the limit of memory."""
    finished = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    *said, num_kilobytes = finished.stdout.splitlines()
    assert int(num_kilobytes) * 1_024 < MAX_MEMORY_BYTES
    return " ".join(said)


def experts(number: int) -> dict[str, dict[str, object]]:
    """The header of a mixture of experts of one number each."""
    parts = [f"{name}_proj.weight{part}" for name in ("gate", "up", "down") for part in ("", "_scale", "_shape")]
    names = (f"model.layers.{n // 1152}.mlp.experts.{n // 9 % 128}.{parts[n % 9]}" for n in range(number))
    return {name: {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names)}


def file_of(path: Path, header: bytes, payload: int = 0) -> Path:
    """A file of a header and as many zeros."""
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + payload)
    return path


def test_a_file_of_fifty_thousand_tensors_is_read(tmp_path: Path) -> None:
    header = experts(55_296)
    path = file_of(tmp_path / "model.safetensors", json.dumps(header).encode(), 4 * len(header))
    tensors, _ = read_header(path)
    assert [tensor.name for tensor in tensors] == list(header)
    assert [tensor.offset - tensors[0].offset for tensor in tensors] == list(range(0, 4 * 55_296, 4))


def test_an_index_of_more_than_16_mb_is_read(tmp_path: Path) -> None:
    held = stored(tmp_path / "model-00001-of-00001.safetensors", llama())
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    names = [f"model.language_model.layers.{n // 4000}.mlp.experts.{n % 4000}.gate_up_proj" for n in range(220_000)]
    weight_map = dict.fromkeys([*llama(), *names], held.name)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    assert 16_000_000 < index.stat().st_size < MAX_INDEX_BYTES
    answer = count_params(tmp_path)
    assert answer.count.total == TIED_TOTAL
    assert answer.notes[-1].endswith(f" and {len(names) - 4:,} more")


def test_an_index_may_have_its_map_first_and_other_things_around(tmp_path: Path) -> None:
    held = stored(tmp_path / "a.safetensors", llama()).name
    index = tmp_path / "model.safetensors.index.json"
    named = ", ".join(f"{json.dumps(name)} : {json.dumps(held)}" for name in llama())
    for around in (
        '{{ "weight_map" :{{ {} }}, "metadata": {{"a": [1, {{}}], "b": "}}"}}}}\n',
        '{{"x":1,"weight_map":{{{}}}}}',
    ):
        index.write_text(around.format(named))
        assert len(read_index(index).tensors) == len(llama())


@pytest.mark.slow
def test_the_largest_header_takes_bounded_memory(tmp_path: Path) -> None:
    header = json.dumps(experts(MAX_ENTRIES)).encode()
    path = file_of(tmp_path / "largest.safetensors", header.ljust(MAX_HEADER_BYTES), 4 * MAX_ENTRIES)
    assert "no tensor is known by its name as a word-embedding matrix" in measured(path)


HOSTILE_HEADERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "too long": (lambda: b"{}".ljust(MAX_HEADER_BYTES + 1), "over the limit of 100,000,000"),
    "wide": (lambda: b'{"a":' + b"[]," * 30_000_000, "is no table of what such a file holds"),
    "a wide entry": (lambda: b'{"a":{"shape":[' + b"[]," * 30_000_000 + b"1]}}", "bytes long"),
    "deep": (lambda: b'{"a":' * 19_000_000, "is no table of what such a file holds"),
    "one name": (lambda: b'{"' + b'\\"' * 49_000_000 + b'":{}}', "over 500 characters"),
    "no end": (lambda: b'{"' + b"a" * 99_000_000, "is no table of what such a file holds"),
    "spaces": (lambda: b" " * 99_000_000, "is no JSON object"),
    "two objects": (lambda: b"{}{}", "goes on after its JSON ends"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HOSTILE_HEADERS)
def test_hostile_headers_take_little(case: str, tmp_path: Path) -> None:
    text, words = HOSTILE_HEADERS[case]
    assert words in measured(file_of(tmp_path / "x.safetensors", text()))


@pytest.mark.slow
def test_more_tensors_than_any_model_has_are_refused(tmp_path: Path) -> None:
    entry = '"%d":{"dtype":"I8","shape":[0],"data_offsets":[0,0]}'
    text = "{" + ",".join(entry % number for number in range(MAX_ENTRIES + 1)) + "}"
    assert f"has over {MAX_ENTRIES:,} entries" in measured(file_of(tmp_path / "x.safetensors", text.encode()))


HOSTILE_INDEXES: dict[str, tuple[Callable[[], bytes], str]] = {
    "too long": (lambda: b" " * (MAX_INDEX_BYTES + 1), "over the limit of 100,000,000 bytes"),
    "wide": (lambda: b'{"weight_map":{"a":"b.safetensors"},"metadata":' + b"[]," * 30_000_000, "250,000 JSON values"),
    "many maps": (lambda: b'"weight_map":{\\"' * 6_000_000, "has no weight_map"),
    "an inner map": (lambda: b'{"a":{"weight_map":{"a":"b.safetensors"}}}', "has its weight_map in another table"),
    "a map of numbers": (lambda: b'{"weight_map":{"a":1}}', "is no table of what such a file holds"),
    "no JSON": (lambda: b'{"weight_map":{"a":"b.safetensors"}', "is not valid JSON"),
}


@pytest.mark.parametrize("case", HOSTILE_INDEXES)
def test_hostile_indexes_take_little(case: str, tmp_path: Path) -> None:
    text, words = HOSTILE_INDEXES[case]
    (tmp_path / "x.safetensors.index.json").write_bytes(text())
    assert words in measured(tmp_path / "x.safetensors.index.json")


@pytest.mark.parametrize(
    "text",
    [
        '{"a\\u0062":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}',
        '{"\\u00e9":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}, "__metadata__" :{"{\\"":"}"}}',
    ],
)
def test_names_are_read_as_json_writes_them(text: str, tmp_path: Path) -> None:
    ((tensor,), metadata) = read_header(file_of(tmp_path / "x.safetensors", text.encode(), 1))
    assert [tensor.name, *metadata.items()] == [
        next(name for name in json.loads(text) if name != "__metadata__"),
        *json.loads(text).get("__metadata__", {}).items(),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a\nb":{}}', "is no table of what such a file holds, from its byte 1 on"),
        ('{"__metadata__":{},"__metadata__":{}}', "a key occurs twice, '__metadata__'"),
        ('{"__metadata__":{}, }', "from its byte 19 on"),
        ("{,}", "from its byte 1 on"),
    ],
)
def test_what_is_no_json_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_header(file_of(tmp_path / "x.safetensors", text.encode()))
    assert words in str(refused.value)
