"""Label assignment cell by cell from spec 1.3, 1.4 and 2, in plain Python and shapely, for comparison."""

import math
from typing import Any, NamedTuple

import numpy as np
import shapely

from cfg.schema import AssignConfig, FcosConfig

Maps = dict[str, Any]
Settings = AssignConfig | FcosConfig


class Thing(NamedTuple):
    quad: list[tuple[float, float]]  # top, right, bottom, left
    box: tuple[float, float, float, float]
    glides: list[float]
    ratio: float
    area: float
    theta: float
    label: int
    weight: float
    ignore: bool
    image: int


def snap(quad: np.ndarray) -> list[tuple[float, float]]:
    points = [tuple(p) for p in quad.tolist()]
    twice = sum(p[0] * q[1] - q[0] * p[1] for p, q in zip(points, points[1:] + points[:1], strict=True))
    if twice < 0:
        points = [points[0], points[3], points[2], points[1]]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    original = shapely.Polygon(points)
    best, best_iou = None, -1.0
    for turn in range(4):
        a, b, c, d = points[turn:] + points[:turn]
        moved = [(a[0], min(ys)), (max(xs), b[1]), (c[0], max(ys)), (min(xs), d[1])]
        if moved == [a, b, c, d]:
            return moved
        polygon = shapely.Polygon(moved)
        iou = original.intersection(polygon).area / original.union(polygon).area
        if iou > best_iou + 1e-12:
            best, best_iou = moved, iou
    assert best is not None
    return best


def angle(quad: list[tuple[float, float]]) -> float:
    best_area, theta = math.inf, 0.0
    for p, q in zip(quad, quad[1:] + quad[:1], strict=True):
        length = math.hypot(q[0] - p[0], q[1] - p[1])
        if length == 0:
            continue
        ux, uy = (q[0] - p[0]) / length, (q[1] - p[1]) / length
        along = [x * ux + y * uy for x, y in quad]
        across = [-x * uy + y * ux for x, y in quad]
        wide, high = max(along) - min(along), max(across) - min(across)
        if wide * high < best_area * (1 - 1e-6):
            best_area = wide * high
            theta = math.atan2(uy, ux) + (math.pi / 2 if high > wide else 0.0)
    return theta


def thing(quad: np.ndarray, label: int, weight: float, ignore: bool, image: int) -> Thing:
    snapped = snap(quad)
    x_min, y_min = quad.min(axis=0).tolist()
    x_max, y_max = quad.max(axis=0).tolist()
    w, h = x_max - x_min, y_max - y_min
    area = shapely.Polygon(snapped).area
    ratio = area / (w * h)
    top, right, bottom, left = snapped
    glides = [(top[0] - x_min) / w, (right[1] - y_min) / h, (x_max - bottom[0]) / w, (y_max - left[1]) / h]
    if ratio > 0.9:
        glides = [0.0] * 4
    return Thing(
        snapped,
        (x_min, y_min, x_max, y_max),
        glides,
        ratio,
        area,
        angle(snapped),
        label,
        weight,
        ignore,
        image,
    )


def strides_of(config: Settings) -> tuple[int, ...]:
    pro = isinstance(config, AssignConfig) and config.rule == "pro"
    return (4, 8, 16, 32) if pro else (8, 16, 32)


def takes_part(t: Thing, config: Settings, size: tuple[int, int]) -> bool:
    w, h = t.box[2] - t.box[0], t.box[3] - t.box[1]
    cx, cy = center(t)
    if t.ignore or not (0 <= cx < size[1] and 0 <= cy < size[0]):
        return False
    large = max(w, h) > 10 or w * h > 80
    if isinstance(config, FcosConfig) or config.rule == "pro":
        return large
    if config.rule == "current":
        return max(w, h) > config.min_side
    return large and w > config.min_side and h > config.min_side


def center(t: Thing) -> tuple[float, float]:
    return sum(p[0] for p in t.quad) / 4, sum(p[1] for p in t.quad) / 4


