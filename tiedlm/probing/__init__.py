"""Pairs put to a masked LM: which of two forms or sentences it finds likelier, how alike the rows of two words are."""
