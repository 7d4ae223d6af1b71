"""One run by several processes at once, each on a part of every batch, as `torchrun` starts them."""
