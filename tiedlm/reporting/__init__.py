"""Writes a comparison for the terminal, as Markdown, as plots and as a page; formats, and computes nothing."""
