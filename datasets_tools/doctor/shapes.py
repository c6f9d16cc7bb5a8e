"""Faults of quads: where they lie, how they are drawn, how well the network can express them."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataloadR.geometric import KEEP_SHARE, visible_shares
from datasets_tools.doctor.findings import Finding, found_objects
from datasets_tools.doctor.labels import Labelled
from datasets_tools.tile_objects import CUT
from utils.arrays import F64
from utils.quads.clip import convex_intersection_areas
from utils.quads.geometry import (
    canonical_quads,
    clockwise_quads,
    hull_quads,
    is_convex,
    quad_areas,
    self_crossing,
    uncrossed_quads,
)
from utils.quads.glides import approximate_quads

MIN_SIDE = 4  # px; `assign.min_side`
OVER_THE_EDGE = 1.0  # px by which an object may reach out of its image unnoticed: rounding
NO_SHAPE = 1e-6  # px^2
SAME = 100  # steps per pixel: quads that agree to 0.01 px are one
COARSE = 0.7  # IoU
BLOCK = 16384  # quads clipped at a time
FAR = 1e9  # px: the size of an image that is not there
# How rectangles cut down to whole pixels look: the sum of opposite vertices is off by 0 (two thirds of the
# coordinates), 1 or, seldom, 2 px; hand-drawn quads are off by more, rectangles with decimals by less.
WHOLE_SHARE, RECTANGLE_SHARE, UNEVEN_SHARE = 0.99, 0.95, 0.1

Mask = NDArray[np.bool_]


class Approximation(NamedTuple):
    """Approximation of quads by box and glides (spec 1.3)."""

    needed: Mask  # (N,) a vertex would have to move
    ious: F64  # (N,) with the original; 1 where nothing moves


def approximation(quads: F64, sound: Mask) -> Approximation:
    """Return what ORC does to the sound quads, by the function that makes the targets."""
    needed, ious = np.zeros(len(quads), bool), np.ones(len(quads))
    rows = np.flatnonzero(sound)
    for begin in range(0, len(rows), BLOCK):
        block = rows[begin : begin + BLOCK]
        originals = clockwise_quads(torch.from_numpy(quads[block]))
        learned = approximate_quads(originals)
        turned = torch.stack([originals.roll(-turn, dims=1) for turn in range(4)])
        moved = ~(turned == learned).all(dim=-1).all(dim=-1).any(dim=0)
        needed[block] = moved.numpy()
        ious[block[moved.numpy()]] = _ious(originals[moved], learned[moved]).numpy()
    return Approximation(needed, ious)


def _ious(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of clockwise convex quads, row by row; 0 for two without area."""
    shared = convex_intersection_areas(first, second)
    return shared / (quad_areas(first) + quad_areas(second) - shared).clamp(min=NO_SHAPE)


def shape_findings(data: Labelled, sizes: F64) -> list[Finding]:
    """Return all findings about quads, each object's gravest of a kind alone.

    Args:
        sizes: (E, 2) width and height of each entry's image; 0 where nobody knows.
    """
    quads = data.objects.quads
    points = torch.from_numpy(quads)
    crossing = self_crossing(points).numpy()
    flat = quad_areas(hull_quads(points)).numpy() <= NO_SHAPE
    shares = (np.abs(quads) <= 1).all(axis=(1, 2)) & (quads % 1 != 0).any(axis=(1, 2))
    flat &= ~shares
    sides = np.ptp(quads, axis=1)
    thin = (sides.min(axis=1) < 1) & ~flat & ~shares
    concave = ~is_convex(uncrossed_quads(points)).numpy() & ~flat
    masks = {
        "normalised": shares,
        "no-area": flat,
        "under-1-px": thin,
        "tiny": (sides.max(axis=1) <= MIN_SIDE) & ~thin & ~flat & ~shares,
        "self-crossing": crossing & ~flat,
        "concave": concave & ~crossing,
        **_outside(data, sizes, ~flat),
        **_doubles(data),
    }
    findings = []
    for code, mask in masks.items():
        findings += found_objects(code, np.flatnonzero(mask).tolist(), data.place)
    orc = approximation(quads, ~crossing & ~flat & ~concave)
    return findings + _approximated(data, orc) + _truncated(data)


