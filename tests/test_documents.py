"""The README, the experiments and the results say what the program does."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image

from tests.cli.forked_command import run_forked
from tests.conftest import REPOSITORY
from tests.exchange.test_export import trained
from tiedlm.api.count import list_counts
from tiedlm.cli.commands import app
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
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
RESULTS = sorted(path.parent for path in (REPOSITORY / "results").rglob("comparison.json"))
MAPS = sorted(path.parent for path in (REPOSITORY / "results").glob("*/scan.json"))
SMALL = (
    "--steps 2 --set model.hidden_size=16 --set model.num_attention_heads=2 --set model.intermediate_size=16 "
    "--set corpus.tokenizer=word --set corpus.seq_length=8"
)


def shown_folder(folder: Path) -> str:
    return str(folder.relative_to(REPOSITORY / "results"))


def commands_of(page: Path) -> list[str]:
    """Every `tiedlm …` of a page's code blocks, in its order, without its comment."""
    lines = [line.strip().partition("#")[0] for line in page.read_text().splitlines() if line.startswith("    ")]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.startswith("tiedlm ")]


def snippets_of(page: Path, language: str) -> list[str]:
    """A page's blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def test_the_pages_have_every_command() -> None:
    shown = {command.split()[1] for page in PAGES for command in commands_of(page)}
    assert shown == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert 'pip install -e ".[dev]" && pytest' in README
    assert "pip install -e . && tiedlm compare" in README


def test_the_readme_leads_to_every_page() -> None:
    assert {path.name for path in (REPOSITORY / "docs").glob("*.md")} == set(re.findall(r"\]\(docs/(\S+)\)", README))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_within_a_sentence_has_its_options(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for command in re.findall(r"`tiedlm ([^`]*)`", page.read_text()):
        name, *words = command.split()
        options = {option for parameter in commands[name].params for option in parameter.opts} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, command


def test_the_reference_is_that_of_the_docstrings() -> None:
    path = REPOSITORY / "docs" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    again = "python docs/make_reference.py writes it again; look at what changed before you commit it"
    assert (REPOSITORY / "docs" / "reference.md").read_text() == module.reference(), again


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        *(f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md"))),
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


@pytest.fixture
def walk(corpus_folder: Path) -> Path:
    """A folder in which the commands of a page can be given: with texts, an experiment, a run and committed results."""
    here = corpus_folder.parent
    shutil.copytree(corpus_folder, here / "my-text")
    rows = (corpus_folder / "train.txt").read_text().splitlines()
    (here / "articles.csv").write_text("title,body\n" + "".join(f"{row},{row}\n" for row in rows))
    (arm,) = snippets_of(REPOSITORY / "docs" / "own-arm.md", "toml")
    (here / "my.toml").write_text(shipped_experiments()["ptb"].read_text().replace('"ptb"', '"my"', 1) + arm)
    (here / "items.jsonl").write_text('{"sentence": "the [MASK] sees a bone", "right": "dog", "wrong": "cow"}\n')
    for name in ("ptb-tuned", "ptb-map-width"):
        shutil.copytree(
            REPOSITORY / "results" / name, here / "results" / name, ignore=shutil.ignore_patterns("*.safetensors")
        )
    return here


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run_one_after_the_other(page: Path, walk: Path) -> None:
    """As they stand, but with a small model, two steps, two seeds, and the toy corpus for text that must be given."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(walk / "cache")}
    if page.name in ("models.md", "pairs.md"):  # of a run that takes hours
        made = trained(walk).parent.rename(walk / "made")
        (walk / "runs").mkdir()
        made.rename(walk / "runs/wikitext-2")
    elif any("runs/pydoc" in command for command in commands_of(page)):  # which an earlier page makes
        begun = run_forked(walk, f"train --tied --corpus my-text --out runs/pydoc {SMALL}", environment)
        assert begun.returncode == 0, begun.stderr
    for command in dict.fromkeys(command for command in commands_of(page) if "hub:" not in command):
        finished = run_forked(walk, small(command), environment)
        is_done = finished.returncode == 0 or (command.startswith("tiedlm status") and finished.returncode == 1)
        assert (is_done, finished.stdout != "") == (True, True), f"{command}\n{finished.stderr}"


def small(command: str) -> str:
    """The arguments of a page's command, for a model that trains in a second."""
    arguments = command.removeprefix("tiedlm ")
    goes_on = arguments.startswith("compare runs/")
    if not arguments.startswith(("compare", "train")) or goes_on:
        return arguments
    own_text = "" if "--corpus" in arguments else " --corpus my-text"
    seeds = "" if "--seeds" in arguments or arguments.startswith("train") else " --seeds 2"
    scans_tokenizers = "--scan corpus.tokenizer" in arguments
    size = SMALL.replace(" --set corpus.tokenizer=word", "") if scans_tokenizers else SMALL
    return f"{arguments}{own_text}{seeds} {size}"


def test_the_third_arm_of_the_page_loads(walk: Path) -> None:
    experiment = read_experiment(walk / "my.toml")
    assert experiment.arm_names == ["tied", "untied", "tied-no-transform"]
    assert experiment.run_config("tied-no-transform").model.head_transform is False


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if snippets_of(page, "python")], ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, walk: Path) -> None:
    """As it stands, but with a small model, two steps and the toy corpus."""
    settings = [setting for setting in SMALL.split() if "=" in setting] + ["train.num_steps=2", "corpus.name=corpus"]
    code = "\n".join(snippets_of(page, "python"))
    (walk / "script.py").write_text(code.replace('["train.num_steps=50"]', repr(settings)))
    finished = subprocess.run([sys.executable, "script.py"], cwd=walk, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    for told in re.findall(r"^print.*  # (\d+)$", code, flags=re.MULTILINE):
        assert told in finished.stdout.split()


def test_the_counts_of_the_page_are_those_of_the_command() -> None:
    page = (REPOSITORY / "docs" / "counting.md").read_text()
    rows = re.findall(r"^\| .* \| ([\d,]+ × [\d,]+) \| ([\d,]+) \| ([\d.]+ %) \|$", page, flags=re.MULTILINE)
    known = {
        (f"{count.vocab_size:,} × {count.hidden_size:,}", f"{count.saved:,}", percent(count.saved_fraction))
        for count in list_counts()
    }
    assert len(rows) >= 5
    assert set(rows) <= known
    assert f"{len(list_counts())} known models" in page


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
    sums = plot_sums(folder, comparison.records_sha256, plot_files(comparison))
    assert (folder / PLOT_SUMS_FILE).read_text() == sums, again


@pytest.mark.parametrize("folder", MAPS, ids=lambda folder: folder.name)
def test_the_report_of_a_map_equals_its_regeneration(folder: Path) -> None:
    scan = compare_cells(folder)
    again = f"tiedlm report {folder.relative_to(REPOSITORY)} writes it again; look at what changed before you commit it"
    assert scan.missing == []
    assert (folder / "REPORT.md").read_text() == render_scan_markdown(scan), again
    assert json.loads((folder / "scan.json").read_text())["records_sha256"] == scan.records_sha256, again
    assert (folder / PLOT_SUMS_FILE).read_text() == plot_sums(folder, scan.records_sha256, (MAP_FILE,)), again


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pydoc", "ptb-why", "ptb-own-best"])
def test_a_command_draws_the_plots_again_byte_for_byte(name: str, tmp_path: Path) -> None:
    """By the version of Matplotlib that drew them; another may draw a line a pixel wider.

    Of some folders: the sums of all are held to their records.
    """
    folder = REPOSITORY / "results" / name
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