def levels_of(t: Thing, config: Settings) -> list[int]:
    longest = max(t.box[2] - t.box[0], t.box[3] - t.box[1])
    if isinstance(config, FcosConfig) or config.rule == "pro":
        return [sum(longest > bound for bound in config.level_bounds)]
    if config.rule == "paper":
        return [0, 1, 2]
    low, high = config.level_bounds
    levels = [0] if longest <= 1.2 * low else []
    levels += [1] if low < longest <= 1.2 * high else []
    return levels + ([2] if longest > high else [])


def central_offers(
    t: Thing, k: int, config: FcosConfig, size: tuple[int, int]
) -> list[tuple[int, int, float, float, float]]:
    """Return the candidates of FCOS-R, of all cells of the map, as `offers` does."""
    stride = 8 << k
    sides = [math.dist(t.quad[n], t.quad[(n + 1) % 4]) for n in range(4)]
    a, b = (sides[0] + sides[2]) / 2, (sides[1] + sides[3]) / 2
    du, dv = max(a, b) / (2 * stride), min(a, b) / (2 * stride)
    gx, gy = (math.floor(x / stride) for x in center(t))
    found = []
    for row in range(size[0] // stride):
        for column in range(size[1] // stride):
            dx, dy = column - gx, row - gy
            u = abs(math.cos(t.theta) * dx + math.sin(t.theta) * dy)
            v = abs(-math.sin(t.theta) * dx + math.cos(t.theta) * dy)
            if u >= du + 1 or v >= dv + 1 or min(edge_dists(t, row, column, stride)) <= 0:
                continue
            heat = math.sqrt((du + 1 - u) / (du + 1 + u) * (dv + 1 - v) / (dv + 1 + v))
            if heat > config.min_centerness:
                found.append((row, column, heat, 1.0, 1.0))
    return found


def offers(
    t: Thing, k: int, config: AssignConfig, size: tuple[int, int]
) -> list[tuple[int, int, float, float, float]]:
    """Return (row, column, heat, objectness, area weight) of each candidate cell."""
    stride = strides_of(config)[k]
    w, h = t.box[2] - t.box[0], t.box[3] - t.box[1]
    cx, cy = center(t)
    gx, gy = math.floor(cx / stride), math.floor(cy / stride)
    rx, ry = max(w / (2 * stride), 1), max(h / (2 * stride), 1)
    if config.rule == "current":
        rx, ry = min(rx, 4 - k), min(ry, 4 - k)
    rx, ry = int(rx), int(ry)
    a, b = math.dist(t.quad[1], t.quad[2]), math.dist(t.quad[0], t.quad[1])
    a, b = (a + math.dist(t.quad[3], t.quad[0])) / 2, (b + math.dist(t.quad[2], t.quad[3])) / 2
    a, b = max(a, b) / (2 * stride) + 1e-16, min(a, b) / (2 * stride) + 1e-16
    if config.rule != "paper":
        a, b = a ** (1 - config.iou_threshold), b ** (1 - config.iou_threshold)
    hot = []
    for row in range(max(gy - ry - 1, 0), min(gy + ry + 1, size[0] // stride - 1) + 1):
        for column in range(max(gx - rx - 1, 0), min(gx + rx + 1, size[1] // stride - 1) + 1):
            dx, dy = column - gx, row - gy
            u = math.cos(t.theta) * dx + math.sin(t.theta) * dy
            v = -math.sin(t.theta) * dx + math.cos(t.theta) * dy
            heat = math.exp(-0.5 * ((2 * u / a) ** 2 + (2 * v / b) ** 2))
            if heat > config.heat_threshold:
                hot.append((row, column, heat))
    threshold, weight = -1.0, math.log(2) / math.log(math.sqrt(rx * ry) + 1)
    weight *= 2 if config.rule == "pro" else 1
    if config.rule == "paper":
        ranked = sorted((heat for _, _, heat in hot), reverse=True)
        sure = math.ceil(round(0.7 * len(ranked), 9)) if ranked else 1
        threshold = ranked[sure - 1] if ranked else 0.0
        weight = 2 * math.log(2) / math.log(math.sqrt(sure) + 1)
    found = []
    for row, column, heat in hot:
        if suits(edge_dists(t, row, column, stride), k, config):
            found.append((row, column, heat, 1.0 if heat >= threshold * (1 - 1e-6) else heat, weight))
    return found


def suits(dists: list[float], k: int, config: AssignConfig) -> bool:
    low, high = ((0, 64), (64, 128), (128, math.inf))[k] if config.rule == "paper" else (0, math.inf)
    return min(dists) > 0 and low < max(dists) < high


def candidates(
    t: Thing, k: int, config: Settings, size: tuple[int, int]
) -> list[tuple[int, int, float, float, float]]:
    return (central_offers if isinstance(config, FcosConfig) else offers)(t, k, config, size)  # type: ignore[arg-type]


def edge_dists(t: Thing, row: int, column: int, stride: int) -> list[float]:
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    return [y - t.box[1], t.box[2] - x, t.box[3] - y, x - t.box[0]]


def slow_targets(things: list[Thing], batch: int, size: tuple[int, int], config: Settings) -> list[Maps]:
    """Return per level a dictionary of dense maps."""
    strides = strides_of(config)
    best: list[dict[tuple[int, int, int], tuple[Any, ...]]] = [{} for _ in strides]
    for n, t in enumerate(things):
        if not takes_part(t, config, size):
            continue
        rows = [(k, *offer, False) for k in levels_of(t, config) for offer in candidates(t, k, config, size)]
        if not rows:
            k = levels_of(t, config)[0]
            cx, cy = center(t)
            rows = [(k, math.floor(cy / strides[k]), math.floor(cx / strides[k]), 1.0, 1.0, 1.0, True)]
        for k, row, column, heat, objectness, weight, rescued in rows:
            key = (t.image, row, column)
            entry = (-heat, t.area, n, objectness, weight, rescued)
            if key not in best[k] or entry[:3] < best[k][key][:3]:
                best[k][key] = entry
    owners = {entry[2] for level in best for entry in level.values()}
    levels = []
    for k, stride in enumerate(strides):
        levels.append(paint(things, best[k], owners, (batch, size[0] // stride, size[1] // stride), stride))
    return levels


def paint(
    things: list[Thing], best: dict[Any, Any], owners: set[int], shape: tuple[int, int, int], stride: int
) -> Maps:
    zeros = lambda *more: np.zeros((*shape, *more))  # noqa: E731
    maps: Maps = {name: zeros() for name in ("objectness", "heat", "area_ratio")}
    maps |= {name: zeros(4) for name in ("edge_dists", "hboxes", "glides")}
    maps |= {"mix_weight": zeros() + 1, "area_weight": zeros() + 1, "labels": zeros()}
    maps |= {"owner": zeros() - 1, "ignore": zeros()}
    for cell, (negative_heat, _, n, objectness, weight, rescued) in best.items():
        t = things[n]
        dists = edge_dists(t, cell[1], cell[2], stride)
        maps["edge_dists"][cell] = [max(d, 0.01 * stride) for d in dists] if rescued else dists
        maps["heat"][cell], maps["objectness"][cell] = -negative_heat, objectness
        maps["area_weight"][cell], maps["mix_weight"][cell] = weight, t.weight
        maps["hboxes"][cell], maps["glides"][cell], maps["area_ratio"][cell] = t.box, t.glides, t.ratio
        maps["labels"][cell], maps["owner"][cell] = t.label, n
    for n, t in enumerate(things):
        if n in owners:
            continue
        cx, cy = center(t)
        for row in range(shape[1]):
            for column in range(shape[2]):
                inside = min(edge_dists(t, row, column, stride)) > 0
                holds = (row, column) == (math.floor(cy / stride), math.floor(cx / stride))
                if (inside or holds) and (t.image, row, column) not in best:
                    maps["ignore"][t.image, row, column] = 1
    return maps
