"""Choosing English among decoded utterances."""
