"""Runs on this machine: a process a run, forked from a server that has imported torch."""
