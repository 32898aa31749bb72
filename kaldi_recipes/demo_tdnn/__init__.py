"""Trains the demo's acoustic model: a small Kaldi TDNN that reads synthesised English."""
