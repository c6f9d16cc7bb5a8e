"""Hash of the data of a run: one short text that changes when they change."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from utils.records import Annotation

DIGEST_BYTES = 16


def data_hash(annotations: Iterable[Annotation]) -> str:
    """Return a hash of image names, image sizes on disk, quads, labels and difficult flags, in their order.

    The folder does not count, so that a moved data set stays the same; images are not read, only their size
    in bytes is asked for.  A missing image counts as one without a size.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for image_path, quads, labels, difficult in annotations:
        path = Path(image_path)
        digest.update(f"{path.name}\n{_size(path)}\n{len(quads)}\n".encode())
        digest.update(quads.astype("<f4").tobytes())
        digest.update(labels.astype("<i8").tobytes())
        digest.update(difficult.astype("<i1").tobytes())
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
