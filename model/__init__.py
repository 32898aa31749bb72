"""Networks and training on shards. Knows no corpora and no media."""
