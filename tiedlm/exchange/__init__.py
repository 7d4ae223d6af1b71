"""A run and its tokenizer as a folder that `transformers` reads, and its models scored as ours are."""
