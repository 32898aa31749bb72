"""Bytes for the reader's eyes."""


def size(n_bytes: float) -> str:
    """84100000000 -> "84.1 GB"."""
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= one:
            return f"{n_bytes / one:,.1f} {unit}"
    return f"{n_bytes:,.0f} B"
