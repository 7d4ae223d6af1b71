"""Turns a corpus name or folder into token blocks and masked batches; knows no model."""
