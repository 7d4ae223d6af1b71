"""The records of a folder → the experiment that made them, so that more runs can be added without its file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tiedlm.config.contrasts import Contrasts
from tiedlm.config.experiment import BUILT_IN_ARMS, SECTIONS_OF_ARMS, Experiment, Overrides
from tiedlm.config.experiment_file import shipped_experiments
from tiedlm.config.run_config import RunConfig
from tiedlm.config.strict import validated
from tiedlm.errors import InputError

SECTIONS = ("model", "corpus", "train", "intervention")


class OfExperiment(Protocol):
    """What a record, or a checkpoint, says of its experiment."""

    @property
    def experiment(self) -> str:
        """Its name."""

    @property
    def arm(self) -> str:
        """Of the run."""

    @property
    def seed(self) -> int:
        """Of the run."""

    @property
    def overrides(self) -> Overrides:
        """What the arm changes in the experiment."""

    @property
    def config(self) -> RunConfig:
        """The arm's, overrides applied."""

    @property
    def file_name(self) -> str:
        """Where it stands."""


def recorded_experiment(records: Sequence[OfExperiment], source: str, contrasts: Contrasts | None = None) -> Experiment:
    """The experiment of some records: its arms are theirs, with `tied` and `untied`, and its seeds as many as theirs.

    What an arm overrides stands in its own record alone; the value that the arms share is that of an arm that does not
    override it. `source` is the folder of the records, and `contrasts` are those that lie there.

    Raises:
        InputError: the records are of several experiments, or an arm that every experiment has cannot be told from
            them.
    """
    first = records[0]
    arms = {record.arm: record for record in records}
    for record in records:
        if (record.experiment, record.overrides) != (first.experiment, arms[record.arm].overrides):
            raise InputError(
                f"{source}: {first.file_name} and {record.file_name} are of different experiments; give the TOML file "
                "of one"
            )
    config = {section: dict(getattr(first.config, section)) for section in SECTIONS}
    for section, shared in config.items():
        for key in shared:
            plain = [record for record in arms.values() if key not in _overrides(record).get(section, {})]
            if plain:
                shared[key] = getattr(getattr(plain[0].config, section), key)
            elif key != "tie_word_embeddings" and BUILT_IN_ARMS.keys() - arms:
                missing = ", ".join(arm for arm in BUILT_IN_ARMS if arm not in arms)
                raise InputError(
                    f"{source}: every arm there sets {section}.{key}, so what {missing} would have is not known; give "
                    "the TOML file of the experiment"
                )
    document = config | {
        "name": first.experiment,
        "seeds": len({record.seed for record in records}),
        "arms": {arm: _own_overrides(record) for arm, record in arms.items()},
        "contrasts": {
            name: contrast.model_dump()
            for name, contrast in (contrasts.contrasts if contrasts else {}).items()
            if contrast.weights.keys() <= {*BUILT_IN_ARMS, *arms}
        },
    }
    return validated(Experiment, document, source)


def folder_argument(folder: Path) -> str:
    """A folder as it is written in a shell for the experiment in it, which the name of a shipped one is not."""
    name = str(folder)
    return shlex.quote(f"./{name}" if name in shipped_experiments() or name.startswith("-") else name)


def _overrides(record: OfExperiment) -> dict[str, dict[str, Any]]:
    return {str(section): keys for section, keys in record.overrides.items()}


def _own_overrides(record: OfExperiment) -> dict[str, dict[str, Any]]:
    """Without what makes a built-in arm what it is, which an experiment does not state."""
    built_in = BUILT_IN_ARMS.get(record.arm, {})
    found = {
        section: {key: value for key, value in record.overrides.get(section, {}).items() if key not in of_arm}
        for section in SECTIONS_OF_ARMS
        for of_arm in [built_in.get(section, {})]
    }
    return {section: keys for section, keys in found.items() if keys}
