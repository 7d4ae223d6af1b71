"""The `tiedlm` command: options, progress, printing and exit status around the public functions."""
