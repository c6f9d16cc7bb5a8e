"""The geometry that label assignment derives from objects and levels."""

from typing import NamedTuple

import torch
from torch import Tensor

from utils.quads.geometry import long_side_directions, quad_areas, quads_to_hboxes
from utils.quads.glides import NEARLY_HORIZONTAL, approximate_quads, quads_to_glides

LONG_SIDE, BOX_AREA = 10.0, 80.0  # px and px^2: one of them is exceeded by what is large


class Shapes(NamedTuple):
    """Shapes of the objects, which the assignment derives from each quad once; M objects."""

    quads: Tensor  # (M, 4, 2) px, approximated: top, right, bottom, left, clockwise and convex
    hboxes: Tensor  # (M, 4) px, of the original quad
    sizes: Tensor  # (M, 2) px, width and height of the box
    centers: Tensor  # (M, 2) px, mean of the vertices of the approximated quad
    directions: Tensor  # (M, 2) unit vector along the long side
    half_sides: Tensor  # (M, 2) px, half the long and half the short side
    glides: Tensor  # (M, 4), zero where area_ratio says horizontal
    area_ratio: Tensor  # (M,)
    areas: Tensor  # (M,) px^2


class Level(NamedTuple):
    """One pyramid level of a batch."""

    number: int  # 0 is the finest
    stride: int  # px per cell
    batch: int
    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Cells of all maps of the batch."""
        return self.batch * self.rows * self.columns

    def map_of(self, cell: Tensor, values: Tensor, background: float = 0.0) -> Tensor:
        """Return (B, H, W, ...) with values (P, ...) in the cells of these flat indices (P,), each once."""
        flat = values.new_full((self.cells, *values.shape[1:]), background)
        flat[cell] = values
        return torch.unflatten(flat, 0, (self.batch, self.rows, self.columns))


class Pyramid(NamedTuple):
    """The levels that targets are built for: a batch of network inputs, and the strides of the detector."""

    batch: int
    height: int  # px
    width: int  # px
    strides: tuple[int, ...]  # px per cell, finest first

    @classmethod
    def of(cls, images: Tensor, strides: tuple[int, ...]) -> "Pyramid":
        """Return the levels of images (B, 3, H, W)."""
        return cls(images.shape[0], images.shape[2], images.shape[3], strides)

    def levels(self) -> list[Level]:
        """Return the levels, finest first, as large as convolutions of stride 2 leave them: rounded up."""
        sizes = [(stride, -(-self.height // stride), -(-self.width // stride)) for stride in self.strides]
        return [
            Level(k, stride, self.batch, rows, columns) for k, (stride, rows, columns) in enumerate(sizes)
        ]


def object_shapes(quads: Tensor) -> Shapes:
    """Derive box, glides, ratio, angle and sides from quads (M, 4, 2) (spec 1.2, 1.3, 2.1)."""
    snapped = approximate_quads(quads)
    hboxes = quads_to_hboxes(quads)
    sizes = hboxes[:, 2:] - hboxes[:, :2]
    areas = quad_areas(snapped)
    tiny = torch.finfo(quads.dtype).tiny
    ratio = (areas / sizes.prod(dim=-1).clamp(min=tiny)).clamp(max=1)
    edges = (snapped.roll(-1, dims=-2) - snapped).norm(dim=-1)  # p1p2, p2p3, p3p4, p4p1
    sides = 0.5 * (edges + edges.roll(-2, dims=-1)).narrow(-1, 0, 2)
    horizontal = (ratio > NEARLY_HORIZONTAL).unsqueeze(-1)
    return Shapes(
        quads=snapped,
        hboxes=hboxes,
        sizes=sizes,
        centers=snapped.mean(dim=-2),
        directions=long_side_directions(snapped),
        half_sides=0.5 * torch.stack([sides.amax(dim=-1), sides.amin(dim=-1)], dim=-1),
        glides=torch.where(horizontal, 0.0, quads_to_glides(snapped)),
        area_ratio=ratio,
        areas=areas,
    )


def has_large_box(shapes: Shapes) -> Tensor:
    """Return which objects (M,) have a long or a large box (spec 2.7, 10.1)."""
    return (shapes.sizes.amax(dim=-1) > LONG_SIDE) | (shapes.sizes.prod(dim=-1) > BOX_AREA)


def on_map(shapes: Shapes, pyramid: Pyramid) -> Tensor:
    """Return which objects (M,) have their centre on the network input."""
    x, y = shapes.centers.unbind(-1)
    return (x >= 0) & (y >= 0) & (x < pyramid.width) & (y < pyramid.height)


def cell_edge_dists(hboxes: Tensor, column: Tensor, row: Tensor, stride: int) -> Tensor:
    """Return the px (K, 4) from cell centres to the top, right, bottom and left sides of boxes (K, 4)."""
    x_min, y_min, x_max, y_max = hboxes.unbind(-1)
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    return torch.stack([y - y_min, x_max - x, y_max - y, x - x_min], dim=-1)
