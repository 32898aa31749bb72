"""Recipes around Kaldi: an acoustic model for the demo, and decoding with one's own."""
