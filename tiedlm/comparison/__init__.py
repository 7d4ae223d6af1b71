"""Decides which records may be compared, and tests the paired differences between arms; reads no model."""
