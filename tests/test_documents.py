"""The README, the experiments and the results say what the program does."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.forked_command import run_forked
from tests.conftest import REPOSITORY
from tests.exchange.test_export import trained
from tiedlm import export
from tiedlm.api.count import list_counts
from tiedlm.comparison.cells import cell_folders
from tiedlm.comparison.designs import load_scan_design, load_tune
from tiedlm.comparison.folder import compare_cells, compare_folder
from tiedlm.comparison.tuning_table import TUNE_FOLDER, read_tuning
from tiedlm.config.corpus_config import CorpusConfig
from tiedlm.config.experiment import Experiment, changed
from tiedlm.config.experiment_file import read_experiment, shipped_experiments
from tiedlm.config.interventions import Intervention
from tiedlm.config.model_config import ModelConfig
from tiedlm.config.train_config import TrainConfig
from tiedlm.config.tune import Tune
from tiedlm.counting.closed_forms.parameters import count_config
from tiedlm.counting.shown.count_tables import percent
from tiedlm.errors import InputError
from tiedlm.record.record_file import load_records
from tiedlm.reporting.markdown import plot_files, render_markdown
from tiedlm.reporting.scan_report import MAP_FILE, render_scan_markdown
from tiedlm.reporting.write import PLOT_SUMS_FILE, plot_sums

README = (REPOSITORY / "README.md").read_text()
RESULTS = sorted(path.parent for path in (REPOSITORY / "results").rglob("comparison.json"))
MAPS = sorted(path.parent for path in (REPOSITORY / "results").glob("*/scan.json"))
SMALL = (
    "--steps 2 --set model.hidden_size=16 --set model.num_attention_heads=2 --set model.intermediate_size=16 "
    "--set corpus.tokenizer=word --set corpus.seq_length=8"
)


def shown_folder(folder: Path) -> str:
    return str(folder.relative_to(REPOSITORY / "results"))


def readme_commands() -> list[str]:
    """Every `tiedlm …` of the README's code blocks, without its comment."""
    lines = [line.strip().partition("#")[0] for line in README.splitlines() if line.startswith("    ")]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.startswith("tiedlm ")]


def test_the_readme_has_commands() -> None:
    assert {command.split()[1] for command in readme_commands()} == {
        "compare",
        "train",
        "report",
        "ls",
        "status",
        "explain",
        "export",
        "evaluate",
        "count-params",
        "config",
        "doctor",
    }
    assert 'pip install -e ".[dev]" && pytest' in README
    assert "pip install -e . && tiedlm compare" in README


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "results/README.md",
        "results/throughput/README.md",
        "experiments/README.md",
        "experiments/LOG.md",
    ],
)
def test_links_lead_somewhere(page: str) -> None:
    """To a file that is there, and in it to a heading, which GitHub names by its words in lower case and hyphens."""
    path = REPOSITORY / page
    broken = []
    for link, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text()):
        target = path.parent / link if link else path
        headings = re.findall(r"^#+ (.*)$", target.read_text(), flags=re.MULTILINE) if anchor else []
        names = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        if not target.exists() or (anchor and anchor not in names):
            broken.append(f"{link}#{anchor}")
    assert broken == []


@pytest.mark.parametrize("arguments", [["--version"], ["--version", "compare"]])
def test_version(arguments: list[str]) -> None:
    finished = subprocess.run([sys.executable, "-m", "tiedlm", *arguments], capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == f"{importlib.metadata.version('tiedlm')}\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", dict.fromkeys(command for command in readme_commands() if "hub:" not in command))
def test_the_readme_commands_run_on_a_toy_corpus(command: str, corpus_folder: Path) -> None:
    """As they stand, but with a small model and two steps, and with the toy corpus for text that must be given."""
    here = corpus_folder.parent
    shutil.copytree(corpus_folder, here / "my-text")
    arguments = command.removeprefix("tiedlm ")
    environment = {**os.environ, "XDG_CACHE_HOME": str(here / "cache")}
    goes_on = arguments.startswith(("compare runs/pydoc", "status runs/pydoc"))
    if goes_on:
        begun = run_forked(here, f"train --tied --corpus my-text --out runs/pydoc {SMALL}", environment)
        assert begun.returncode == 0, begun.stderr
    if arguments.startswith(("export", "evaluate")):  # of a run that another of the commands makes
        made = trained(here).parent.rename(here / "made")
        (here / "runs").mkdir()
        made.rename(here / "runs/wikitext-2")
        if arguments.startswith("evaluate"):
            export(here / "runs/wikitext-2/tied-seed0.safetensors", here / "runs/exported")
    rows = (here / "my-text" / "train.txt").read_text().splitlines()
    (here / "articles.csv").write_text("title,body\n" + "".join(f"{row},{row}\n" for row in rows))
    shutil.copytree(
        REPOSITORY / "results/ptb-tuned", here / "results/ptb-tuned", ignore=shutil.ignore_patterns("*.safetensors")
    )
    if arguments.startswith(("compare", "train")) and not goes_on:
        own_text = "" if "--corpus" in arguments else " --corpus my-text"
        arguments = f"{arguments}{own_text} {SMALL}"
    before = {*here.iterdir(), here / "cache", here / "ptb.html", here / "share.png"}
    finished = run_forked(here, arguments, environment)
    assert (finished.returncode, finished.stdout != "") == (0, True), finished.stderr
    assert {*here.iterdir()} - before <= {here / "runs"}  # which git ignores


