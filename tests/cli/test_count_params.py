"""`tiedlm count-params` by the real command: what people see, files from strangers, and the Hub."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from tests.cli.test_bad_input import resealed, run_tiedlm, write
from tests.conftest import HANG_SECONDS, REPOSITORY
from tests.counting.test_families import torch
from tests.counting.test_stored_weights import INPUT, OUTPUT, rewritten, save, tiny
from tiedlm.api.count import list_counts
from tiedlm.counting.closed_forms.known_models import KNOWN_MODELS
from tiedlm.counting.stored.json_file import MAX_JSON_BYTES, MAX_JSON_VALUES

pytestmark = pytest.mark.slow  # a process for each case
MAX_MEMORY_BYTES = 200_000_000


def answer(folder: Path, arguments: str) -> dict[str, Any]:
    """The JSON of a command that succeeds."""
    finished = run_tiedlm(folder, f"count-params {arguments} --json")
    assert (finished.returncode, finished.stderr) == (0, "")
    return dict(json.loads(finished.stdout))


def test_json_has_the_keys_of_the_design(tmp_path: Path) -> None:
    document = answer(tmp_path, "bert-base-uncased")
    groups = document["groups"]
    assert sum(groups.values()) == document["total"] == document["total_tied"] == 109_514_298
    assert document["total_untied"] == 132_955_194
    assert document["saved"] == 30_522 * 768
    assert document["saved_fraction"] == pytest.approx(0.1763, abs=5e-5)
    assert (document["vocab_size"], document["hidden_size"], document["tie_word_embeddings"]) == (30_522, 768, True)
    assert (groups["decoder_weight"], groups["decoder_bias"]) == (0, 30_522)


def test_a_person_sees_the_product_the_bars_and_both_totals(tmp_path: Path) -> None:
    seen = run_tiedlm(tmp_path, "count-params bert-base-uncased").stdout
    for words in ("30,522 × 768 = 23,440,896", "109,514,298", "132,955,194", "█", "▒", "memory, not FLOPs", "438.1 MB"):
        assert words in seen


def visible(folder: Path) -> list[Path]:
    """All but the cache."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def test_what_if_and_its_picture(tmp_path: Path) -> None:
    command = "bert-base-uncased --what-if vocab_size=8_000,32000 --what-if hidden_size=384,768 --plot share.svg"
    document = answer(tmp_path, command)
    model, *variants = document["what_if"]
    assert model["total"] == document["total"]
    sizes = [(variant["vocab_size"], variant["hidden_size"]) for variant in variants]
    assert sizes == [(8_000, 384), (8_000, 768), (32_000, 384), (32_000, 768)]
    assert (tmp_path / "share.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("gpt2 --what-if vocab=10", "is not of the form SIZE=N,N"),
        ("gpt2 --what-if vocab_size=0", "is not of the form"),
        ("gpt2 --what-if vocab_size=1,,2", "is not of the form"),
        ("gpt2 --what-if hidden_size=100", "not a multiple of n_head=12"),
        ("gpt2 --what-if embedding_size=64", "which gpt2 has not"),
        ("bert-base-uncased --what-if vocab_size=99999999999", "is not of the form"),
        (f"gpt2 --what-if vocab_size={','.join(['7'] * 1001)}", "over 1,000 models"),
        ("gpt2 --what-if vocab_size=1_0__0", "is not of the form"),
        ("gpt2 --plot folder.png", "is a folder"),
        ("gpt2 --plot /proc/share.png", "cannot be written"),
        ("gpt2 --plot share.gif", "is none of .png, .svg, .pdf"),
        ("gpt2 --plot nosuch/share.png", "the folder nosuch does not exist"),
        ("gpt2 --plot file.png/share.png", "the folder file.png does not exist"),
        ("--list --what-if vocab_size=10", "goes with neither"),
        ("--list no-such-word", "no known model has it in its name"),
        ("gpt2 bert --plot share.png", "take one model, given: 2"),
        ("gpt2 --markdown --json", "do not go together"),
        ("wrong.json --what-if hidden_size=24", "states no intermediate_size"),
        ("wrong.json --plot share.png", "states no num_attention_heads"),
        ("bare.safetensors --what-if vocab_size=10", "no closed form and no configuration"),
    ],
)
def test_what_cannot_be_changed_or_drawn_is_said(arguments: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file.png").write_text("a file")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "wrong.json").write_text('{"model_type": "bert", "hidden_size": 48}')
    save_file({"wte.weight": torch.zeros(7, 4)}, tmp_path / "bare.safetensors")
    before = visible(tmp_path)
    finished = run_tiedlm(tmp_path, f"count-params {arguments}")
    assert finished.returncode == 2
    assert words in finished.stderr, finished.stderr
    assert finished.stderr.count("\n") == 1
    assert visible(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        "bert-base-multilingual-cased",
        "--list",
        "gemma-2-9b --what-if hidden_size=512",
        "bert-base-multilingual-cased gemma-2-9b t5-v1.1-small",
    ],
)
def test_eighty_columns_are_enough(arguments: str, tmp_path: Path) -> None:
    environment = os.environ | {"COLUMNS": "80"}
    command = [sys.executable, "-m", "tiedlm", "count-params", *arguments.split()]
    seen = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout
    assert seen
    assert "…" not in seen
    assert arguments != "--list" or [name for name in KNOWN_MODELS if f"\n{name} " not in seen] == []  # whole
    assert max(map(len, seen.splitlines())) <= 80


