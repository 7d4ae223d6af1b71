"""What the user is told when something given is wrong; apart, so that telling it costs no import."""


class InputError(ValueError):
    """Something the user gave is wrong: one sentence with the field, the value and the remedy."""


class RunsFailed(Exception):
    """Some of the runs failed; each was told of when it did."""
