"""What a user writes after an option → what the public functions take."""

from __future__ import annotations

from tiedlm.errors import InputError


def one_arm(given: list[str]) -> str:
    if len(given) != 1:
        names = " and ".join(f"{name!r}" for name in given) or "none"
        raise InputError(f"one arm is trained at a time, given: {names}; pass one of --tied, --untied and --arm NAME")
    return given[0]


def parse_seeds(given: str) -> int | list[int]:
    """`3` seeds, or seeds `0,1,2`.

    Raises:
        InputError: it is neither.
    """
    words = [word.strip() for word in given.split(",")]
    if not all(word.isdecimal() and len(word) < 19 for word in words):
        raise InputError(f"--seeds {given!r} is neither a number of seeds nor seeds with commas; give e.g. 3 or 0,1,2")
    return int(words[0]) if len(words) == 1 else [int(word) for word in words]


def all_settings(settings: list[str] | None, steps: int | None) -> list[str]:
    return [*(settings or []), *([] if steps is None else [f"train.num_steps={steps}"])]


def parse_jobs(jobs: str) -> int | None:
    if jobs == "auto":
        return None
    if not (jobs.isdecimal() and len(jobs) < 10 and int(jobs) > 0):
        raise InputError(f"--jobs {jobs!r} is neither auto nor a number above 0; give one of these")
    return int(jobs)
