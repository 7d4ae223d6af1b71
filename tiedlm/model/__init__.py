"""The masked LM: embeddings, encoder, head, and in `masked_lm.py` the line that ties; knows tensors and no text."""
