"""The masked LM: embeddings, encoder, head, and the one line that ties; it knows tensors and no text."""
