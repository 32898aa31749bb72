"""Makes the two small corpora of the demo and runs every stage on them."""
