"""Counts a language model's parameters, on paper or from a file's header; needs no torch and no experiment."""
