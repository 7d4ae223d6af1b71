"""One sentence through the head of a masked LM, in numbers that can be read."""
