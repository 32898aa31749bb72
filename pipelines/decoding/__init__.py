"""Decoders: from the sound of utterances to words, their times, and how well they fit."""
