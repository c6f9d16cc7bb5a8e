"""Split names and their synonyms: one function says which a folder's, a file's or a key's name means."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "trainval": "trainval",
    "test": "test",
    "testing": "test",
}


def split_of(words: Iterable[str]) -> str:
    """Return the first word that names a split, in any case (`Valid` is `val`), or an empty text."""
    return next((SPLITS[word.lower()] for word in words if word.lower() in SPLITS), "")


def words_of(path: Path) -> list[str]:
    """Return the words of a file's name, `instances` and `Train` of `instancesTrain2017.json`."""
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+", path.stem)


def split_of_file(path: Path) -> str:
    """Return the split that a file's name says, as in `instances_train.json` or `instancesTrain.json`."""
    return split_of(words_of(path))


def split_of_folders(folders: Sequence[str]) -> str:
    """Return the split that folders on the way to a file say: one called like it, else a word of a name.

    Of several the innermost says it.
    """
    return split_of(folders[::-1]) or split_of(split_of_file(Path(folder)) for folder in folders[::-1])


def usual_name(name: str) -> str:
    """Return the usual name of a split, `val` for `Validation`; other names as they are."""
    return SPLITS.get(name.lower(), name)


def called_alike(split: str, names: Iterable[str]) -> str:
    """Return the name that means the split, itself before its synonyms; the split if none does."""
    known = sorted(names)
    return split if split in known else next((n for n in known if _plain(n) == _plain(split)), split)


def _plain(name: str) -> str:
    """Return a name without case and blanks, as CVAT's subset `Fold 2` becomes the split `fold-2`."""
    return "-".join(usual_name(name).lower().split())
