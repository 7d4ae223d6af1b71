"""Reads what a file of weights holds by its header, and what that says of the tie; loads no weights."""
