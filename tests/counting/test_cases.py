"""The folders of known cases, each a report of a real kind made small, with the right value that its CASE.md tells.

They lie beside the repository and not in it; where they are absent, nothing is tried.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tiedlm.api.count import count_params
from tiedlm.counting.counted_model import counted_model
from tiedlm.errors import InputError

NOT_SAID = "not said"
"""Of a tie that a case says nothing of."""
NO_HEAD, CANNOT = "no head", "cannot"
MISMATCH, REFUSED = 1, 2
ADVICE_NOBODY_CAN_FOLLOW = "give a smaller file"


@dataclass(frozen=True)
class Right:
    """A right answer to one path of a case."""

    total: int | None = None
    """None where the case says nothing of it."""
    tie: bool | str | tuple[bool | str | None, ...] | None = NOT_SAID
    """One, or any of several."""
    words: tuple[str, ...] = ()
    """That the answer as JSON, or the refusal, has."""
    status: int = 0
    never: tuple[str, ...] = ()
    """That it has not."""

    def problem(self, said: Said) -> str | None:
        """How an answer differs from this one."""
        ties = self.tie if isinstance(self.tie, tuple) else (self.tie,)
        if said.status != self.status:
            return f"status {said.status} for {self.status}"
        if self.total not in (None, said.total):
            return f"{said.total:,} for {self.total:,}"
        if NOT_SAID not in ties and said.tie not in ties:
            return f"tie {said.tie} for {self.tie}"
        lacking = [words for words in self.words if words not in said.text]
        return f"lacks {lacking}" if lacking else next((f"has {w!r}" for w in self.never if w in said.text), None)


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    total: int
    tie: bool | str | None
    sentences: tuple[str, ...]
    """The refusal; or the mismatch and the notes."""
    text: str = field(repr=False)
    """The answer as JSON, or the refusal."""


def refused(*words: str, never: tuple[str, ...] = ()) -> Right:
    """A refusal with these words."""
    return Right(words=words, status=REFUSED, never=never)


def each(paths: str, *rights: Right) -> dict[str, tuple[Right, ...]]:
    """Several paths of a case with the same right answers."""
    return dict.fromkeys(paths.split(), rights)


ADAPTER = refused("adapter")
TOLD_OR_FOLLOWED = (Right(), refused(never=(ADVICE_NOBODY_CAN_FOLLOW,)))
CASES: dict[str, dict[str, tuple[Right, ...]]] = {  # case → path → right answers, of which one must be given
    "adapter-file-embed-target": each("adapter_model.safetensors", ADAPTER)
    | each(".", refused("adapter", "embed_tokens.base_layer.weight", never=("no copies of the embeddings",))),
    "adapter-file-modules_to_save": each(". adapter_model.safetensors", ADAPTER),
    "annotated-tgt-generator": each("model.pt", Right(7_264, True)),
    "bark": each(". config.json", Right(20_160)),
    "bart-buffer": each(". config.json model.safetensors", Right(45_248, True)),
    "bias-not-resized": each(". model.safetensors", Right(words=("cls.predictions.bias", "not resized"))),
    "bin-beside-config": each(
        ".",
        Right(21_496, True, words=("were not read", "pytorch_model.bin")),
        Right(21_496, True, words=('"num_tensors"',)),  # read, which is better
    )
    | each("pytorch_model.bin", Right(21_496, True)),
    "bin-folder-mismatch": each(". pytorch_model.bin", Right(24_736, False, status=MISMATCH)),
    "blip-top-false": each(". config.json", Right(17_600, True)),
    "codeshell-index": each(".", Right(16_352, True)),
    "conv-kernel-mamba": each(". config.json", Right(18_144, True)),
    "conv-kernel-mamba2": each(". config.json", Right(20_160, False)),
    "conv-kernel-nemotron_h": each(". config.json", Right(16_272)),
    "donut-tied": each(". config.json", Right(20_416, True)),
    "dtype-copies": each(".", Right(21_664, True)),
    "eagle3-no-embed": each(".", Right(tie=(False, None, CANNOT), words=("lm_head.weight",))),
    "electra-discriminator": each(". config.json", Right(tie=NO_HEAD)),
    "fairseq-version": each("checkpoint_best.pt", Right(19_904)),
    "flava-default": each(". config.json", Right(29_091)),
    "flux-text_encoder_2-config": each("config.json", Right(4_762_310_656, NO_HEAD)),
    "fp8-fused-experts": each(". config.json", Right(38_256)),
    "fp8-scales": each(".", Right(23_200, words=("scale",))),
    "gemma3n-text": each("config.json", Right(6_835_235_568, True)),
    "gguf": each("model-q4.gguf", Right(tie=(True, False)), Right(tie=NO_HEAD), refused("model-q4.gguf")),
    "gguf-codeshell": each("m.gguf", Right(tie=True)),
    "gguf-exp_probs_b": each("glm.gguf", Right(28_064)),
    "gguf-lora": each("lora.gguf", ADAPTER, Right(words=("adapter",))),
    "glmasr-no-flag-identical-copies": each(". config.json", Right(8_896, True)),
    "granite-hybrid-infinity": each(". config.json", Right(23_688, True)),
    "hyenadna": each(".", Right(6_724)),
    "idefics-tied": each(". config.json", Right(25_108, True)),
    "index-over-16-MB": each(".", *TOLD_OR_FOLLOWED),
    "int8-two-plain-matrices": each(".", Right(status=MISMATCH, words=("two different matrices",))),
    "lm-head-only": each(".", Right(status=MISMATCH, words=("no input matrix",))),
    "lora-adapter": each(".", refused("adapter", "no copies of the embeddings")),
    "lxmert-config": each("config.json", Right(228_051_752), refused()),
    "marian-config": each("config.json", Right(72_149_504, True)),
    "mistral-native-tied-fp8": each(". consolidated.safetensors", Right(21_664, True)),
    "moshi-underscore-key": each(". config.json", Right(23_877)),
    "mtp-copies": each(".", Right(37_232)),
    "museglimmer-inner-tied": each("config.json", Right(42_520_112, False)),
    "musicgen": each(". config.json", Right(11_984, (False, CANNOT))),
    "no-flag-anywhere": each(
        "config.json",
        Right(24_011_361_280, False, words=("default",)),
        Right(words=("default", "24011361280")),  # among its other totals
    ),
    "one-file-of-55296-tensors": each(".", *TOLD_OR_FOLLOWED),
    "one-shard-bare": each("model-00001-of-00002.safetensors", refused("part"), Right(words=("part",))),
    "own-code-bert": each(
        "config.json", Right(117_074_176), refused("auto_map"), Right(words=("auto_map", "was not run"))
    ),
    "pegasus-no-architectures": each("config.json", Right(45_120, True)),
    "quanto-fp8": each(". config.json", Right(21_664, True)),
    "qwen2-moe": each("config.json", Right(14_315_784_192, False)),
    "t5-is-gated-act": each("config.json", Right(7_824)),
    "t5-small-torchinfo": each("config.json", Right(41_344, True, words=("torchinfo 1.8.0", "52864")))
    | each("t5-small", Right(words=("torchinfo 1.8.0", "109855232"))),  # the known model, of which the report is
    "t5-two-vocabularies": each(".", Right(8_592, (False, CANNOT))),
    "tied-by-construction": each(".", Right(41_830, True)),
    "trocr-tied": each(". config.json", Right(20_384, True, words=('"saved": 1536',))),
    "trocr-untied": each(". config.json", Right(21_920, False, words=('"saved": 1536',))),
    "unknown-type-flag-true": each(".", Right(tie=True)),
    "unknown-type-two-different": each(".", Right(status=MISMATCH, words=("two different matrices",))),
    "word-lm-stored-twice": each("model.safetensors", Right(20_856, True, words=('"copies": "identical"',))),
    "word-lm-untied": each("model.safetensors", Right(24_696, False, words=('"total_tied": 20856',))),
    "xlnet": each(".", Right(21_112)),
    "zero3-embed-only-bare": each("w.safetensors", Right(words=("empty",)), refused("empty")),
}
MADE = {"index-over-16-MB": "model.safetensors.index.json", "one-file-of-55296-tensors": "model.safetensors"}
"""What the program of a case writes, which is too large to keep."""


def folders() -> Iterator[Path]:
    """Where the cases may lie."""
    yield REPOSITORY.parent / "shared" / "cases" / "counting"
    if "TIEDLM_DATA" in os.environ:
        yield Path(os.environ["TIEDLM_DATA"]).parent / "cases" / "counting"


def case_folder(case: str, place: Path) -> Path:
    """A copy of a case's folder that can be written to."""
    found = next((folder / case for folder in folders() if (folder / case).is_dir()), None)
    if found is None:
        pytest.skip("the folder of cases does not lie beside the repository")
    copy = place / case
    copy.mkdir()
    for path in found.iterdir():  # not copytree, which keeps that they may not be written to
        (copy / path.name).write_bytes(path.read_bytes())
    if case in MADE:
        subprocess.run([sys.executable, "make.py", MADE[case]], cwd=copy, check=True)
    return copy


