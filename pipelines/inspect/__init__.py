"""Looking into one shard, and at one utterance as a picture."""
