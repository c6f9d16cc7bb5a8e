"""Duplicates and near-duplicates of images: in one split, or in two that must not share any."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from datasets_tools.doctor.files import ALL, relative_name
from datasets_tools.doctor.findings import Finding, found
from datasets_tools.doctor.images import Facts
from datasets_tools.doctor.labels import Labelled
from utils.arrays import F32
from utils.errors import UserError
from utils.tiles import Tile, parse_tile

MAX_DISTANCE = 80  # of 512 bits; unrelated thermal images begin at 110, JPEG at quality 20 costs 22
MIN_CORRELATION = 0.95  # of the thumbnails, which tells pictures of little contrast apart
ROWS = 512  # images compared with all of another split at a time

ImagePair = tuple[Path, Path]


def rivals(splits: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of splits that must not share images; `trainval` is no rival of `train` and `val`."""
    return [(a, b) for a, b in combinations(splits, 2) if a not in b and b not in a and ALL not in (a, b)]


def twin_findings(data: Labelled, facts: dict[Path, Facts]) -> list[Finding]:
    """Return copies within splits, and what stands in two splits as it is, nearly, by name or as a tile."""
    members = {split: _images(data, split) for split in data.splits}
    findings = found("duplicate-image", _copies(data, members, facts))
    same: list[ImagePair] = []
    named: list[str] = []
    near: list[ImagePair] = []
    tiles: list[ImagePair] = []
    for first, second in rivals(data.splits):
        shared = _shared(members[first], members[second], facts)
        taken = {b for _, b in shared}
        same += shared
        stems = {path.stem for path in members[first]}
        named += [
            f"{first}, {second}: {p.name}" for p in members[second] if p.stem in stems and p not in taken
        ]
        rest = [path for path in members[second] if path not in taken]
        near += near_pairs(members[first], rest, facts)
        tiles += _tiles_of_one_image(members[first], rest)
    return [
        *findings,
        *found("same-content", _told(same, data.root), pairs=same),
        *found("scene-in-splits", _told(tiles, data.root), pairs=tiles),
        *found("near-duplicate", _told(near, data.root), pairs=near),
        *found("same-name", named),
    ]


def _images(data: Labelled, split: str) -> list[Path]:
    return list(dict.fromkeys(entry.image for entry in data.entries if split in entry.splits))


def _told(pairs: Sequence[ImagePair], root: Path) -> list[str]:
    return [" and ".join(relative_name(path, root) for path in dict.fromkeys((b, a))) for a, b in pairs]


def _copies(data: Labelled, members: dict[str, list[Path]], facts: dict[Path, Facts]) -> list[str]:
    """Return the images of a split whose contents stand earlier in it."""
    copies: dict[str, None] = {}
    for paths in members.values():
        first: dict[bytes, Path] = {}
        for path in paths:
            digest = facts[path].digest if path in facts else b""
            if digest and first.setdefault(digest, path) != path:
                name, earlier = (relative_name(p, data.root) for p in (path, first[digest]))
                copies[f"{name} is {earlier}"] = None
    return list(copies)


def _shared(first: Sequence[Path], second: Sequence[Path], facts: dict[Path, Facts]) -> list[ImagePair]:
    """Return the images of the second that are images of the first, by path or by contents."""
    paths = set(first)
    digests = {facts[path].digest: path for path in reversed(first) if path in facts}
    digests.pop(b"", None)
    pairs = []
    for path in second:
        if path in paths:
            pairs.append((path, path))
        elif path in facts and facts[path].digest in digests:
            pairs.append((digests[facts[path].digest], path))
    return pairs


def near_pairs(first: Sequence[Path], second: Sequence[Path], facts: dict[Path, Facts]) -> list[ImagePair]:
    """Return each image of the second that resembles one of the first, with the nearest such one.

    Picture hashes are compared, all with all, as products of +1 and -1: a matrix product counts the bits
    that differ faster than anything that counts bits.  Thumbnails confirm.
    """
    left = [path for path in first if path in facts and facts[path].bits is not None]
    right = [path for path in second if path in facts and facts[path].bits is not None]
    if not left or not right:
        return []
    signs, thumbs = _signs(left, facts), _thumbs(left, facts)
    pairs = []
    for begin in range(0, len(right), ROWS):
        block = right[begin : begin + ROWS]
        distances = (signs.shape[1] - _signs(block, facts) @ signs.T) / 2
        alike = np.where(distances <= MAX_DISTANCE, _thumbs(block, facts) @ thumbs.T, -1.0)
        nearest = alike.argmax(axis=1)
        for row in np.flatnonzero(alike.max(axis=1) >= MIN_CORRELATION).tolist():
            pairs.append((left[int(nearest[row])], block[row]))
    return pairs


def _signs(paths: Sequence[Path], facts: dict[Path, Facts]) -> F32:
    """Return the hashes (N, 512) as +1 and -1."""
    bits = np.array([facts[path].bits for path in paths], np.float32)
    return bits * 2 - 1


def _thumbs(paths: Sequence[Path], facts: dict[Path, Facts]) -> F32:
    """Return the thumbnails as unit vectors (N, 256) about their mean."""
    flat = np.array([facts[path].thumb for path in paths], np.float32).reshape(len(paths), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), np.float32)


def _tiles_of_one_image(first: Sequence[Path], second: Sequence[Path]) -> list[ImagePair]:
    """Return the tiles of the second of whose image the first has tiles, too, with one of these."""
    images = {tile.image: path for path in reversed(first) if (tile := _tile(path))}
    return [(images[t.image], p) for p in second if (t := _tile(p)) and t.image in images]


def _tile(path: Path) -> Tile | None:
    try:
        return parse_tile(path.stem)
    except UserError:
        return None