def _outside(data: Labelled, sizes: F64, sound: Mask) -> dict[str, Mask]:
    objects = data.objects
    limits = np.where(sizes > 0, sizes, FAR)[objects.entries][:, np.newaxis]
    low, high = -objects.quads.min(axis=1), (objects.quads - limits).max(axis=1)
    out = (np.maximum(low, high).max(axis=1) > OVER_THE_EDGE) & sound
    # the share of an area is the same in units of the image, where all images are one window
    shares = visible_shares(objects.quads / limits, (0.0, 0.0, 1.0, 1.0))
    return {
        "outside": out & (shares == 0),
        "mostly-outside": out & (shares > 0) & (shares < KEEP_SHARE) & (objects.difficult != CUT),
        "partly-outside": out & (shares >= KEEP_SHARE),
    }


def _doubles(data: Labelled) -> dict[str, Mask]:
    """Return the objects whose quad stands earlier in the same image, by whether the class agrees."""
    objects = data.objects
    corners = canonical_quads(torch.from_numpy(objects.quads)).numpy().reshape(-1, 8)
    keys = np.column_stack([objects.entries, np.round(corners * SAME).astype(np.int64)])
    order = np.lexsort(keys.T[::-1])  # stable: the first of several comes first
    same = (keys[order][1:] == keys[order][:-1]).all(axis=1)
    alike = objects.labels[order][1:] == objects.labels[order][:-1]
    repeated, relabelled = np.zeros(len(keys), bool), np.zeros(len(keys), bool)
    repeated[order[1:][same & alike]] = True
    relabelled[order[1:][same & ~alike]] = True
    return {"duplicate-object": repeated, "two-classes": relabelled}


def _approximated(data: Labelled, orc: Approximation) -> list[Finding]:
    rows = np.flatnonzero(orc.needed)
    if not len(rows):
        return []
    worst = rows[np.argsort(orc.ious[rows], kind="stable")]
    coarse = worst[orc.ious[worst] < COARSE]
    ious = orc.ious[rows]
    detail = (
        f"{len(rows) / len(orc.needed):.2%} of all; IoU with the original: mean {ious.mean():.3f}, "
        f"lowest twentieth below {np.quantile(ious, 0.05):.3f}, lowest {ious.min():.3f}"
    )

    def place(row: int) -> str:
        return f"{data.place(row)}: IoU {orc.ious[row]:.3f}"

    return [
        *found_objects("coarse-approximation", coarse.tolist(), place),
        *found_objects("approximated", worst.tolist(), place, detail),
    ]


def _truncated(data: Labelled) -> list[Finding]:
    """Return the splits whose quads are rectangles of which only whole pixels are left."""
    findings: list[Finding] = []
    for split in data.splits:
        rows = np.flatnonzero(data.in_split(split)[data.objects.entries])
        detail = describe_truncation(data.objects.quads[rows])
        if detail:
            findings += found_objects("truncated-integers", rows.tolist(), data.place, f"{split}: {detail}")
    return findings


def describe_truncation(quads: F64) -> str:
    """Return what shows that quads (N, 4, 2) are truncated rectangles, or nothing where they are not.

    Those without area are left out: they have no IoU.
    """
    quads = quads[quad_areas(torch.from_numpy(quads)).abs().numpy() > NO_SHAPE]
    if not len(quads):
        return ""
    whole = (quads == np.round(quads)).all(axis=(1, 2))
    off = np.abs(quads[:, 0] + quads[:, 2] - quads[:, 1] - quads[:, 3]).max(axis=1)
    shares = whole.mean(), (off <= 2).mean(), (off > 0).mean()
    if any(s < limit for s, limit in zip(shares, (WHOLE_SHARE, RECTANGLE_SHARE, UNEVEN_SHARE), strict=True)):
        return ""
    originals = clockwise_quads(torch.from_numpy(quads))
    ious = _ious(originals, originals + 0.5).numpy()
    touching = ~approximation(quads, np.ones(len(quads), bool)).needed
    return (
        f"all coordinates of {whole.mean():.1%} are whole numbers; {(off > 0).mean():.1%} are off a "
        f"parallelogram, by 1 or 2 px; {touching.mean():.1%} touch each side of their box already; "
        f"half a pixel, what truncation costs on average, is an IoU of {np.median(ious):.3f} (median), "
        f"{np.quantile(ious, 0.05):.3f} (lowest twentieth)"
    )
