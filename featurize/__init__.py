"""Media in, arrays out, and the shard format. A leaf: imports nothing else of trimodal."""
