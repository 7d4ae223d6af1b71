"""Mistakes that people make, and the sentence that sets them right."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
import typer

from tests.cli.test_bad_input import GOOD, run_tiedlm, tree, write
from tiedlm.cli.commands import app
from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.config.experiment_file import shipped_experiments
from tiedlm.config.interventions import Intervention
from tiedlm.config.model_config import ModelConfig
from tiedlm.config.resources import Resources
from tiedlm.config.train_config import TrainConfig

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("compare --lr 1e-3", "give --set train.learning_rate=1e-3"),
        ("compare --learning-rate=1e-3", "give --set train.learning_rate=1e-3"),
        ("compare --batch-size 8", "give --set train.batch_size=8"),
        ("train --tied --hidden-size", "give --set model.hidden_size=VALUE"),
        ("compare --name other", "give --set name=other"),
        ("compare --set intervention.tied_fraction=0.5", "applies only to tied models; set it under arms.NAME"),
        ("compare corpus", "give --corpus corpus"),
        ("compare ptbb", "did you mean ptb?"),
        ("compare wikitext", "did you mean wikitext-2?"),
        ("compare --arms tied,unteid", "did you mean untied?"),
        ("train --arm Untied", "did you mean untied?"),
        ("compare --set model.vocab_size=8000", "corpus.tokenizer=bpe:N"),
        ("compare --set train.lr=1", "did you mean train.learning_rate?"),
        ("compare --device gpu", "did you mean cuda?"),
        ("compare --precision fp16", "did you mean bf16?"),
        ("compare --data-dir corpus", "corpus 'pydoc' needs none; it is for ptb, wikitext-2"),
        ("compare --save-every -1", "--save-every -1.0 is no number of seconds"),
        ("compare --set arms.tied.model.tie_word_embeddings=false", "is what makes the arm tied"),
        ("config --list ptb", "--list goes with no experiment"),
        ("compare --tune --scan corpus.fraction=1.0", "each cell would need a tuning of its own"),
        ("compare --max-seeds 5", "--max-seeds 5 is for --to-within"),
        ("compare --out ''", "--out '': names no folder"),
        ("compare --corpus ptb --text-column text", "corpus 'ptb' needs none"),
        ("compare --corpus hub:stories", "is not of the form hub:OWNER/NAME"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(tmp_path: Path, arguments: str, words: str) -> None:
    write(tmp_path, GOOD)
    before = tree(tmp_path)
    answer = run_tiedlm(tmp_path, arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert words in answer.stderr
    assert answer.stderr.count("\n") <= 2
    assert tree(tmp_path) == before


def test_a_word_for_a_section_is_no_key(tmp_path: Path) -> None:
    answer = run_tiedlm(tmp_path, "compare --search 1")
    assert answer.returncode == 2
    assert "No such option" in answer.stderr
    assert "give --set" not in answer.stderr


@pytest.mark.parametrize(
    "arguments", ["-h", "compare -h", "train -h", "config -h", "count-params -h", "report -h", "ls -h"]
)
def test_help_is_there_under_both_names_and_has_an_example(tmp_path: Path, arguments: str) -> None:
    answer = run_tiedlm(tmp_path, arguments)
    assert answer.returncode == 0
    assert answer.stdout == run_tiedlm(tmp_path, arguments.replace("-h", "--help")).stdout
    assert arguments == "-h" or "Example: tiedlm" in answer.stdout
    assert "9223372036854775807" not in answer.stdout


def test_one_arm_s_key_can_be_set_from_the_command_line(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    small = "--steps 2 --set model.hidden_size=16 --set model.num_attention_heads=2 --set corpus.tokenizer=word"
    arms = "--set arms.untied.train.learning_rate=2e-3 --set arms.plain.model.head_transform=false"
    answer = run_tiedlm(
        tmp_path,
        f"compare --corpus corpus {small} --set model.head_transform=true --set corpus.seq_length=8 {arms} --json",
    )
    assert answer.returncode == 0, answer.stderr
    overrides = {name: arm["overrides"] for name, arm in json.loads(answer.stdout)["arms"].items()}
    assert overrides == {
        "tied": {"model.tie_word_embeddings": True},
        "untied": {"model.tie_word_embeddings": False, "train.learning_rate": 2e-3},
        "plain": {"model.head_transform": False},
    }


def test_config_shows_every_key_with_its_value_and_meaning(tmp_path: Path) -> None:
    answer = run_tiedlm(tmp_path, "config ptb --set train.learning_rate=0.25")
    rows = {line.split()[0]: line.split()[1:] for line in answer.stdout.splitlines() if line[:1] != " "}
    sections = {"model": ModelConfig, "corpus": CorpusConfig, "train": TrainConfig, "intervention": Intervention}
    sections |= {"resources": Resources}
    keys = {f"{name}.{key}" for name, section in sections.items() for key in section.model_fields} | {"name", "seeds"}
    assert {row for row in rows if not row.startswith("tune.")} == keys
    assert rows["train.learning_rate"][0] == "0.25"
    assert rows["intervention.tied_below"] == ["(not", "set)"]
    assert rows["tune.train.adam_epsilon"][:2] == ["1e-08,", "1e-05"]
    lines = answer.stdout.splitlines()
    meanings = {line.split()[0]: below for line, below in itertools.pairwise(lines) if line[:1] != " "}
    assert all(below.startswith("    ") for below in meanings.values()), "a key has no meaning"
    whole = " ".join(answer.stdout.split())
    allowed_values = (
        "modernbert, bert",
        "true, false",
        "above 0.0, below 1.0",
        "rotated:N, e.g. band:0",
        "up to 1,000",
    )
    for allowed in allowed_values:
        assert f"{allowed}." in whole
    listed = json.loads(run_tiedlm(tmp_path, "config --list --json").stdout)["experiments"]
    assert listed.keys() == shipped_experiments().keys()
    assert all(question.endswith("?") or len(question) > 20 for question in listed.values())


@pytest.mark.parametrize("command", ["train", "compare", "report", "explain", "export", "evaluate", "count-params"])
def test_help_shows_brackets_as_they_are(command: str, tmp_path: Path) -> None:
    """Rich takes `[tensorboard]` for a style, and leaves it out."""
    answer = run_tiedlm(tmp_path, f"{command} --help")
    shown = re.sub(r"[│\s]+", "", answer.stdout)
    group = typer.main.get_command(app)
    parameters = group.commands[command].params  # type: ignore[attr-defined]
    told = [parameter.help for parameter in parameters if getattr(parameter, "help", None)]
    assert len(told) > 1
    for sentence in told:
        assert re.sub(r"\s+", "", sentence.replace("\\[", "[")) in shown
