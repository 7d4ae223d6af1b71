"""An experiment: a configuration that its arms share, and what each arm changes in it.

Every key without a default must be stated, and no unknown key may be. A comparison trains *arms*: the experiment with
a few keys overridden. `tied` and `untied` exist in every experiment; a file may add more.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from tiedlm.config.contrasts import Contrast
from tiedlm.config.resources import Resources
from tiedlm.config.run_config import RunConfig
from tiedlm.config.strict import ALSO_CALLED, Name, keys_of, validated
from tiedlm.config.train_config import SHARED_TRAIN_KEYS
from tiedlm.config.tune import Tune
from tiedlm.errors import InputError, did_you_mean

Section = Literal["model", "train", "intervention"]
Overrides = dict[Section, dict[str, Any]]
BUILT_IN_ARMS: dict[str, Overrides] = {
    "tied": {"model": {"tie_word_embeddings": True}},
    "untied": {"model": {"tie_word_embeddings": False}},
}
SECTIONS_OF_ARMS: tuple[Section, ...] = ("model", "train", "intervention")


class ArmConfig(NamedTuple):
    """An arm, its overrides applied."""

    overrides: Overrides
    """What it changes in the experiment."""
    config: RunConfig
    """All of it."""


class Experiment(RunConfig):
    """A TOML file of `experiments/`: the shared configuration, the arms and the number of seeds."""

    sections_unwritten_where_empty: ClassVar[tuple[str, ...]] = ("intervention", "contrasts", "resources")

    name: Name
    """Names the records and their folder, `runs/NAME`."""
    seeds: Annotated[int, Field(gt=0, le=1_000)]
    """How many seeds of each arm, from 0 on. A seed draws start values, batches, masks and dropout."""
    arms: dict[Name, Overrides] = Field(default_factory=dict)
    tune: Tune | None = None
    contrasts: dict[Name, Contrast] = Field(default_factory=dict)
    """What is tested, by name; where there are none, every other arm against `tied`."""
    resources: Resources = Field(default_factory=Resources)

    @model_validator(mode="after")
    def _arms_fit(self) -> Self:
        for arm, overrides in self.arms.items():
            if arm in BUILT_IN_ARMS and "tie_word_embeddings" in overrides.get("model", {}):
                raise ValueError(
                    f"arms.{arm}.model.tie_word_embeddings is what makes the arm {arm}; give another arm another name"
                )
            for key in overrides.get("train", {}):
                if key in SHARED_TRAIN_KEYS:
                    raise ValueError(f"arms.{arm}.train.{key} must be the same in all arms; set train.{key} instead")
        configs = {arm: self.run_config(arm) for arm in self.arm_names}
        for arm, other in itertools.product(self.arms, self.arm_names):
            if other != arm and configs[arm] == configs[other]:
                raise ValueError(f"arms.{arm} changes nothing: it is {other} again; change a key in it, or remove it")
        return self

    @model_validator(mode="after")
    def _contrasts_fit(self) -> Self:
        for name, contrast in self.contrasts.items():
            for arm in contrast.weights:
                if arm not in self.arm_names:
                    raise ValueError(
                        f"contrasts.{name}.weights.{arm}: arm {arm!r} is not one of {', '.join(self.arm_names)}"
                        f"{did_you_mean(arm, self.arm_names)}; choose one of these"
                    )
        return self

    @property
    def arm_names(self) -> list[str]:
        """The built-in two first, then those of the file."""
        return [*BUILT_IN_ARMS, *(arm for arm in self.arms if arm not in BUILT_IN_ARMS)]

    def check_arm(self, arm: str) -> None:
        """Refuse an arm that the experiment does not have.

        Raises:
            InputError: the arm is unknown.
        """
        if arm not in self.arm_names:
            hint = did_you_mean(arm, self.arm_names)
            raise InputError(f"arm {arm!r} is not one of {', '.join(self.arm_names)}{hint}; choose one of these")

    def overrides(self, arm: str) -> Overrides:
        """What an arm changes.

        Raises:
            InputError: the arm is unknown.
        """
        self.check_arm(arm)
        of_file: dict[str, dict[str, Any]] = {str(section): keys for section, keys in self.arms.get(arm, {}).items()}
        built_in = BUILT_IN_ARMS.get(arm, {})
        merged = {section: {**of_file.get(section, {}), **built_in.get(section, {})} for section in SECTIONS_OF_ARMS}
        return {section: keys for section, keys in merged.items() if keys}

    def arm_config(self, arm: str) -> ArmConfig:
        """What an arm changes, and what it is then.

        Raises:
            InputError: the arm is unknown, or one of its overrides is.
        """
        return ArmConfig(self.overrides(arm), self.run_config(arm))

    def run_config(self, arm: str) -> RunConfig:
        """Apply an arm's overrides.

        Raises:
            InputError: the arm is unknown, or one of its overrides is.
        """
        overrides = self.overrides(arm)
        merged = {
            "model": {**self.model.model_dump(), **overrides.get("model", {})},
            "corpus": self.corpus.model_dump(),
            "train": {**self.train.model_dump(), **overrides.get("train", {})},
            "intervention": {**self.intervention.model_dump(), **overrides.get("intervention", {})},
        }
        return validated(RunConfig, merged, f"arm {arm!r}")


def changed(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    """The experiment with other values, by `section.key` or `arms.ARM.section.key`.

    Raises:
        InputError: there is no such key, or it cannot have the value.
    """
    raw = experiment.model_dump()
    for place, value in values.items():
        *sections, key = place.split(".")
        target = raw
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise InputError(f"{place}: {section!r} is no section; give a key as tiedlm config shows it")
        target[key] = value
    told = ", ".join(f"{place}={value!r}" for place, value in values.items())
    return validated(Experiment, raw, f"{experiment.name} with {told}")


def place_of_key(name: str) -> str | None:
    """`train.learning_rate` of `learning_rate`, or of what others call it; None if `--set` takes no such key."""
    place = keys_of(Experiment).get(ALSO_CALLED.get(name, name), "")
    return place if "." in place or place in ("name", "seeds") else None
