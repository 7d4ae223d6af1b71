"""What comes out of a run, and how it is written and read."""
