"""All commands, in the order of `--help`."""

from tiedlm.cli import compare_command  # isort: skip
from tiedlm.cli import train_command  # isort: skip
from tiedlm.cli import look_commands  # isort: skip
from tiedlm.cli import model_commands  # isort: skip
from tiedlm.cli import count_command  # isort: skip
from tiedlm.cli.app import app

__all__ = ["app", "compare_command", "count_command", "look_commands", "model_commands", "train_command"]
