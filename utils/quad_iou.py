"""Exact overlap of quads: intersection over union of the two shapes as they are, any vertex direction.

A concave quad counts as its two triangles, a self-crossing one as its convex hull, and a quad without area
has IoU 0 with everything.  DOTA_devkit takes the signed area of a self-crossing quad, in which one of its two
triangles counts negative: `crossing="signed"` gives its numbers.
Source: spec/gghl.md 8.1 (FIX: the union, not the hull of both).
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from utils.quad_kernels import F64, ConvexParts, aligned_overlaps, pairwise_iou, to_convex_parts

Crossing = Literal["hull", "signed"]


def pairwise_quad_iou(a: Tensor, b: Tensor, crossing: Crossing = "hull") -> Tensor:
    """Return the IoU of each quad of `a` (N, 4, 2) with each of `b` (M, 4, 2), (N, M) in [0, 1].

    Computed in float64 on the CPU; the result has the dtype and device of `a`.

    Args:
        crossing: what a self-crossing quad is; "signed" as in DOTA_devkit, whose IoU may leave [0, 1] then.

    Raises:
        ValueError: a shape other than (N, 4, 2), or NaN or infinity in a row.
    """
    return _like(pairwise_iou(convex_parts(a, "a", crossing), convex_parts(b, "b", crossing)), a)


def aligned_quad_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of the quads row by row, (N,) in [0, 1]; see `pairwise_quad_iou`."""
    parts_a, parts_b, shared = _aligned(a, b)
    union = parts_a.areas + parts_b.areas - shared
    return _like(np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0), a)


def aligned_quad_intersections(a: Tensor, b: Tensor) -> Tensor:
    """Return the areas shared row by row, (N,) square pixels; see `pairwise_quad_iou`."""
    _, _, shared = _aligned(a, b)
    return _like(shared, a)


def convex_parts(quads: Tensor, name: str = "quads", crossing: Crossing = "hull") -> ConvexParts:
    """Return (N, 4, 2) quads as convex parts in float64 for the kernels; `name` stands in errors.

    Raises:
        ValueError: a shape other than (N, 4, 2), or NaN or infinity in a row.
    """
    if quads.ndim != 3 or tuple(quads.shape[1:]) != (4, 2):
        raise ValueError(f"{name}: expected quads of shape (N, 4, 2), got {tuple(quads.shape)}")
    array = np.ascontiguousarray(quads.detach().cpu().double().numpy())
    broken = np.flatnonzero(~np.isfinite(array).all(axis=(1, 2)))
    if len(broken):
        row = int(broken[0])
        raise ValueError(f"{name}[{row}]: expected finite coordinates, got {array[row].tolist()}")
    parts: ConvexParts = to_convex_parts(array, crossing == "signed")
    return parts


def _aligned(a: Tensor, b: Tensor) -> tuple[ConvexParts, ConvexParts, F64]:
    parts_a, parts_b = convex_parts(a, "a"), convex_parts(b, "b")
    if len(parts_a.areas) != len(parts_b.areas):
        raise ValueError(f"expected as many quads in a as in b, got {len(a)} and {len(b)}")
    return parts_a, parts_b, aligned_overlaps(parts_a, parts_b)


def _like(values: F64, quads: Tensor) -> Tensor:
    return torch.from_numpy(values).to(quads)
