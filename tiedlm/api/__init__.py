"""The public functions, which the commands call: `from tiedlm import …`; they know no terminal and print nothing."""
