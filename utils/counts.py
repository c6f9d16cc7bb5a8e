"""Numbers with their nouns, as they stand in lines for people."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 image`, `3 images`, `2 classes`.

    >>> counted(1, "image"), counted(0, "object"), counted(2, "class")
    ('1 image', '0 objects', '2 classes')
    """
    return (
        f"{number} {noun}" if number == 1 else f"{number} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"
    )
