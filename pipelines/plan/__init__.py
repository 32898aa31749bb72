"""What a corpus will cost on a number of machines: a sample is measured, the rest calculated."""
