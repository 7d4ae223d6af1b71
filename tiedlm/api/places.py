"""The folders, below the current one, in which runs lie when no other is given."""

RUNS_FOLDER, RESULTS_FOLDER = "runs", "results"
"""Where a command writes without `--out`, which git ignores, and where what was committed on purpose lies."""
