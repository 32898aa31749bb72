"""Features to other tools, and from them; docs/exchange.md describes the formats."""
