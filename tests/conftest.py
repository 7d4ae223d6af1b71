"""A model small enough for a test, and a corpus that no network is needed for."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tiedlm.config.experiment import Experiment
from tiedlm.config.model_config import ModelConfig
from tiedlm.record.run_id import RunId
from tiedlm.record.run_record import RunRecord

torch.set_num_threads(1)  # toy matrices: a second thread only waits for the first

REPOSITORY = Path(__file__).parent.parent
HANG_SECONDS = 1_200  # no test is timed: this is far beyond what a slow and busy machine needs, and ends what hangs
TOY = {
    "name": "toy",
    "seeds": 1,
    "model": {
        "encoder": "modernbert",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 32,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "rope_theta": 160_000.0,
        "tie_word_embeddings": True,
        "head_transform": True,
    },
    "corpus": {"name": "corpus", "tokenizer": "word", "seq_length": 16, "fraction": 1.0},
    "train": {
        "num_steps": 6,
        "batch_size": 4,
        "mlm_probability": 0.3,
        "learning_rate": 0.01,
        "norm_and_bias_learning_rate": 0.01,
        "muon_learning_rate": 0.02,
        "adam_beta1": 0.9,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-8,
        "weight_decay": 0.1,
        "warmup_fraction": 0.2,
        "max_grad_norm": 1.0,
        "num_evaluations": 2,
        "eval_mask_seed": 0,
    },
}


def toy_experiment(**settings: Any) -> Experiment:
    """The toy experiment with keys changed, e.g. `toy_experiment(**{"model.encoder": "bert"})`."""
    raw: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in TOY.items()}
    for place, value in settings.items():
        section, _, key = place.rpartition(".")
        (raw.setdefault(section, {}) if section else raw)[key] = value
    return Experiment.model_validate(raw)


def train_arm(experiment: Experiment, arm: str, seed: int, *given: Any, **options: Any) -> RunRecord:
    """`train_run` of an experiment's arm."""
    from tiedlm.training.run import train_run

    return train_run(experiment.name, RunId(arm, seed), experiment.arm_config(arm), *given, **options)


def toy_model(**settings: Any) -> ModelConfig:
    """The toy model with keys changed."""
    return toy_experiment(**{f"model.{key}": value for key, value in settings.items()}).model


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep every test out of the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def corpus_folder(tmp_path: Path) -> Path:
    """A folder with the toy corpus."""
    write_toy_corpus(tmp_path / "corpus")
    return tmp_path / "corpus"


def write_toy_corpus(folder: Path) -> None:
    """Sentences of a tiny grammar, so that a model can learn something from them."""
    generator = random.Random(0)
    folder.mkdir()
    for split, num_lines in (("train", 300), ("valid", 40), ("test", 30)):
        lines = [
            f"the {generator.choice(['cat', 'dog', 'cow'])} {generator.choice(['sees', 'likes'])} "
            f"{generator.choice(['a', 'the'])} {generator.choice(['mouse', 'bone', 'meadow'])} today"
            for _ in range(num_lines)
        ]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def real_data() -> Path:
    """The folder of the real corpora, or a skip that says how to get it."""
    folder = os.environ.get("TIEDLM_DATA")
    if not folder:
        pytest.skip("TIEDLM_DATA is not set; it names the folder that holds ptb/ and wikitext-2/")
    return Path(folder)


NoteFault = Callable[[str, int | None, bool], None]


@pytest.fixture
def note_fault(request: pytest.FixtureRequest) -> NoteFault:
    """Enter a try in the fault table: what was done, the steps lost, and whether a record came out damaged.

    The steps are None where nothing was interrupted, or nobody is left to tell how far it was.
    """

    def note(fault: str, lost_steps: int | None, is_damaged: bool) -> None:
        request.node.user_properties.append(("fault", (fault, lost_steps, is_damaged)))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the fault table, if faults were tried."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    calls = [report for report in reports if getattr(report, "when", None) == "call"]
    tries = [value for call in calls for name, value in call.user_properties if name == "fault"]
    if not tries:
        return
    terminalreporter.section("faults")
    terminalreporter.line(f"{'fault':<44}{'tries':>8}{'lost steps, at most':>22}{'records damaged':>18}")
    for fault in sorted({name for name, _, _ in tries}):
        lost, damaged = zip(*((steps, is_damaged) for name, steps, is_damaged in tries if name == fault), strict=True)
        most = max((steps for steps in lost if steps is not None), default="–")
        terminalreporter.line(f"{fault:<44}{len(lost):>8}{most:>22}{sum(damaged):>18}")
    terminalreporter.line("–: nothing was interrupted, or nobody was left to tell how far it was")