def test_a_tie_mismatch_is_loud(tmp_path: Path) -> None:
    save(tiny("bert"), tmp_path / "model")
    rewritten(tmp_path / "model", lambda tensors: tensors.update({OUTPUT: tensors[INPUT] + 1}))
    seen = run_tiedlm(tmp_path, "count-params model")
    assert seen.returncode == 1
    assert "TIE MISMATCH" in seen.stdout
    assert "says tied, but the file holds two different matrices" in seen.stderr
    as_json = run_tiedlm(tmp_path, "count-params model --json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["checkpoint"]["mismatch"]


def test_runs_of_our_own_are_counted_from_their_files(tmp_path: Path) -> None:
    words = b"the cat sat on the mat and the dog sat on the log\n" * 30
    for split in ("train", "valid", "test"):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        (tmp_path / "corpus" / f"{split}.txt").write_bytes(words)
    tiny_run = "--steps 2 --set model.hidden_size=16 --set model.num_attention_heads=2 --set corpus.tokenizer=word"
    trained = run_tiedlm(tmp_path, f"compare --corpus corpus {tiny_run} --seeds 1 --out out --precision fp32")
    assert trained.returncode == 0, trained.stderr
    folder, tied, untied = (
        answer(tmp_path, name) for name in ("out", "out/tied-seed0.safetensors", "out/untied-seed0.safetensors")
    )
    assert folder["groups"] == tied["groups"]
    assert (tied["checkpoint"]["copies"], untied["checkpoint"]["copies"]) == ("one", "different")
    assert untied["total"] - tied["total"] == tied["vocab_size"] * 16 == tied["saved"]
    assert any("arm untied" in note for note in folder["notes"])
    for document in (tied, untied):
        assert document["notes"] == ["as many parameters as the closed form of ModernBertForMaskedLM"]


def test_a_record_that_contradicts_its_configuration_is_refused(tmp_path: Path) -> None:
    record = json.loads((REPOSITORY / "results" / "ptb-tuned" / "tied-seed0.json").read_text())
    record["parameters"]["encoder_layers"] += 1
    (tmp_path / "tied-seed0.json").write_text(json.dumps(resealed(record)))
    finished = run_tiedlm(tmp_path, "count-params .")
    assert finished.returncode == 2
    assert "but its model has" in finished.stderr


def test_numbers_are_whole_in_a_narrow_terminal(tmp_path: Path) -> None:
    environment = os.environ | {"COLUMNS": "62"}
    command = [sys.executable, "-m", "tiedlm", "count-params", "--list"]
    seen = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout
    assert [count.name for count in list_counts() if f" {count.total:,} " not in seen] == []


def header(text: bytes, claim: int | None = None) -> bytes:
    """A safetensors file of a header alone."""
    return struct.pack("<Q", len(text) if claim is None else claim) + text


MEASURED = """
import re, sys
from tiedlm.cli.main import main
sys.argv = ['tiedlm', 'count-params', sys.argv[1]]
try:
    main()
finally:
    print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])  # of this process since its start
"""
ENTRY = '"model.layers.%d.weight":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}'
HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty": ("x.safetensors", lambda: b"", "0 bytes"),
    "cut": ("x.safetensors", lambda: header(b'{"a":', 500), "claims 500 bytes"),
    "claims 2^63": ("x.safetensors", lambda: header(b"{}", 2**63), "over the limit"),
    "claims 2^64 - 1": ("x.safetensors", lambda: header(b"{}", 2**64 - 1), "over the limit"),
    "deep": ("x.safetensors", lambda: header(b"[" * 200_000), "is no JSON object"),
    "deep objects": ("x.safetensors", lambda: header(b'{"a":' * 200_000), "is no table of what such"),
    "wide": ("x.safetensors", lambda: header(b"{" + b",".join(b'"%d":{}' % n for n in range(120_000)) + b"}"), "lacks"),
    "too wide": (
        "x.safetensors",
        lambda: header(b"[" + b"[]," * 3_000_000 + b"1]"),
        "is no JSON object",
    ),
    "long names": (
        "x.safetensors",
        lambda: header(('{"' + "\U0001f600" * 3_900_000 + '":{}}').encode()),
        "over 500 char",
    ),
    "long number": ("x.safetensors", lambda: header(b'{"a":' + b"9" * 15_000_000 + b"}"), "is no table of what such"),
    "many sizes": (
        "x.safetensors",
        lambda: header(b'{"a":{"dtype":"F32","shape":[' + b"4294967296," * 240_000 + b'1],"data_offsets":[0,4]}}'),
        "2,640,048 bytes long",
    ),
    "empty tensors": (
        "x.safetensors",
        lambda: header(("{" + ",".join(ENTRY % n for n in range(30_000)) + "}").encode()),
        "no tensor is known by its name",
    ),
    "escape codes": (
        "x.safetensors",
        lambda: header(b'{"\\u001b[2Jwte.weight":{"dtype":"F32","shape":[0,1],"data_offsets":[0,0]}}'),
        "control characters",
    ),
    "escape codes in a value": (
        "config.json",
        lambda: b'{"model_type":"mpnet","vocab_size":"\\u001b[2J\\n"}',
        "is not a whole number",
    ),
    "no numbers": ("config.json", lambda: b'{"model_type":"bert","vocab_size":1e400}', "vocab_size=inf"),
    "text for a number": ("config.json", lambda: b'{"model_type":"bert","hidden_size":"768"}', "hidden_size='768'"),
    "negative": ("config.json", lambda: b'{"model_type":"gpt2","n_layer":-3}', "n_layer=-3"),
    "true for a number": ("config.json", lambda: b'{"model_type":"llama","vocab_size":true}', "vocab_size=True"),
    "a billion layers": (
        "config.json",
        lambda: b'{"model_type":"t5","num_layers":1000000000}',
        "num_layers=1000000000",
    ),
    "layers to be built": ("config.json", lambda: b'{"model_type":"mpnet","num_hidden_layers":9999}', "too many"),
    "a text to be built": ("config.json", lambda: b'{"model_type":"mpnet","hidden_size":"9"}', "hidden_size='9'"),
    "no family": ("config.json", lambda: b'{"model_type":"nosuch"}', "not known to transformers"),
    "a long family": (
        "config.json",
        lambda: b'{"model_type":"' + b"x" * 9_000_000 + b'"}',
        "model_type has 9,000,000 characters, over the limit",
    ),
    "no model": ("config.json", lambda: b'{"a":1}', "model_type is missing"),
    "a list": ("config.json", lambda: b"[1]", "not an object"),
    "a deep configuration": ("config.json", lambda: b'{"a":' * 200_000, "nested too deeply"),
    "a wide configuration": (
        "config.json",
        lambda: b"[" + b"[]," * 3_000_000 + b"1]",
        f"{MAX_JSON_VALUES:,} JSON values",
    ),
    "not UTF-8": ("config.json", lambda: b"\xff\xfe{}", "not valid JSON"),
    "heads": ("config.json", lambda: b'{"model_type":"bert","hidden_size":100,"num_attention_heads":12}', "multiple"),
    "flag": ("config.json", lambda: b'{"model_type":"bert","tie_word_embeddings":"no"}', "neither true nor false"),
    "too long": ("config.json", lambda: b'{"model_type":"' + b"b" * MAX_JSON_BYTES + b'"}', "over the limit"),
    "a pickle": ("pytorch_model.bin", lambda: b"\x80\x04K\x01.", "not opened"),
    "index": ("model.safetensors.index.json", lambda: b'{"weight_map":{"a":"/etc/passwd"}}', "beside it"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_cost_a_sentence(case: str, tmp_path: Path) -> None:
    name, content, words = HOSTILE[case]
    (tmp_path / name).write_bytes(content())
    finished = subprocess.run([sys.executable, "-c", MEASURED, name], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.startswith(f"tiedlm: {name}: ")
    assert words in finished.stderr
    assert finished.stderr.removesuffix("\n").isprintable()  # one line, which steers no terminal
    assert len(finished.stderr) < 500
    assert int(finished.stdout) * 1_024 < MAX_MEMORY_BYTES


def test_a_file_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2Jx.json").write_text("[]")
    finished = run_tiedlm(tmp_path, "count-params \x1b[2Jx.json")
    assert finished.returncode == 2
    assert finished.stderr.removesuffix("\n").isprintable()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full is Linux's")
@pytest.mark.parametrize("arguments", ["count-params gpt2", "count-params gpt2 --json", "count-params --list"])
def test_output_that_cannot_be_written_is_told_in_a_sentence(arguments: str) -> None:
    command = [sys.executable, "-m", "tiedlm", *arguments.split()]
    with Path("/dev/full").open("w") as full:
        finished = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=HANG_SECONDS)
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        "tiedlm: cannot write (No space left on device); free some space and give the same command again"
    ]


@pytest.mark.parametrize("name", ["pipe.safetensors", "folder.safetensors", "/dev/zero", "''", "x" * 5_000, "shard"])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "shard").mkdir()
    os.mkfifo(tmp_path / "shard" / "pipe.safetensors")
    (tmp_path / "shard" / "model.safetensors.index.json").write_text('{"weight_map": {"a": "pipe.safetensors"}}')
    finished = run_tiedlm(tmp_path, f"count-params {name}")
    assert finished.returncode == 2
    assert finished.stderr.startswith("tiedlm: ")


