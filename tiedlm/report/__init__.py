"""Writes a comparison for the terminal, as Markdown and as plots; formats, and computes nothing."""
