"""What goes into a run, as strict and frozen data read from TOML: what a file says, and nothing it does not say."""
