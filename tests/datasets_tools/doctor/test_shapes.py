from pathlib import Path

import numpy as np
import pytest
import shapely

from datasets_tools.doctor.files import Entry
from datasets_tools.doctor.findings import Finding
from datasets_tools.doctor.labels import Labelled, LabelTable
from datasets_tools.doctor.shapes import approximation, describe_truncation, shape_findings
from utils.arrays import F64

SIDE = 200.0


def data_of(quads: F64, labels: F64 | None = None) -> Labelled:
    count = len(quads)
    numbers = np.arange(count)
    classes = np.zeros(count, np.int64) if labels is None else labels.astype(np.int64)
    objects = LabelTable(quads, numbers % 2, numbers, classes, np.zeros(count, np.int64), ("a", "b"))
    entries = [Entry(Path(f"p{n}.png"), Path(f"p{n}.txt"), ("train",), True) for n in range(2)]
    return Labelled(Path(), ("train",), entries, objects)


def totals(findings: list[Finding]) -> dict[str, int]:
    return {finding.code: finding.total for finding in findings}


def random_quads(count: int) -> F64:
    """Quads of every kind, many of them over the edge of their image; none without area."""
    rng = np.random.default_rng(3)
    centres = rng.uniform(-40, SIDE + 40, (count, 1, 2))
    return centres + rng.uniform(-40, 40, (count, 4, 2))


def rectangles(count: int) -> F64:
    rng = np.random.default_rng(4)
    angle = rng.uniform(0.1, 1.4, (count, 1))
    x = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)[:, np.newaxis] * rng.uniform(
        20, 40, (count, 1, 1)
    )
    y = np.concatenate([-np.sin(angle), np.cos(angle)], axis=1)[:, np.newaxis] * rng.uniform(
        5, 15, (count, 1, 1)
    )
    return np.concatenate([-x - y, x - y, x + y, y - x], axis=1) + rng.uniform(60, 140, (count, 1, 2))


def test_counts_agree_with_shapely() -> None:
    quads = random_quads(3000)
    got = totals(shape_findings(data_of(quads), np.full((2, 2), SIDE)))
    shapes = shapely.polygons(quads)
    simple = shapely.is_valid(shapes)
    hulls = shapely.convex_hull(shapes)
    bodies = np.where(simple, shapes, hulls)
    shares = shapely.area(shapely.intersection(bodies, shapely.box(0, 0, SIDE, SIDE))) / shapely.area(bodies)
    over = np.maximum(-quads.min(axis=(1, 2)), (quads - SIDE).max(axis=(1, 2))) > 1
    assert got["self-crossing"] == (~simple).sum()
    assert got["concave"] == (simple & (shapely.area(hulls) > shapely.area(shapes) * (1 + 1e-9))).sum()
    assert got["outside"] == (shares == 0).sum()
    assert got["mostly-outside"] == (over & (shares > 0) & (shares < 0.7)).sum()
    assert got["partly-outside"] == (over & (shares >= 0.7)).sum()


def test_a_quad_counts_once_however_it_is_written() -> None:
    first = np.array([[10, 10.5], [30, 12], [28, 30], [8, 28]])
    writings = [np.roll(first, 1, axis=0), first[::-1], first + 0.002, first + 0.5]
    quads = np.stack([first, *writings]).repeat(2, axis=0)  # the same in both images
    got = totals(shape_findings(data_of(quads), np.zeros((2, 2))))
    assert got["duplicate-object"] == 2 * 3
    labels = np.array([0, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    got = totals(shape_findings(data_of(quads, labels), np.zeros((2, 2))))
    assert got["two-classes"] == 4  # a, b, a, a: two neighbours of another class in each image
    assert got["duplicate-object"] == 2


def test_the_approximation_agrees_with_golden_quads() -> None:
    quads = np.array(  # spec 1.3.3: cases 1, 4, 10 and 11, corners in order
        [
            [[20, 1], [35, 2], [7, 34], [3, 24]],
            [[5, 8], [33, 19], [40, 40], [12, 22]],
            [[8, 6], [31, 2], [25, 35], [13, 26]],
            [[0, 2], [38, 13], [29, 25], [22, 33]],
        ],
        np.float64,
    )
    got = approximation(quads, np.ones(4, bool))
    assert got.needed.tolist() == [False, True, True, True]
    np.testing.assert_allclose(got.ious, [1, 0.6343, 0.7969, 0.6132], atol=1e-4)


def test_only_rectangles_cut_to_whole_pixels_are_reported_as_such() -> None:
    exact = rectangles(400)
    assert describe_truncation(np.floor(exact)).startswith("all coordinates of 100.0% are whole numbers")
    assert describe_truncation(exact) == ""
    assert describe_truncation(np.floor(random_quads(400))) == ""  # drawn by hand
    corners = np.array([[0, 0], [30, 0], [30, 20], [0, 20]])
    upright = corners + np.floor(rectangles(400)[:, :1])
    assert describe_truncation(upright) == ""  # nothing was lost
    assert describe_truncation(np.zeros((0, 4, 2))) == ""


def test_the_cost_of_truncation_is_what_half_a_pixel_costs() -> None:
    quads = np.floor(rectangles(50))
    shapes, moved = shapely.polygons(quads), shapely.polygons(quads + 0.5)
    ious = shapely.area(shapely.intersection(shapes, moved)) / shapely.area(shapely.union(shapes, moved))
    assert f"an IoU of {np.median(ious):.3f} (median)" in describe_truncation(quads)


@pytest.mark.parametrize("known", [0.0, SIDE])
def test_no_objects(known: float) -> None:
    assert shape_findings(data_of(np.zeros((0, 4, 2))), np.full((2, 2), known)) == []
