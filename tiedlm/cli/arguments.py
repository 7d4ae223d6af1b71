"""What a user writes after an option → what the public functions take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from tiedlm.errors import InputError

Form = Literal["text", "json", "csv", "curves-csv", "markdown", "latex"]
PLAN_FORMS = ("text", "slurm")
MAX_TASK_MINUTES = 10_000.0


def as_text(given: str, what: str) -> str:
    """An argument as the text that was written, whatever the locale takes its bytes for.

    Raises:
        InputError: it is no UTF-8.
    """
    try:
        return os.fsencode(given).decode("utf-8")
    except ValueError as error:
        raise InputError(f"{what} {given!r}: is no text in UTF-8; write it in that encoding") from error


def as_place(given: str, what: str) -> Path:
    """An argument as a path, of which '' is none.

    Raises:
        InputError: it is empty.
    """
    check_named(given, what)
    return Path(given)


def as_folder(given: str, what: str) -> Path:
    """The same of a folder that is there.

    Raises:
        InputError: it is empty, or no folder.
    """
    place = as_place(given, what)
    if not place.is_dir():
        raise InputError(f"{what} {given}: {'is not a folder' if place.exists() else 'is not there'}; give a folder")
    return place


def check_named(given: str, what: str) -> None:
    """Refuse a name of nothing but blanks.

    Raises:
        InputError: it is one.
    """
    if not given.strip():
        raise InputError(f"{what} {given!r}: is an empty name; give one, or . for the current folder")


def one_arm(given: list[str]) -> str:
    if len(given) != 1:
        names = " and ".join(f"{name!r}" for name in given) or "none"
        raise InputError(f"one arm is trained at a time, given: {names}; pass one of --tied, --untied and --arm NAME")
    return given[0]


def parse_seeds(given: str) -> int | list[int]:
    """`3` seeds, or seeds `0,1,2`, or seed `6,` alone.

    Raises:
        InputError: it is none of these.
    """
    words = [word.strip() for word in given.strip().removesuffix(",").split(",")]
    if not all(word.isdecimal() and len(word) < 19 for word in words):
        raise InputError(f"--seeds {given!r} is neither a number of seeds nor seeds with commas; give e.g. 3 or 0,1,2")
    return [int(word) for word in words] if "," in given else int(words[0])


def all_settings(settings: list[str] | None, steps: int | None) -> list[str]:
    return [*(settings or []), *([] if steps is None else [f"train.num_steps={steps}"])]


def options_of(**given: object) -> list[str]:
    """The words of the options that are given, by their names; of a list, one for each."""
    found = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        is_default = value is None or (value == "auto" and name in ("device", "precision", "jobs"))
        values = [] if is_default else value if isinstance(value, list) else [value]
        found += [word for one in values for word in (option, str(one))]
    return found


def check_together(given: dict[str, bool]) -> None:
    """Refuse options of `compare` that do not go together.

    Raises:
        InputError: naming two.
    """
    reasons = {
        ("--executor", "--plan"): "the commands of a plan are for other engines",
        ("--executor", "--dry-run"): "a dry run times some steps on this machine",
        ("--dry-run", "--tune"): "a dry run knows no result of the tuning",
        ("--dry-run", "--csv"): "a dry run has no comparison",
        ("--dry-run", "--markdown"): "a dry run has no comparison",
        ("--dry-run", "--latex"): "a dry run has no comparison",
        ("--to-within", "--scan"): "each cell would have its own number of seeds",
        ("--tune", "--scan"): "each cell would need a tuning of its own",
    }
    for (one, other), reason in reasons.items():
        if given[one] and given[other]:
            raise InputError(f"{one} and {other} do not go together: {reason}; leave one of them out")


def with_plan_form(arguments: list[str]) -> list[str]:
    """The words of a command, where `--plan` alone stands for `--plan text`."""
    following = [*arguments, ""][1:]
    is_alone = [word == "--plan" and after not in PLAN_FORMS for word, after in zip(arguments, following, strict=True)]
    return [f"{word}=text" if alone else word for word, alone in zip(arguments, is_alone, strict=True)]


def check_plan(plan: str | None, task_minutes: float | None, given: dict[str, bool]) -> None:
    """Refuse what does not go with `--plan`, and forms that it has not.

    Raises:
        InputError: naming the option.
    """
    if plan not in (None, *PLAN_FORMS):
        raise InputError(f"--plan {plan!r} is not one of {', '.join(PLAN_FORMS)}; choose one of these")
    if task_minutes is not None and plan != "slurm":
        raise InputError(
            f"--task-minutes {task_minutes:g} is for --plan slurm, which is not given; give both or neither"
        )
    if task_minutes is not None and not 0 < task_minutes < MAX_TASK_MINUTES:
        raise InputError(f"--task-minutes {task_minutes:g} is not a number from above 0 to 10,000; give e.g. 60")
    for option, is_given in given.items():
        if plan is not None and is_given:
            raise InputError(f"--plan and {option} do not go together: a plan is commands; leave one of them out")


def chosen_form(given: dict[Form, bool]) -> Form:
    """How something is shown: in the form whose option is given, else as text.

    Raises:
        InputError: more than one is given.
    """
    forms = [form for form, is_given in given.items() if is_given]
    if len(forms) > 1:
        raise InputError(
            f"--{forms[0]} and --{forms[1]} do not go together: stdout has one form; leave one of them out"
        )
    return forms[0] if forms else "text"


def parse_jobs(jobs: str) -> int | None:
    if jobs == "auto":
        return None
    if not (jobs.isdecimal() and len(jobs) < 10 and int(jobs) > 0):
        raise InputError(f"--jobs {jobs!r} is neither auto nor a number above 0; give one of these")
    return int(jobs)
