"""Image placement: linking or copying the images of labels into another folder, under names of their own."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dataloadR.formats.layout import stem_of
from utils.files import clear_leftovers, replacing

Mode = Literal["none", "link", "copy"]


def same_file(source: Path, target: Path) -> bool:
    """Say whether a file is there already: the same one, or a copy to the last byte."""
    if not target.exists():
        return False
    if target.samefile(source):
        return True
    return target.stat().st_size == source.stat().st_size and target.read_bytes() == source.read_bytes()


def put_image(paths: tuple[Path, Path], mode: Mode) -> str:
    """Put an image at another path, unless it is there, and return how: `kept`, `linked` or `copied`.

    A link is a hard one where the file system can, else a symbolic one; where it has neither, a copy.
    """
    source, target = paths
    if same_file(source, target):
        return "kept"
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(target.parent)
    if mode == "link" and _link(source.resolve(), target):
        return "linked"
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
        times = source.stat()
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))
    return "copied"


def _link(source: Path, target: Path) -> bool:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    for link in (temporary.hardlink_to, temporary.symlink_to):
        try:
            link(source)
            temporary.replace(target)
        except (OSError, NotImplementedError):  # another disk, or no links there: the next kind, then a copy
            temporary.unlink(missing_ok=True)
        else:
            return True
    return False


def flat_names(names: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Return names without folders, or with `_` between them where two images of a split are called alike."""
    short = [Path(name).name for name in names]
    keys = [(split, stem_of(name)) for split, name in zip(splits, short, strict=True)]
    if len(set(keys)) == len(keys):
        return short
    return ["_".join(part for part in Path(name).parts if part not in ("..", "/")) for name in names]
