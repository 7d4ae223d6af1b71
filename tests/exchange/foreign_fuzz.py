"""Folders of strangers, mutated by a seed: configuration × weights × tokenizer; each scored rightly or refused.

    python -m tests.exchange.foreign_fuzz --number 2000 --first 0

makes 2,000 of them, and writes what became of each. Every twentieth is given to the real command too.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.exchange.plain_loop import plain_score
from tests.exchange.test_export import gpt2, roberta, unigram, wordpiece
from tiedlm import InputError, evaluate

transformers = pytest.importorskip("transformers")

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
DISTILBERT = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
FAMILIES: dict[str, dict[str, Any]] = {
    "Bert": SIZES,
    "Roberta": SIZES,
    "ModernBert": SIZES
    | {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0, "cls_token_id": 0, "sep_token_id": 0},
    "Albert": SIZES | {"embedding_size": 8},
    "Electra": SIZES | {"embedding_size": 8},
    "DistilBert": DISTILBERT,
    "MPNet": SIZES,
    "DebertaV2": SIZES,
    "FNet": {key: size for key, size in SIZES.items() if key != "num_attention_heads"},
}
NUM_ROWS, NUM_POSITIONS, SEQ_LENGTH = 280, 48, 14
SECONDS, BYTES = 60.0, 2_000_000_000
WORDS = ("the", "dog", "a", "bone", "do", "zzz", "dog?", "<mask>", "[PAD]", "naïve")
VALUES: tuple[Any, ...] = (
    *(0, -1, -2, 1, 2, 3, 7, 64, 10**4, 10**6, 10**8, 10**9, 2**31, 2**32, 10**30, 1.5, 1e-30, 1e308),
    *(float("nan"), float("inf"), None, True, False, "", "x", "0", "gelu", "float16", "bert", [], [1, 2], {}, {"x": 1}),
    *("\ud800", "\x1b[31m", "../../etc", "(a+)+$", "[MASK]", "<mask>", "▁" * 50, "a" * 100_000),
)


class Outcome(NamedTuple):
    """What became of one folder."""

    number: int
    mutations: list[str]
    ended: str
    """`scored`, `refused`, or what is wrong."""
    told: str
    seconds: float
    peak_bytes: int


def make_bases(folder: Path) -> list[Path]:
    """Sound models of several families, each with a tokenizer of another kind; and a text for all."""
    bases = []
    for index, (family, sizes) in enumerate(FAMILIES.items()):
        base = folder / family
        backend = (wordpiece, unigram, gpt2, roberta)[index % 4]()
        tokens = backend.get_vocab()
        names = {"mask": "[MASK]", "pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
        if "<mask>" in tokens:
            names = {"mask": "<mask>", "pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>"}
        special = {f"{role}_token": name for role, name in names.items()}
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **special)
        tokenizer.save_pretrained(base)
        config = getattr(transformers, f"{family}Config")(
            **{**sizes, "vocab_size": NUM_ROWS, "max_position_embeddings": NUM_POSITIONS}
        )
        torch.manual_seed(index)
        model = getattr(transformers, f"{family}ForMaskedLM")(config)
        for parameter in model.parameters():
            parameter.data.normal_(std=0.3)
        model.save_pretrained(base)
        bases.append(base)
    generator = random.Random(0)
    text = folder / "text"
    text.mkdir()
    for split, num_lines in (("train", 30), ("valid", 12), ("test", 8)):
        lines = [" ".join(generator.choices(WORDS, k=generator.randint(1, 9))) for _ in range(num_lines)]
        (text / f"{split}.txt").write_text("\n".join([*lines, "a" * 60]) + "\n", encoding="utf-8")
    return bases


def mutate(folder: Path, generator: random.Random) -> list[str]:
    """One to three changes, anywhere."""
    return [
        generator.choice((_configuration, _weights, _tokenizer))(folder, generator)
        for _ in range(generator.randint(1, 3))
    ]


def _configuration(folder: Path, generator: random.Random) -> str:
    path = folder / "config.json"
    if generator.random() < 0.1:
        return _bytes(path, generator)
    return _json(path, generator, shallow=True)


def _tokenizer(folder: Path, generator: random.Random) -> str:
    path = folder / generator.choice(("tokenizer.json", "tokenizer.json", "tokenizer_config.json"))
    if generator.random() < 0.1:
        return _bytes(path, generator)
    if path.name == "tokenizer.json" and generator.random() < 0.3 and path.exists():
        return _part(path, generator)
    return _json(path, generator, shallow=generator.random() < 0.3)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    except (ValueError, OSError):
        return None


def _json(path: Path, generator: random.Random, shallow: bool) -> str:
    """A value put in, taken out or exchanged, somewhere."""
    document = _load(path)
    if not isinstance(document, dict) or not document:
        return _bytes(path, generator)
    node: Any = document
    place: list[Any] = []
    while True:
        key = generator.choice(list(node) if isinstance(node, dict) else range(len(node)))
        place.append(key)
        if shallow or not isinstance(node[key], dict | list) or not node[key] or generator.random() < 0.2:
            break
        node = node[key]
    how = generator.random()
    if how < 0.15:
        node.pop(key)
        changed = "removed"
    else:
        value = generator.choice(VALUES) if how < 0.85 else _others(document, generator)
        node[key] = value
        changed = f"{value!r:.40}"
    path.write_text(json.dumps(document), encoding="utf-8", errors="replace")
    return f"{path.name}: {'.'.join(map(str, place))[:60]} = {changed}"


def _others(document: dict[str, Any], generator: random.Random) -> Any:
    return copy.deepcopy(generator.choice(list(document.values())))


def _part(path: Path, generator: random.Random) -> str:
    """A part of a tokenizer that takes time or memory, or is none."""
    document = _load(path)
    if not isinstance(document, dict):
        return _bytes(path, generator)
    number = generator.choice((1, 10, 1_000, 100_000))
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    regex = generator.choice(("(a+)+$", "(a|aa)+b", "(", "a{1,9999}{9999}"))
    grows = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
    anything = {"type": "Replace", "pattern": {"Regex": "."}, "content": generator.choice(("", "[MASK]", "\x00"))}
    parts: list[tuple[str, Any]] = [
        ("pre_tokenizer", split | {"pattern": {"Regex": regex}}),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}] * number}),
        ("pre_tokenizer", {"type": "FixedLength", "length": generator.choice((0, 1, 3))}),
        ("pre_tokenizer", {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "Lowercase"}] * number}),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": generator.choice(("", "////", "AAAA"))}),
        ("normalizer", {"type": "Sequence", "normalizers": [grows] * generator.randint(1, 9)}),
        ("normalizer", anything),
        (
            "post_processor",
            {
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "x", "type_id": 0}}] * generator.choice((1, 3, 99, 10**4))
                + [{"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"x": {"id": "x", "ids": [generator.choice((1, 5, 10**6, 2**31))], "tokens": ["x"]}},
            },
        ),
    ]
    key, value = generator.choice(parts)
    document[key] = value
    path.write_text(json.dumps(document), encoding="utf-8")
    return f"{path.name}: {key} = {json.dumps(value)[:80]}"


def _weights(folder: Path, generator: random.Random) -> str:
    path = folder / "model.safetensors"
    if generator.random() < 0.25:
        return _bytes(path, generator)
    try:
        tensors = load_file(path)
    except Exception:  # an earlier mutation has broken it
        return _bytes(path, generator)
    if not tensors:
        return "no weights"
    name = generator.choice(list(tensors))
    tensor, other = tensors[name], generator.choice(list(tensors))
    changes: dict[str, Callable[[], Any]] = {
        "removed": lambda: tensors.pop(name),
        "renamed": lambda: tensors.__setitem__(f"{name}_", tensors.pop(name)),
        "exchanged": lambda: tensors.update({name: tensors[other].clone(), other: tensor.clone()}),
        "one longer": lambda: tensors.__setitem__(name, torch.cat([tensor, tensor[:1]])),
        "transposed": lambda: tensors.__setitem__(
            name, tensor.t().contiguous() if tensor.ndim == 2 else tensor.flip(0)
        ),
        "not a number": lambda: tensors.__setitem__(name, tensor * float("nan")),
        "infinite": lambda: tensors.__setitem__(name, tensor + float("inf")),
        "huge": lambda: tensors.__setitem__(name, tensor * 1e30),
        "half": lambda: tensors.__setitem__(name, tensor.half()),
        "double": lambda: tensors.__setitem__(name, tensor.double()),
        "whole": lambda: tensors.__setitem__(name, tensor.to(torch.int8)),
        "truth": lambda: tensors.__setitem__(name, tensor > 0),
        "8 bits": lambda: tensors.__setitem__(name, tensor.to(torch.float8_e4m3fn)),
        "empty": lambda: tensors.__setitem__(name, tensor[:0]),
        "added": lambda: tensors.__setitem__("cls.predictions.decoder.weight", torch.randn(NUM_ROWS, 16)),
        "prefixed": lambda: [tensors.__setitem__(f"_orig_mod.{key}", tensors.pop(key)) for key in list(tensors)],
        "all removed": tensors.clear,
    }
    how = generator.choice(list(changes))
    changes[how]()
    save_file(tensors, path, metadata={"format": "pt"})
    return f"{path.name}: {name} {how}"


def _bytes(path: Path, generator: random.Random) -> str:
    content = path.read_bytes() if path.exists() else b"{}"
    how = generator.choice(("cut", "flipped", "inserted", "emptied", "gone", "pointer", "doubled"))
    at = generator.randrange(min(len(content), 3_000) or 1)
    match how:
        case "cut":
            content = content[:at]
        case "flipped":
            content = content[:at] + bytes([generator.randrange(256)]) + content[at + 1 :]
        case "inserted":
            content = content[:at] + generator.randbytes(3) + content[at:]
        case "emptied":
            content = b""
        case "pointer":
            content = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"
        case "doubled":
            content += content
    path.unlink(missing_ok=True)
    if how != "gone":
        path.write_bytes(content)
    return f"{path.name}: {how} at {at}"


def try_one(number: int, bases: list[Path], place: Path) -> Outcome:
    """Mutate a copy, have it scored, and hold the answer to an independent one."""
    generator = random.Random(number)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(generator.choice(bases), place)
    mutations = mutate(place, generator)
    text, told, began = bases[0].parent / "text", "", time.monotonic()
    with peak_of_children() as peak:
        try:
            (split,) = evaluate(place, str(text), ["valid"], seq_length=SEQ_LENGTH).splits
            ended = "scored"
        except InputError as error:
            told, ended = str(error), "refused"
            if "\n" in told or not told.isprintable() or len(told) > 900 or "Traceback" in told:
                ended = "told in more than a sentence"
        except Exception as error:
            ended, told = "a fault", repr(error)[-900:]
    seconds = time.monotonic() - began
    if seconds > SECONDS:
        ended = f"took {seconds:.0f} s"
    elif peak[0] > BYTES:
        ended = f"took {peak[0]:,} bytes"
    elif ended == "scored":
        told = f"{split.masked_lm_loss_nats}"
        try:
            confirmed = independent_loss(place, (text / "valid.txt").read_text(encoding="utf-8").splitlines())
            if abs(confirmed - split.masked_lm_loss_nats) > 1e-4 * max(1.0, abs(confirmed)):
                ended = f"scored {split.masked_lm_loss_nats}, and independently {confirmed}"
        except Exception as error:
            ended = f"scored, but independently: {error!r:.300}"
    return Outcome(number, mutations, ended, told, seconds, peak[0])


def independent_loss(folder: Path, lines: list[str]) -> float:
    """By `transformers` alone and a plain loop; every parameter must be in the file."""
    model, account = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not account["missing_keys"], account
    assert not account["mismatched_keys"], account
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    framed = tokenizer(f"the {tokenizer.mask_token}", return_special_tokens_mask=True)
    plain = tokenizer(f"the {tokenizer.mask_token}", add_special_tokens=False)["input_ids"]
    ids = framed["input_ids"]
    starts = [start for start in range(len(ids)) if ids[start : start + len(plain)] == plain]
    before, after = ids[: starts[0]], ids[starts[0] + len(plain) :]
    return plain_score(model.eval(), tokenizer, lines, SEQ_LENGTH - len(before) - len(after), before, after).loss_nats


@contextmanager
def peak_of_children() -> Iterator[list[int]]:
    """The largest memory that a process below this one has had meanwhile, looked at 50 times a second."""
    peak, is_over = [0], threading.Event()

    def look() -> None:
        while not is_over.wait(0.02):
            for pid in _descendants(os.getpid()):
                try:
                    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                except OSError:
                    continue
                peak[0] = max(
                    peak[0], 1024 * int(status.partition("VmRSS:")[2].split()[0] if "VmRSS:" in status else 0)
                )

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        is_over.set()
        watcher.join()


def _descendants(pid: int) -> list[int]:
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="utf-8").split()
        ]
    except OSError:
        return []
    return [*children, *(below for child in children for below in _descendants(child))]


def by_command(place: Path, text: Path) -> str | None:
    """What is wrong with the real command's answer on a folder; None for nothing."""
    command = [sys.executable, "-m", "tiedlm", "evaluate", str(place), "--corpus", str(text), "--split", "valid"]
    answer = subprocess.run(
        [*command, "--seq-length", str(SEQ_LENGTH), "--json", "--quiet"], capture_output=True, text=True, timeout=120
    )
    if answer.returncode == 0 and not answer.stderr:
        return None if json.loads(answer.stdout)["splits"] else "no splits"
    is_sentence = answer.stderr.startswith("tiedlm: ") and answer.stderr.count("\n") == 1
    return (
        None if answer.returncode == 2 and is_sentence and not answer.stdout else f"{answer.returncode} {answer.stderr}"
    )


def main() -> None:
    """See the module's head."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--log", type=Path)
    given = parser.parse_args()
    transformers.logging.set_verbosity_error()
    ends: Counter[str] = Counter()
    slowest, largest = 0.0, 0
    with tempfile.TemporaryDirectory() as temporary:
        bases = make_bases(Path(temporary))
        for number in range(given.first, given.first + given.number):
            outcome = try_one(number, bases, Path(temporary, "place"))
            if number % 20 == 0 and (wrong := by_command(Path(temporary, "place"), bases[0].parent / "text")):
                outcome = outcome._replace(ended=f"by the command: {wrong}")
            ends[outcome.ended if outcome.ended in ("scored", "refused") else "wrong"] += 1
            slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.peak_bytes)
            if given.log:
                with given.log.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(outcome._asdict(), ensure_ascii=True) + "\n")
            if outcome.ended not in ("scored", "refused"):
                print(json.dumps(outcome._asdict()), flush=True)
    print(f"{dict(ends)}; slowest {slowest:.1f} s, largest {largest / 1e9:.2f} GB")
    sys.exit(1 if ends["wrong"] else 0)


if __name__ == "__main__":
    main()
