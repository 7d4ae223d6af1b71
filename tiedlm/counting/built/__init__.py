"""Counts any family by the class of transformers, built on the meta device within limits."""
