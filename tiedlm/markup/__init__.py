"""Headings, sentences and tables as Markdown and as LaTeX; knows nothing of what they say."""
