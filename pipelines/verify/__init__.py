"""Reading every checksum of a workspace again, and what makes damaged shards again."""
