"""Whatever a configuration or a text says, a run ends with a record or with one sentence, and leaves no half of one.

Configurations and texts are drawn at random: mostly sensible, with some nonsense in between.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import TOY, train_arm
from tests.training.test_run import FP32
from tiedlm.config.experiment import Experiment
from tiedlm.config.experiment_file import read_experiment
from tiedlm.data.sources.corpus import load_corpus
from tiedlm.data.tokens import tokenize
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_record
from tiedlm.record.run_record import RunRecord
from tiedlm.training.loop import RunFailed

pytestmark = pytest.mark.slow
NUM_CASES = int(os.environ.get("TIEDLM_CASES", "200"))  # of each of the two tests
CASES = settings(
    max_examples=NUM_CASES,
    deadline=None,
    phases=[Phase.generate],  # to make a failing case smaller takes minutes, and it is readable as it is
    derandomize=NUM_CASES == 200,  # the same in every run of CI; other numbers look elsewhere
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SENSIBLE: dict[str, list[Any]] = {
    "name": ["toy", "a-1"],
    "seeds": [1, 2],
    "model.encoder": ["modernbert", "bert"],
    "model.hidden_size": [4, 8, 12, 32],
    "model.num_hidden_layers": [1, 2],
    "model.num_attention_heads": [1, 2, 4],
    "model.intermediate_size": [1, 4, 48],
    "model.max_position_embeddings": [8, 16, 32],
    "model.hidden_dropout_prob": [0.0, 0.1, 0.99],
    "model.attention_probs_dropout_prob": [0.0, 0.1, 0.99],
    "model.initializer_range": [1e-9, 0.02, 1.0, 1e9],
    "model.rope_theta": [1e-9, 1.0, 1e4, 1e30],
    "model.tie_word_embeddings": [True, False],
    "model.head_transform": [True, False],
    "intervention.output_rows": ["own", "own", "identity", "band:0", "any:3"],
    "intervention.output_matrix_start": ["drawn", "drawn", "drawn", "copied"],
    "intervention.input_gradient_scale": [1.0, 0.0, 1e30],
    "corpus.tokenizer": ["word", "word:20", "word:7", "bpe:262", "bpe:300"],
    "corpus.seq_length": [8, 9, 16],
    "train.num_steps": [1, 2, 5],
    "train.batch_size": [1, 3, 400],
    "train.mlm_probability": [1e-9, 0.15, 0.3, 0.999],
    "train.learning_rate": [1e-30, 0.01, 1.0, 1e30],
    "train.norm_and_bias_learning_rate": [1e-30, 0.01, 1e30],
    "corpus.fraction": [1.0, 0.3, 1e-9],
    "corpus.fraction_seed": [0, 1, 2**63 - 1],
    "corpus.vocabulary": ["whole", "whole", "fraction"],
    "intervention.output_matrix_rate_scale": [1.0, 1e-30, 1e30],
    "intervention.tied_fraction": [1.0, 1.0, 1.0, 0.5],
    "train.muon_learning_rate": [0.0, 0.02, 1e30],
    "train.adam_beta1": [0.0, 0.9, 0.999999],
    "train.adam_beta2": [0.0, 0.98, 0.999999],
    "train.adam_epsilon": [1e-30, 1e-8, 1.0, 1e30],
    "train.weight_decay": [0.0, 0.1, 1e30],
    "train.warmup_fraction": [0.0, 0.2, 0.999],
    "train.max_grad_norm": [1e-30, 1.0, 1e30],
    "train.num_evaluations": [1, 2, 10_000],
    "train.eval_mask_seed": [0, 2**62],
}
NONSENSE = st.sampled_from(
    [-1, 0, 1, 10**6, 10**30, 0.5, -0.5, 1e308, 1e-320, math.nan, math.inf, True, "", "x", "../x", "word:0", "bpe:10"]
) | st.recursive(st.text(max_size=5) | st.integers(), lambda inner: st.lists(inner, max_size=2), max_leaves=3)


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Any]:
    """Place → value; a place may be missing, and there may be one that is unknown."""
    chosen = {place: draw(st.sampled_from(values)) for place, values in SENSIBLE.items()}
    for place in draw(st.lists(st.sampled_from(sorted(SENSIBLE)), max_size=2) | st.just([])):
        chosen[place] = draw(NONSENSE)
    if draw(st.integers(0, 19)) == 0:
        del chosen[draw(st.sampled_from(sorted(chosen)))]
    if draw(st.integers(0, 19)) == 0:
        chosen[draw(st.sampled_from(["train.more", "more", "model.vocab_size"]))] = draw(NONSENSE)
    return chosen


def is_too_long(experiment: Experiment) -> bool:
    """Right, and too much for a test; its sizes are within the limits, so a machine could do it."""
    train, model = experiment.train, experiment.model
    sizes = [model.hidden_size, model.intermediate_size, model.num_hidden_layers * 50, model.max_position_embeddings]
    return max(*sizes, train.num_steps * 100, train.batch_size) > 1_000


def toml(places: dict[str, Any]) -> str:
    """As TOML text."""

    def value(item: Any) -> str:
        if isinstance(item, float):
            return repr(item)
        return f"[{', '.join(map(value, item))}]" if isinstance(item, list) else json.dumps(item)

    top = [f"{place} = {value(item)}" for place, item in places.items() if "." not in place]
    sections: dict[str, list[str]] = {"model": [], "corpus": ['name = "text"'], "train": [], "intervention": []}
    for place, item in places.items():
        if "." in place:
            section, _, key = place.partition(".")
            sections[section].append(f"{key} = {value(item)}")
    return "\n".join([*top, *(line for name, lines in sections.items() for line in (f"[{name}]", *lines))])


def assert_one_sentence(error: InputError) -> None:
    """What is wrong; what to do."""
    sentence = str(error)
    assert sentence.isprintable(), repr(sentence)
    assert "; " in sentence, sentence
    assert "Error" not in sentence, sentence


def run_or_sentence(experiment: Experiment, text: Path, out: Path) -> None:
    """The two good ends of a run; `RunFailed` is the sentence of one that diverged."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    try:
        corpus = tokenize(load_corpus(str(text), None), experiment.corpus)
        record = train_arm(experiment, "untied", 0, corpus, FP32, out, "tiedlm train", lambda _: None)
    except InputError as error:
        assert_one_sentence(error)
        assert list(out.iterdir()) == []
    except RunFailed:
        assert list(out.glob("*.json")) == []
    else:
        assert isinstance(record, RunRecord)
        assert load_record(out / "untied-seed0.json") == record


