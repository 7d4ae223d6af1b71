"""Every language-model class of the installed `transformers`, tied and untied, counted in each way that people have.

A class passes where the answers from its configuration, its folder and its file equal the unique parameters of the
class, and tell its tie as the built model has it. What does not pass is listed with its reason, and nothing else may.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError

from tests.conftest import REPOSITORY
from tests.counting.test_families import torch, transformers
from tiedlm.api.count import count_params
from tiedlm.counting.closed_forms.masked_lms import ALIAS
from tiedlm.errors import InputError

BIAS = f"{ALIAS}: the answer has one, and names the class's total among the others"
CODEBOOKS = "predicts sounds from several tables with a head each, none of them of words: refused"
ROUTING = "counts a routing bias where there is no configuration: its name is a parameter's in other classes"
EXCEPTIONS = {
    "AlbertForMaskedLM": BIAS,
    "BertForMaskedLM": BIAS,
    "BertLMHeadModel": BIAS,
    "CamembertForCausalLM": BIAS,
    "CamembertForMaskedLM": BIAS,
    "DebertaV2ForMaskedLM": BIAS,
    "RobertaForCausalLM": BIAS,
    "RobertaForMaskedLM": BIAS,
    "XLMRobertaForCausalLM": BIAS,
    "XLMRobertaForMaskedLM": BIAS,
    "EncoderDecoderModel": "two models, each with embeddings of its own: refused",
    "Gemma3nForConditionalGeneration": "cannot be built: its images need the timm package",
    "MarianMTModel": "has its sinusoidal positions as parameters, and does not store them; a note tells the difference",
    "MusicgenForCausalLM": CODEBOOKS,
    "MusicgenMelodyForCausalLM": CODEBOOKS,
}
BARE_EXCEPTIONS = {
    "DeepseekV4ForCausalLM": ROUTING,
    "HYV3ForCausalLM": ROUTING,
    "Inkling2ForCausalLM": ROUTING,
    "Inkling2LoopForCausalLM": ROUTING,
    "Kolibri1ForCausalLM": ROUTING,
}
NOT_BOTH_WAYS = "not supported"
"""What a class says that cannot be tied (DBRX)."""


def built_both_ways(class_name: str) -> Iterator[Any]:
    """The class with random numbers, tied and untied where it can be."""
    from tests.counting.shrunk_models import shrunk

    raw = shrunk(class_name)
    model_type = raw.pop("model_type")
    for tied in (True, False):
        try:
            config = transformers.AutoConfig.for_model(model_type, **raw | {"tie_word_embeddings": tied})
        except StrictDataclassError as error:
            if NOT_BOTH_WAYS not in str(error):
                raise
            continue
        model = getattr(transformers, class_name)(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        yield model


def is_tied(model: Any) -> bool | None:
    """Whether the output's matrix is another module's too; None where the class does not tell which it is."""
    output = model.get_output_embeddings()
    if not isinstance(output, torch.nn.Linear):
        return None
    return sum(getattr(module, "weight", None) is output.weight for module in model.modules()) > 1


def problems_of(model: Any, folder: Path) -> Iterator[tuple[str, str]]:
    """Where an answer differs from the model, and how."""
    total = sum(parameter.numel() for parameter in model.parameters())
    model.save_pretrained(folder)
    weights = folder / "model.safetensors"
    bare = folder / "bare"
    bare.mkdir()
    (bare / "alone.safetensors").symlink_to(weights)
    for way, path in {
        "config": folder / "config.json",
        "folder": folder,
        "file": weights,
        "bare": bare / "alone.safetensors",
    }.items():
        try:
            answer = count_params(path)
        except InputError as error:
            yield way, str(error)
            continue
        if answer.count.total != total:
            way = "told" if total in answer.count.other_totals.values() else way
            yield way, f"{answer.count.total - total:+,} of {total:,}"
        tie = answer.count.tie_word_embeddings
        if way != "bare" and is_tied(model) not in (None, tie):
            yield way, f"says tied={tie}"
        if answer.checkpoint is not None and answer.checkpoint.mismatch:
            yield way, answer.checkpoint.mismatch


def test_every_language_model_class_is_counted_or_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.counting.shrunk_models import classes

    transformers.utils.logging.disable_progress_bar()
    failed: dict[str, list[tuple[str, str]]] = {}
    names = [name for name in classes(("MASKED_LM", "CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM")) if ":" not in name]
    for class_name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # hundreds of classes, each with warnings of its own
            try:
                for arm, model in enumerate(built_both_ways(class_name)):
                    failed.setdefault(class_name, []).extend(problems_of(model, tmp_path / f"{class_name}-{arm}"))
            except (ImportError, StrictDataclassError) as error:
                failed.setdefault(class_name, []).append(("build", str(error)))
    bare = {name for name, problems in failed.items() if any(way == "bare" for way, _ in problems)}
    other = {name for name, problems in failed.items() if any(way != "bare" for way, _ in problems)}
    told = {name for name in other if all(way == "told" for way, _ in failed[name])}
    num_equal, num_right = len(failed) - len(other), len(failed) - len(other - told)
    with capsys.disabled():
        print(
            f"\ntransformers {transformers.__version__}: {len(failed)} language-model classes; "
            f"{num_equal} pass, for {len(told)} more the answer names the class's total among its others, and "
            f"{len(other - told)} fail with a reason; {len(failed) - len(other | bare)} pass by their file alone too"
        )
    details = "\n".join(f"{name}: {problems}" for name, problems in failed.items() if name in other | bare)
    assert other == EXCEPTIONS.keys(), details
    assert bare - other == BARE_EXCEPTIONS.keys(), details
    assert num_right >= 0.95 * len(failed)
    page = " ".join((REPOSITORY / "docs" / "counting.md").read_text(encoding="utf-8").split())
    if transformers.__version__.startswith("5.24."):  # of which the page tells
        assert (
            f"Of {len(failed)} classes, {num_equal} come out as the class itself counts; for {len(told)} more" in page
        )
        assert f"; {len(other - told)} are listed in the test with a reason each" in page
