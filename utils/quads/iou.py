"""Exact IoU of quads: intersection over union of the two shapes as they are, any vertex direction.

A concave quad counts as its two triangles, a self-crossing one as its convex hull, and a quad without area
has IoU 0 with everything.  DOTA_devkit takes the signed area of a self-crossing quad, in which one of its two
triangles counts negative: `crossing="signed"` gives its numbers.
CPU tensors go through machine code (`quad_kernels`), those of a GPU through torch (`quad_clip`), both in
float64.  Source: spec 8.1.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from utils.arrays import F64
from utils.quads.clip import aligned_overlaps_torch, pairwise_ratios_torch, split_quads
from utils.quads.kernels import Pieces, paired_areas, pairwise_ratios
from utils.quads.parts import AREA, to_shapes
from utils.threads import in_slices

Crossing = Literal["hull", "signed"]
Over = Literal["union", "smaller"]
ROWS_PER_THREAD = 64  # of a pairwise table
PAIRS_PER_THREAD = 2000


def pairwise_quad_iou(a: Tensor, b: Tensor, crossing: Crossing = "hull", over: Over = "union") -> Tensor:
    """Return the IoU of each quad of `a` (N, 4, 2) with each of `b` (M, 4, 2), (N, M) in [0, 1].

    Computed in float64; the result has the dtype and device of `a`.

    Args:
        crossing: what a self-crossing quad is; "signed" as in DOTA_devkit, whose IoU may leave [0, 1] then.
        over: what the shared area is divided by; "smaller": the smaller of the two areas (IoS), which finds
            the parts of one object that a tile border cut.

    Raises:
        ValueError: a shape other than (N, 4, 2), or NaN or infinity in a row.
    """
    check_quads(a, "a")
    check_quads(b, "b")
    if a.is_cuda and crossing == "hull":
        return pairwise_ratios_torch(a, b, over == "smaller").to(a)
    shapes_a, shapes_b = _shapes(a, crossing), _shapes(b, crossing)
    ratios = torch.zeros(len(a), len(b), dtype=a.dtype if a.dtype == torch.float32 else torch.float64)
    table, smaller = ratios.numpy(), over == "smaller"

    def fill(first: int, last: int) -> None:
        pairwise_ratios(shapes_a, shapes_b, table, first, last, smaller)

    in_slices(fill, len(a), ROWS_PER_THREAD)
    return ratios.to(a)


def aligned_quad_iou(a: Tensor, b: Tensor, over: Over = "union", crossing: Crossing = "hull") -> Tensor:
    """Return the IoU of the quads row by row, (N,) in [0, 1]; see `pairwise_quad_iou`."""
    shared, area_a, area_b = _aligned(a, b, crossing)
    whole = torch.minimum(area_a, area_b) if over == "smaller" else area_a + area_b - shared
    some = (shared > 0) & (whole > 0)  # of signed areas the union may be less than nothing
    return torch.where(some, shared / torch.where(some, whole, 1.0), 0.0).to(a)


def paired_quad_iou(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Return the IoU of rows `i` (K,) of `a` with rows `j` of `b`, (K,) in [0, 1], each quad prepared once.

    For quads on the CPU; see `pairwise_quad_iou`.
    """
    check_quads(a, "a")
    check_quads(b, "b")
    shared, area_a, area_b = _paired(_shapes(a), _shapes(b), i, j)
    return torch.where(shared > 0, shared / (area_a + area_b - shared), 0.0).to(a)


def aligned_quad_intersections(a: Tensor, b: Tensor) -> Tensor:
    """Return the areas shared row by row, (N,) square pixels; see `pairwise_quad_iou`."""
    return _aligned(a, b)[0].to(a)


def check_quads(quads: Tensor, name: str) -> None:
    """Raise a ValueError unless quads are (N, 4, 2) and finite; `name` stands in the message."""
    if quads.ndim != 3 or tuple(quads.shape[1:]) != (4, 2):
        raise ValueError(f"{name}: expected quads of shape (N, 4, 2), got {tuple(quads.shape)}")
    if not quads.sum().isfinite():  # sums are quick, and finite only where all is
        finite = quads.isfinite()
        if finite.all():
            return
        row = int(finite.flatten(1).all(dim=1).logical_not().nonzero()[0])
        raise ValueError(f"{name}[{row}]: expected finite coordinates, got {quads[row].tolist()}")


def to_array(quads: Tensor) -> F64:
    """Return quads as a contiguous float64 array."""
    return np.ascontiguousarray(quads.detach().cpu().double().numpy())


def _shapes(quads: Tensor, crossing: Crossing = "hull") -> Pieces:
    array = to_array(quads)
    shapes: Pieces = to_shapes(array, np.arange(len(array)), crossing == "signed")
    return shapes


def _aligned(a: Tensor, b: Tensor, crossing: Crossing = "hull") -> tuple[Tensor, Tensor, Tensor]:
    """Return the shared areas and those of `a` and `b`, (N,) float64 each."""
    check_quads(a, "a")
    check_quads(b, "b")
    if len(a) != len(b):
        raise ValueError(f"expected as many quads in a as in b, got {len(a)} and {len(b)}")
    if a.is_cuda and crossing == "hull":
        split_a, split_b = split_quads(a.double()), split_quads(b.double())
        return aligned_overlaps_torch(split_a, split_b), split_a.areas, split_b.areas
    rows = torch.arange(len(a))
    return _paired(_shapes(a, crossing), _shapes(b, crossing), rows, rows)


def _paired(a: Pieces, b: Pieces, i: Tensor, j: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the areas that rows of two sets share, and those of `a` and `b`, (K,) float64 each."""
    shared, pairs = np.zeros(len(i)), torch.stack([i, j]).numpy()

    def fill(first: int, last: int) -> None:
        paired_areas(a, b, pairs, shared, first, last)

    in_slices(fill, len(i), PAIRS_PER_THREAD)
    area_a, area_b = (
        torch.from_numpy(parts[own, AREA]) for (_, parts, _), own in zip((a, b), pairs, strict=True)
    )
    return torch.from_numpy(shared), area_a, area_b
