"""Plans runs and hands them as jobs to an engine, in a folder that it locks; knows nothing of what a run computes."""