@CASES
@given(places=experiments())
def test_any_configuration(places: dict[str, Any], corpus_folder: Path) -> None:
    path = corpus_folder.parent / "experiment.toml"
    path.write_text(toml(places), encoding="utf-8")
    try:
        experiment = read_experiment(path)
    except InputError as error:
        assert_one_sentence(error)
        return
    if not is_too_long(experiment):
        run_or_sentence(experiment, corpus_folder, corpus_folder.parent / "out")


WORDS = st.sampled_from(
    ["a", "b", "the", "the the the", "[MASK]", "<unk>", "\u202e", "é", "\U0001f600", "\r", "\x1b[2J"]
)
LINES = st.lists(st.lists(WORDS, max_size=8).map(" ".join), max_size=12)
TEXTS = (
    LINES.map(lambda lines: "\n".join(lines).encode())
    | LINES.map(lambda lines: "".join(json.dumps({"text": line}) + "\n" for line in lines).encode())
    | LINES.map(lambda lines: gzip.compress("\n".join(lines * 4).encode(), mtime=0))
    | st.binary(max_size=300)
    | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.sampled_from([b"null", b"[]", b'{"text": ' + b"[" * 10_000, b"PAR1" + b"\0" * 30 + b"PAR1"])
)
GOOD_TEXT = b"the cat sees a dog today\n" * 30
SUFFIXES = st.sampled_from(
    [".txt", ".txt", ".tokens", ".jsonl", ".json", ".csv", ".tsv", ".txt.gz", ".jsonl.xz", ".parquet"]
)


@CASES
@given(
    texts=st.fixed_dictionaries({split: st.just(GOOD_TEXT) | TEXTS for split in ("train", "valid", "test")}),
    suffix=SUFFIXES,
    tokenizer=st.sampled_from(["word", "bpe:262", "word:9"]),
)
def test_any_text(texts: dict[str, bytes], suffix: str, tokenizer: str, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for split, content in texts.items():
        (folder / f"{split}{'.txt' if content == GOOD_TEXT else suffix}").write_bytes(content)
    raw = {**TOY, "corpus": {"name": "text", "tokenizer": tokenizer, "seq_length": 8, "fraction": 1.0}}
    raw["train"] = {**TOY["train"], "num_steps": 1, "num_evaluations": 1}  # type: ignore[dict-item]
    raw["model"] = {**TOY["model"], "hidden_size": 4, "intermediate_size": 4}  # type: ignore[dict-item]
    run_or_sentence(Experiment.model_validate(raw), folder, tmp_path / "out")
