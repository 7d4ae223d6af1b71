"""Counts a language model's parameters: in closed form, from a file's header, or by building its class."""
