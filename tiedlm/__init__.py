"""Does tying the output matrix to the word embeddings help a small masked LM?"""

__version__ = "0.1.0"
