"""Parameter counts as tables for a terminal and for Markdown, and as a plot; computes nothing."""
