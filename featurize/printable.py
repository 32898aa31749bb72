"""Text for the terminal, of which no one knows what it holds."""


def printable(text: str) -> str:
    r"""One line as it can be shown: what steers a terminal is spelt out.

    Escape sequences would let a name or a reason move the cursor, change the window's title or hide
    what stands before it; marks of direction would turn the text around.

    >>> printable("name\x1b[2J\n")
    'name\\x1b[2J\\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _spelt(c) for c in text)


def _spelt(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
