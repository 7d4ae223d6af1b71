"""Trains and evaluates one arm with one seed, and goes on with a run that was interrupted; knows of no other run."""
