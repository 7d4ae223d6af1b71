"""The `tiedlm` command: options, progress and printing; what it does is done by the public functions."""