def answer(folder: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> Said:
    """What the command says, asked from inside the folder."""
    monkeypatch.chdir(folder)
    try:
        found = count_params(path)
    except InputError as error:
        return Said(REFUSED, 0, None, (str(error),), str(error))
    count = found.count
    tie: Any = CANNOT if count.output_shape is not None else count.tie_word_embeddings
    mismatch = found.checkpoint.mismatch if found.checkpoint is not None else None
    sentences = (*found.notes,) if mismatch is None else (mismatch, *found.notes)
    text = json.dumps(asdict(counted_model(found)), ensure_ascii=False)
    status = 0 if mismatch is None else MISMATCH
    return Said(status, count.total, tie if count.has_head else NO_HEAD, sentences, text)


@pytest.mark.parametrize(("case", "path"), [(case, path) for case, paths in CASES.items() for path in paths])
def test_case(case: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = answer(case_folder(case, tmp_path), path, monkeypatch)
    problems = [right.problem(said) for right in CASES[case][path]]
    assert None in problems, f"{problems}; said: {said}"


@pytest.mark.parametrize("flag", [True, False])
def test_a_discriminator_has_no_head_whatever_its_flag(
    flag: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = case_folder("electra-discriminator", tmp_path)
    config: Mapping[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": flag}), encoding="utf-8")
    said = answer(folder, ".", monkeypatch)
    assert (said.status, said.tie) == (0, NO_HEAD)


def test_every_case_is_tried() -> None:
    found = next((folder for folder in folders() if folder.is_dir()), None)
    if found is None:
        pytest.skip("the folder of cases does not lie beside the repository")
    assert {folder.name for folder in found.iterdir() if (folder / "CASE.md").is_file()} == CASES.keys()
