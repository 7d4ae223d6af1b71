"""Counts a known family from its configuration alone, on paper."""
