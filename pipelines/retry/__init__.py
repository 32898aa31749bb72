"""Running rejects again: which there are, with what settings, and what came of it."""
