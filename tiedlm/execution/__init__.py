"""Runs many runs side by side, a process each, in a folder that it locks; knows nothing of what a run computes."""
