"""Finds the text of a corpus by its name, folder or file, fetches it, and hashes it."""