def test_the_readme_third_arm_loads(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    path = tmp_path / "experiment.toml"
    path.write_text(shipped_experiments()["ptb"].read_text() + snippet)
    experiment = read_experiment(path)
    assert experiment.arm_names == ["tied", "untied", "tied-no-transform"]
    assert experiment.run_config("tied-no-transform").model.head_transform is False


@pytest.mark.slow
@pytest.mark.usefixtures("corpus_folder")
def test_the_readme_s_python_runs(tmp_path: Path) -> None:
    """As it stands, but with a small model, two steps and the toy corpus."""
    (snippet,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    small = [setting for setting in SMALL.split() if "=" in setting] + ["train.num_steps=2", "corpus.name=corpus"]
    assert '["train.num_steps=50"]' in snippet
    script = tmp_path / "script.py"
    script.write_text(snippet.replace('["train.num_steps=50"]', repr(small)))
    finished = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    saved, difference = finished.stdout.split()
    assert snippet.splitlines()[2].endswith(f"# {saved}")
    assert abs(float(difference)) < 1.0


def test_the_readme_counts_are_those_of_the_command() -> None:
    rows = re.findall(r"^\| .* \| ([\d,]+ × [\d,]+) \| ([\d,]+) \| ([\d.]+ %) \|$", README, flags=re.MULTILINE)
    known = {
        (f"{count.vocab_size:,} × {count.hidden_size:,}", f"{count.saved:,}", percent(count.saved_fraction))
        for count in list_counts()
    }
    assert len(rows) >= 5
    assert set(rows) <= known
    assert f"{len(list_counts())} known models" in README


@pytest.mark.parametrize("folder", RESULTS, ids=shown_folder)
def test_a_report_equals_its_regeneration(folder: Path) -> None:
    comparison = compare_folder(folder)
    again = f"tiedlm report {folder.relative_to(REPOSITORY)} writes it again; look at what changed before you commit it"
    assert (folder / "REPORT.md").read_text() == render_markdown(comparison), again
    kept = json.loads((folder / "comparison.json").read_text())
    for found, expected in zip(kept["differences"], comparison.model_dump()["differences"], strict=True):
        for key in ("mean", "p_value", "values", "ci95"):  # another build of scipy may differ in the last digits
            value = expected["delta_nats"][key]
            assert found["delta_nats"][key] == (None if value is None else pytest.approx(value, rel=1e-9)), again
    assert kept["records_sha256"] == comparison.records_sha256, again


@pytest.mark.parametrize("folder", MAPS, ids=lambda folder: folder.name)
def test_the_report_of_a_map_equals_its_regeneration(folder: Path) -> None:
    scan = compare_cells(folder)
    again = f"tiedlm report {folder.relative_to(REPOSITORY)} writes it again; look at what changed before you commit it"
    assert scan.missing == []
    assert (folder / "REPORT.md").read_text() == render_scan_markdown(scan), again
    assert json.loads((folder / "scan.json").read_text())["records_sha256"] == scan.records_sha256, again


@pytest.mark.parametrize("folder", [*RESULTS, *MAPS], ids=shown_folder)
def test_the_plots_are_those_that_were_drawn_from_the_records(folder: Path) -> None:
    is_map = folder in MAPS
    names = (MAP_FILE,) if is_map else plot_files(compare_folder(folder))
    records_sha256 = (compare_cells(folder) if is_map else compare_folder(folder)).records_sha256
    assert (folder / PLOT_SUMS_FILE).read_text() == plot_sums(folder, records_sha256, names)


@pytest.mark.slow
@pytest.mark.parametrize("folder", [path for path in RESULTS if path.parent.name == "results"], ids=shown_folder)
def test_a_command_draws_the_plots_again_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    """By the version of Matplotlib that drew them; another may draw a line a pixel wider."""
    plots = sorted(folder.glob("*.png"))
    with Image.open(plots[0]) as image:
        drawn_by = image.info["Software"]
    if f"version{importlib.metadata.version('matplotlib')}," not in drawn_by:
        pytest.skip(f"drawn by {drawn_by}")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.png", "*.safetensors"))
    finished = run_forked(tmp_path, f"report {copy} --force", dict(os.environ))
    assert finished.returncode == 0, finished.stderr
    assert [path.name for path in plots if (copy / path.name).read_bytes() != path.read_bytes()] == []


@pytest.mark.parametrize("folder", RESULTS, ids=shown_folder)
def test_results_are_those_of_their_experiment(folder: Path) -> None:
    design = load_scan_design(folder.parent)
    name = folder.name.removesuffix("-tuned") if design is None else design.experiment
    experiment = _at_the_best_of_its_tuning(read_experiment(shipped_experiments()[name]), folder)
    for record in load_records(folder):
        assert record.provenance.git_dirty is False
        words = shlex.split(record.provenance.command)
        assert words[:2] == ["tiedlm", "compare"]
        named = words[2:3] or ["pydoc"]  # without a name it is the default
        assert named[0] in (name, f"experiments/{name}.toml")  # the first names the shipped one
        steps = {"train.num_steps": int(words[words.index("--steps") + 1])} if "--steps" in words else {}
        cell = {} if design is None else cell_folders(design.values)[folder.name]
        assert record.config == changed(experiment, {**steps, **cell}).run_config(record.arm)


def _at_the_best_of_its_tuning(experiment: Experiment, folder: Path) -> Experiment:
    if not (folder / TUNE_FOLDER).is_dir():
        return experiment
    assert experiment.tune is not None
    design = load_tune(folder)
    assert design is not None
    assert design == experiment.tune.design(design.trials, experiment.name)
    lowest = read_tuning(folder / TUNE_FOLDER, design).lowest
    values = {f"arms.{arm}.{key}": value for arm in lowest for key, value in lowest[arm].values.items()}
    return changed(experiment, values)


@pytest.mark.parametrize("name", shipped_experiments())
def test_an_experiment_says_what_it_asks_and_predicts(name: str) -> None:
    path = shipped_experiments()[name]
    experiment = read_experiment(path)
    assert experiment.name == path.stem
    comment = path.read_text().partition("\n\n")[0]
    for word in ("# Question:", "# Differs:", "# Equal:", "# Predicted before the first run"):
        assert word in comment
    assert re.search(r"# Cost: .*(second|minute)", comment)
    for arm in experiment.arm_names:
        experiment.run_config(arm)


def test_arms_of_equal_size_are() -> None:
    """Within half a per cent, as Melis et al.'s control asks."""
    experiment = read_experiment(shipped_experiments()["ptb-arms"])
    totals = {
        arm: count_config(arm, experiment.run_config(arm).model.config_json(10_003)).total
        for arm in experiment.arm_names
    }
    assert totals["untied-same-size"] == pytest.approx(totals["tied"], rel=0.005)
    assert totals["tied-wider"] == pytest.approx(totals["untied"], rel=0.005)


def test_every_key_must_be_stated(tmp_path: Path) -> None:
    lines = shipped_experiments()["ptb"].read_text().splitlines()
    for index, line in enumerate(lines[: next(i for i, line in enumerate(lines) if line.startswith("[tune]"))]):
        if " = " in line and not line.startswith("#"):
            path = tmp_path / "experiment.toml"
            path.write_text("\n".join(lines[:index] + lines[index + 1 :]))
            with pytest.raises(InputError, match=rf"key \S*{line.split()[0]} is missing"):
                read_experiment(path)


def test_every_key_is_explained() -> None:
    """By `tiedlm config`, which prints what each field says of itself."""
    unexplained = [
        f"{section.__name__}.{key}"
        for section in (ModelConfig, CorpusConfig, TrainConfig, Intervention, Tune)
        for key, field in section.model_fields.items()
        if not (field.description or "").endswith(".")
    ]
    assert unexplained == []


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments").rglob("*.py")), ids=lambda path: path.name)
def test_a_script_of_the_experiments_imports_what_is_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tiedlm"):
            module = importlib.import_module(str(node.module))
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