def test_a_family_without_a_closed_form_is_built_by_transformers(tmp_path: Path) -> None:
    config = {"model_type": "mpnet", "vocab_size": 50, "hidden_size": 24, "num_attention_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2, "intermediate_size": 40}))
    document = answer(tmp_path, "config.json")
    assert document["architecture"] == "MPNetForMaskedLM"
    assert document["groups"]["word_embeddings"] == document["saved"] == 50 * 24
    assert document["forward_flops_per_token"] is None


def test_a_class_that_always_ties_is_counted_as_its_configuration_says(tmp_path: Path) -> None:
    sizes = {"vocab_size": 50, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    config = {"model_type": "umt5", "tie_word_embeddings": False, "_attn_implementation": "someone/kernel"}
    (tmp_path / "config.json").write_text(json.dumps(config | sizes))
    document = answer(tmp_path, "config.json")
    assert document["tie_word_embeddings"] is False
    assert document["groups"]["decoder_weight"] == 50 * 8
    assert list(document["other_totals"].values()) == [document["total"] - 50 * 8]


def test_a_terminal_of_few_characters_is_no_error(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "tiedlm", "count-params", "gpt2"]
    finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "124,439,808" in finished.stdout


def without_transformers(folder: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    """The command where the extra is not installed."""
    code = (
        "import sys\nsys.modules['transformers'] = None\nfrom tiedlm.cli.main import main\n"
        f"sys.argv = ['tiedlm', *{arguments.split()}]\nmain()"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


def test_without_the_extra_its_name_is_given(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mpnet"}')
    finished = without_transformers(tmp_path, "count-params config.json")
    assert finished.returncode == 2
    assert "pip install 'tiedlm[hf]'" in finished.stderr
    assert without_transformers(tmp_path, "count-params gpt2").returncode == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "nosuch"}, "nosuch"),
        ({"model_type": "encoder-decoder", "encoder": {}, "decoder": 3}, "cannot build it"),
        ({"model_type": "umt5", "num_labels": 10**7}, "num_labels=10,000,000"),
        ({"model_type": "switch_transformers", "num_layers": 1_500, "num_experts": 1_500}, "too many to build"),
        ({"model_type": "vit"}, "no class with a language-model head"),
        ({"model_type": "mpnet", "hidden_size": 25, "num_hidden_layers": 1}, "cannot build it"),
        ({"model_type": "nosuch", "auto_map": {"AutoConfig": "evil.Config"}, "trust_remote_code": True}, "nosuch"),
    ],
)
def test_what_transformers_cannot_build_is_said(config: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("raise SystemExit('executed')")
    finished = run_tiedlm(tmp_path, "count-params config.json")
    assert finished.returncode == 2
    assert words in finished.stderr
    assert finished.stderr.count("\n") == 1, finished.stderr


HUB = '''
import hashlib, http.server, os, sys, time, urllib.parse
class Hub(http.server.SimpleHTTPRequestHandler):
    """`/{owner}/{name}/resolve/main/{file}` with byte ranges, as the Hub serves it; weights in full are refused."""
    def do_HEAD(self): self.serve(False)
    def do_GET(self): self.serve(True)
    def log_message(self, *_): pass
    def serve(self, with_body):
        parts = urllib.parse.urlparse(self.path).path.strip("/").split("/")
        owner, name = (parts + ["nobody", "nothing"])[:2]
        path = os.path.join(owner, name, parts[-1])
        missing = "RepoNotFound" if not os.path.isdir(os.path.join(owner, name)) else "EntryNotFound"
        if owner == "gated": missing = "GatedRepo"
        if owner == "gated" or not os.path.isfile(path):
            self.send_response(403 if owner == "gated" else 404)
            self.send_header("X-Error-Code", missing)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = open(path, "rb").read()
        status, first, last = 200, 0, len(content) - 1
        asked = self.headers.get("Range")
        if asked:
            status = 206
            first, _, last_asked = asked.removeprefix("bytes=").partition("-")
            first, last = int(first), min(last, int(last_asked))
        elif with_body and path.endswith(".safetensors"):
            status, first, last = 500, 0, -1
        self.send_response(status)
        self.send_header("ETag", '"' + hashlib.sha256(content).hexdigest() + '"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        for byte in content[first:last + 1] if with_body and owner == "slow" else b"":
            self.wfile.write(bytes([byte]))
            time.sleep(0.2)
        if with_body and owner != "slow": self.wfile.write(content[first:last + 1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
print(server.server_port, flush=True)
server.serve_forever()
'''


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served as the Hub is, on this machine alone."""
    folder = tmp_path / "hub"
    folder.mkdir()
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with subprocess.Popen([sys.executable, "-c", HUB], cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{int(server.stdout.readline())}")
        yield folder
        server.kill()


def test_a_model_on_the_hub_is_counted_by_header_alone(hub: Path, tmp_path: Path) -> None:
    local = save(tiny("bert"), hub / "someone" / "bert")
    document = answer(tmp_path, "someone/bert")
    assert document["groups"] == local.count.groups
    assert document["checkpoint"]["copies"] == "one"
    assert document["notes"] == [f"as many parameters as BertForMaskedLM of transformers {version('transformers')}"]


def test_two_matrices_on_the_hub_are_not_compared_and_it_says_so(hub: Path, tmp_path: Path) -> None:
    save(tiny("bert"), hub / "someone" / "bert")
    rewritten(hub / "someone" / "bert", lambda tensors: tensors.update({OUTPUT: tensors[INPUT].clone()}))
    document = answer(tmp_path, "someone/bert")
    assert document["checkpoint"]["copies"] == "unknown"
    assert document["tie_word_embeddings"] is True


def test_a_draft_on_the_hub_is_told_as_such(hub: Path, tmp_path: Path) -> None:
    folder = hub / "someone" / "draft"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"architectures": ["LlamaForCausalLMEagle3"], "model_type": "llama"})
    )
    save_file(
        {"lm_head.weight": torch.ones(40, 8), "midlayer.norm.weight": torch.ones(8)}, folder / "model.safetensors"
    )
    document = answer(tmp_path, "someone/draft")
    assert (document["total"], document["groups"]["decoder_weight"]) == (328, 320)
    assert "is a draft for speculative decoding (EAGLE-3)" in document["notes"][0]


def test_shards_on_the_hub(hub: Path, tmp_path: Path) -> None:
    local = save(tiny("llama", tied=False), hub / "someone" / "llama", max_shard_size="10KB")
    assert answer(tmp_path, "someone/llama")["groups"] == local.count.groups


def test_a_model_without_safetensors_is_counted_by_its_configuration(hub: Path, tmp_path: Path) -> None:
    (hub / "someone" / "old").mkdir(parents=True)
    (hub / "someone" / "old" / "config.json").write_text(json.dumps(tiny("gpt2")))
    document = answer(tmp_path, "someone/old")
    assert document["checkpoint"] is None
    assert "no .safetensors files" in document["notes"][0]


@pytest.mark.parametrize("configured", [False, True], ids=["configuration", "headers"])
def test_a_slow_drip_is_not_waited_for(configured: bool, hub: Path, tmp_path: Path) -> None:
    save(tiny("bert"), hub / "slow" / "bert")
    if configured:
        config = json.dumps(tiny("bert")).encode()
        cached = tmp_path / "hub-cache" / "models--slow--bert"
        write(cached, {f"snapshots/{'0' * 40}/config.json": config, "refs/main": b"0" * 40})
    command = "import tiedlm.counting.hub as hub; hub.MAX_SECONDS = 2.0; from tiedlm.cli.main import main; main()"
    arguments = [sys.executable, "-c", command, "count-params", "slow/bert"]
    finished = subprocess.run(arguments, capture_output=True, text=True, timeout=HANG_SECONDS)
    words = "the Hub is too slow with " + ("its .safetensors files" if configured else "config.json")
    assert words in " ".join((finished.stdout + finished.stderr).split())
    assert finished.returncode == (0 if configured else 2)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("someone/nosuch", "no such model on the Hub"),
        ("gated/model", "consent"),
        ("someone/empty", "no config.json"),
    ],
)
def test_what_the_hub_refuses_is_said(name: str, words: str, hub: Path, tmp_path: Path) -> None:
    (hub / "someone" / "empty").mkdir(parents=True)
    finished = run_tiedlm(tmp_path, f"count-params {name}")
    assert finished.returncode == 2
    assert words in finished.stderr, finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "header",
    [
        *({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 64]}} for shape in
          ([-100, 16], [2.5, 16], [True, 16], [None, 16], 5, [1] * 20_000 + [2**40] * 3)),
        {"a\x1b[2J": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}},
        None, [1], {"a": None},
    ],
)  # fmt: skip
def test_of_an_unsound_header_on_the_hub_nothing_is_counted(header: Any, hub: Path, tmp_path: Path) -> None:
    folder = hub / "someone" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(tiny("bert")))
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(64))
    document = answer(tmp_path, "someone/model")
    assert document["checkpoint"] is None
    assert document["total"] == 11_684
    (note,) = document["notes"]
    assert note.startswith("counted by its configuration alone: someone/model: ")
    assert note.isprintable()


def test_what_is_too_large_on_the_hub_is_not_fetched(hub: Path, tmp_path: Path) -> None:
    for name in ("large", "shards"):
        (hub / "someone" / name).mkdir(parents=True)
        (hub / "someone" / name / "config.json").write_text(json.dumps(tiny("bert")))
    with (hub / "someone" / "large" / "config.json").open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    index = {"weight_map": {f"tensor{number}": f"shard{number}.safetensors" for number in range(1_001)}}
    (hub / "someone" / "shards" / "model.safetensors.index.json").write_text(json.dumps(index))
    finished = run_tiedlm(tmp_path, "count-params someone/large")
    assert finished.returncode == 2
    assert "its config.json is of 16,000,001 bytes" in finished.stderr
    assert "names 1,001 files, not 1 to 1,000" in answer(tmp_path, "someone/shards")["notes"][0]
    assert max(path.stat().st_size for path in (tmp_path / "hub-cache").rglob("*")) < 1_000_000


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", None])
def test_offline_is_said_with_what_needs_no_network(
    endpoint: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    if endpoint:
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0" if endpoint else "1")
    finished = run_tiedlm(tmp_path, "count-params someone/gpt2")
    assert finished.returncode == 2
    assert "the Hub cannot be reached" in finished.stderr, finished.stderr
    assert "give a config.json or a .safetensors file" in finished.stderr
    assert finished.stderr.count("\n") == 1
    known = answer(tmp_path, "openai-community/gpt2")
    assert known["total"] == 124_439_808
    assert "counted as gpt2, which is known here: " in known["notes"][0]


def test_what_was_fetched_once_is_counted_offline(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tiny("gpt2"), hub / "someone" / "gpt2")
    online = answer(tmp_path, "someone/gpt2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = answer(tmp_path, "someone/gpt2")
    assert offline["total"] == online["total"]
    assert "counted by its configuration alone" in offline["notes"][-1]


def test_a_file_without_a_configuration_says_what_is_stored(tmp_path: Path) -> None:
    save_file({"wte.weight": torch.zeros(7, 4), "h.0.ln_1.bias": torch.zeros(4)}, tmp_path / "bare.safetensors")
    document = answer(tmp_path, "bare.safetensors")
    assert (document["total"], document["architecture"], document["checkpoint"]["config_ties"]) == (32, None, None)
