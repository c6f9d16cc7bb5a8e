"""The rules of spec 11 object by object and cell by cell, in plain Python and shapely, for comparison."""

import math
import statistics
from typing import Any, NamedTuple

import numpy as np
import shapely

from cfg.schema import AssignConfig
from tests.dataloadR.assign.slow_assignment import Maps, Thing, center, edge_dists, paint

Cell = tuple[int, int, int, int]  # level, image, row, column


class Guess(NamedTuple):
    quad: np.ndarray
    logits: np.ndarray


class Pair(NamedTuple):
    n: int  # of the object
    cell: Cell
    x: float
    y: float


class Claim(NamedTuple):
    heat: float
    objectness: float
    weight: float


class Scene(NamedTuple):
    things: list[Thing]
    batch: int
    size: tuple[int, int]
    strides: tuple[int, ...]
    config: AssignConfig
    guesses: dict[Cell, Guess]


def cells_of(scene: Scene, image: int) -> list[tuple[Cell, float, float]]:
    found = []
    for k, t in enumerate(scene.strides):
        for row in range(scene.size[0] // t):
            for column in range(scene.size[1] // t):
                found.append(((k, image, row, column), (column + 0.5) * t, (row + 0.5) * t))
    return found


def pairs_of(scene: Scene, n: int) -> list[Pair]:
    return [Pair(n, *cell) for cell in cells_of(scene, scene.things[n].image)]


def longest(t: Thing) -> float:
    return max(t.box[2] - t.box[0], t.box[3] - t.box[1])


def is_in(scene: Scene, t: Thing) -> bool:
    cx, cy = center(t)
    on_map = 0 <= cx < scene.size[1] and 0 <= cy < scene.size[0]
    return not t.ignore and on_map and (scene.config.rule == "ga" or longest(t) > scene.config.min_side)


def ignored_cells(scene: Scene) -> set[Cell]:
    found = set()
    for n, t in enumerate(scene.things):
        if is_in(scene, t):
            continue
        for pair in pairs_of(scene, n):
            stride = scene.strides[pair.cell[0]]
            holds = pair.cell[2:] == (math.floor(center(t)[1] / stride), math.floor(center(t)[0] / stride))
            if holds or min(edge_dists(t, pair.cell[2], pair.cell[3], stride)) > 0:
                found.add(pair.cell)
    return found


def depth(t: Thing, x: float, y: float) -> float:
    """How far inside the quad; outside, the farthest line through an edge, negative."""
    sides = []
    for (px, py), (qx, qy) in zip(t.quad, t.quad[1:] + t.quad[:1], strict=True):
        length = math.hypot(qx - px, qy - py)
        if length > 0:
            sides.append(((qx - px) * (y - py) - (qy - py) * (x - px)) / length)
    return min(sides)


def sides_of(t: Thing) -> tuple[float, float]:
    edges = [math.dist(t.quad[n], t.quad[(n + 1) % 4]) for n in range(4)]
    a, b = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
    return max(a, b), min(a, b)


def iou(a: Any, b: Any) -> float:
    p, q = shapely.Polygon(a), shapely.Polygon(b)
    shared = p.intersection(q).area
    return float(shared / (p.area + q.area - shared)) if shared > 0 else 0.0


def overlap_of(scene: Scene, pair: Pair) -> float:
    return iou(scene.guesses[pair.cell].quad, scene.things[pair.n].quad)


def bce(logit: float, target: float) -> float:
    softplus = max(logit, 0) + math.log1p(math.exp(-abs(logit)))
    return softplus - target * logit


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def best_bids(bids: dict[Pair, float]) -> dict[Cell, Pair]:
    """Give each cell to the highest bid, ties to the earlier object."""
    owners: dict[Cell, Pair] = {}
    for pair, bid in bids.items():
        other = owners.get(pair.cell)
        if other is None or (bid, -pair.n) > (bids[other], -other.n):
            owners[pair.cell] = pair
    return owners


def home_of(scene: Scene, t: Thing) -> Cell:
    k = sum(longest(t) > bound for bound in scene.config.level_bounds)
    cx, cy = center(t)
    return (k, t.image, math.floor(cy / scene.strides[k]), math.floor(cx / scene.strides[k]))


def rescue(scene: Scene, owners: dict[Cell, Pair], metric: dict[Pair, float]) -> dict[Cell, int]:
    owning = {pair.n for pair in owners.values()}
    lost = [n for n, t in enumerate(scene.things) if is_in(scene, t) and n not in owning]
    found: dict[Cell, int] = {}
    for n in list(lost):
        home = home_of(scene, scene.things[n])
        if home not in owners and home not in found:
            found[home] = n
            lost.remove(n)
    for _ in range(8):
        bids: dict[Pair, float] = {}
        for n in lost:
            free = [p for p in metric if p.n == n and p.cell not in owners and p.cell not in found]
            if free:
                best = min(free, key=lambda p: (-metric[p], p.cell))
                bids[best] = metric[best]
        for cell, pair in best_bids(bids).items():
            found[cell] = pair.n
            lost.remove(pair.n)
    return found


def settle(
    scene: Scene, owners: dict[Cell, Pair], claims: dict[Pair, Claim], metric: dict[Pair, float]
) -> list[Maps]:
    rescued = rescue(scene, owners, metric)
    best: list[dict[tuple[int, int, int], tuple[Any, ...]]] = [{} for _ in scene.strides]
    for cell, pair in owners.items():
        claim = claims[pair]
        best[cell[0]][cell[1:]] = (-claim.heat, 0.0, pair.n, claim.objectness, claim.weight, True)
    for cell, n in rescued.items():
        best[cell[0]][cell[1:]] = (-1.0, 0.0, n, 1.0, 1.0, True)
    seen = {pair.n for pair in owners.values()} | set(rescued.values())
    return [
        paint(scene.things, own, seen, (scene.batch, scene.size[0] // t, scene.size[1] // t), t)
        for own, t in zip(best, scene.strides, strict=True)
    ]


def anchor(t: Thing, x: float, y: float, stride: int) -> list[tuple[float, float]]:
    long, short = sides_of(t)
    stretch = math.sqrt(min(max(long / short, 1), 4)) if short > 0 else 2.0
    ux, uy = math.cos(t.theta), math.sin(t.theta)
    a, b = 2 * stride * stretch, 2 * stride / stretch
    corners = [(-a, -b), (a, -b), (a, b), (-a, b)]
    return [(x + u * ux - v * uy, y + u * uy + v * ux) for u, v in corners]


def slow_atss(scene: Scene) -> list[Maps]:
    ignored = ignored_cells(scene)
    bids, claims, metric = {}, {}, {}
    for n, t in enumerate(scene.things):
        if not is_in(scene, t):
            continue
        cx, cy = center(t)
        near = []
        for k in range(len(scene.strides)):
            own = [p for p in pairs_of(scene, n) if p.cell[0] == k]
            near += sorted(own, key=lambda p: (math.hypot(p.x - cx, p.y - cy), p.cell))[:9]
        values = {p: iou(anchor(t, p.x, p.y, scene.strides[p.cell[0]]), t.quad) for p in near}
        threshold = statistics.fmean(values.values()) + statistics.pstdev(values.values())
        for p, value in values.items():
            stride = scene.strides[p.cell[0]]
            if p.cell in ignored:
                continue
            metric[p] = value - 1e-3 * math.hypot(p.x - cx, p.y - cy) / stride
            if value >= threshold - 1e-6 and depth(t, p.x, p.y) > 0:
                top, right, bottom, left = edge_dists(t, p.cell[2], p.cell[3], stride)
                central = min(top, bottom) / max(top, bottom) * min(left, right) / max(left, right)
                bids[p], claims[p] = value, Claim(math.sqrt(central), 1.0, 1.0)
    return settle(scene, best_bids(bids), claims, metric)


def slow_ga(scene: Scene) -> list[Maps]:
    ignored = ignored_cells(scene)
    bids, heats, metric = {}, {}, {}
    for n, t in enumerate(scene.things):
        if not is_in(scene, t):
            continue
        level, cx, cy = home_of(scene, t)[0], *center(t)
        stride = scene.strides[level]
        radii = [math.floor(scene.config.ga_alpha * min(s / stride, 4) / 2 + 1e-6) for s in sides_of(t)]
        reach = [max(r, 1) + 0.5 for r in radii]
        ux, uy = math.cos(t.theta), math.sin(t.theta)
        width = max(abs(ux) * reach[0] + abs(uy) * reach[1], 1)
        height = max(abs(uy) * reach[0] + abs(ux) * reach[1], 1)
        for p in pairs_of(scene, n):
            if p.cell[0] != level or p.cell in ignored:
                continue
            dx, dy = p.cell[3] - math.floor(cx / stride), p.cell[2] - math.floor(cy / stride)
            if abs(dx) > width or abs(dy) > height:
                continue
            metric[p] = -math.hypot(p.x - cx, p.y - cy)
            u, v = ux * dx + uy * dy, -uy * dx + ux * dy
            border = [r + 0.5 for r in radii]
            if abs(u) > border[0] * (1 + 1e-6) or abs(v) > border[1] * (1 + 1e-6):
                continue
            sigma = [b / 3 for b in border]
            heat = math.exp(-(u**2) / (2 * sigma[0] ** 2) - v**2 / (2 * sigma[1] ** 2))
            if heat >= scene.config.ga_threshold:
                bids[p], heats[p] = -t.area, heat
    owners = best_bids(bids)
    whole: dict[int, float] = {}
    for p in owners.values():
        whole[p.n] = whole.get(p.n, 0.0) + heats[p]
    claims = {p: Claim(heats[p], 1.0, heats[p] / whole[p.n]) for p in owners.values()}
    return settle(scene, owners, claims, metric)


def tal_region(scene: Scene, n: int) -> list[Pair]:
    t = scene.things[n]
    pairs = pairs_of(scene, n)
    inside = [p for p in pairs if depth(t, p.x, p.y) > 0]
    if inside:
        return inside
    small = [k for k, stride in enumerate(scene.strides) if sides_of(t)[0] < 2 * stride]
    if not small:
        return []
    stride = scene.strides[small[0]]
    near = [p for p in pairs if p.cell[0] == small[0] and depth(t, p.x, p.y) > -stride]
    depths = sorted((depth(t, p.x, p.y) for p in near), reverse=True)
    least = depths[3] if len(depths) > 3 else -math.inf
    return [p for p in near if depth(t, p.x, p.y) >= least - 1e-6 * stride]


def slow_tal(scene: Scene) -> list[Maps]:
    ignored = ignored_cells(scene)
    bids, metric, overlaps = {}, {}, {}
    for n, t in enumerate(scene.things):
        if not is_in(scene, t):
            continue
        own = [p for p in tal_region(scene, n) if p.cell not in ignored]
        for p in own:
            overlaps[p] = overlap_of(scene, p)
            score = sigmoid(float(scene.guesses[p.cell].logits[t.label]))
            metric[p] = score**scene.config.tal_alpha * overlaps[p] ** scene.config.tal_beta
        best = sorted(own, key=lambda p: (-metric[p], p.cell))[: scene.config.tal_top_k]
        bids |= {p: overlaps[p] for p in best if metric[p] > 0}
    owners = best_bids(bids)
    claims = {}
    for p in owners.values():
        own = [q for q in owners.values() if q.n == p.n]
        quality = metric[p] * max(overlaps[q] for q in own) / max(metric[q] for q in own)
        claims[p] = Claim(quality, quality, 1.0)
    return settle(scene, owners, claims, metric)


def least_costs(
    scene: Scene, costs: dict[Pair, float], overlaps: dict[Pair, float], counted: int
) -> dict[Cell, Pair]:
    bids = {}
    for n in range(len(scene.things)):
        own = [p for p in costs if p.n == n]
        k = max(1, int(sum(sorted((overlaps[p] for p in own), reverse=True)[:counted])))
        bids |= {p: -costs[p] for p in sorted(own, key=lambda p: (costs[p], p.cell))[:k]}
    return best_bids(bids)


def slow_simota(scene: Scene) -> list[Maps]:
    ignored = ignored_cells(scene)
    costs, overlaps = {}, {}
    for n, t in enumerate(scene.things):
        for p in pairs_of(scene, n) if is_in(scene, t) else []:
            reach = 2.5 * scene.strides[p.cell[0]]
            central = max(abs(p.x - center(t)[0]), abs(p.y - center(t)[1])) < reach
            inside = depth(t, p.x, p.y) > 0
            if p.cell in ignored or not (central or inside):
                continue
            overlaps[p] = overlap_of(scene, p)
            logits = scene.guesses[p.cell].logits
            cost = sum(bce(float(x), float(c == t.label)) for c, x in enumerate(logits))
            costs[p] = cost - 3 * math.log(overlaps[p] + 1e-8) + 1e5 * (not (central and inside))
    owners = least_costs(scene, costs, overlaps, 10)
    claims = {p: Claim(overlaps[p], 1.0, 1.0) for p in owners.values()}
    return settle(scene, owners, claims, {p: -cost for p, cost in costs.items()})


def slow_soft(scene: Scene) -> list[Maps]:
    ignored = ignored_cells(scene)
    costs, overlaps = {}, {}
    for n, t in enumerate(scene.things):
        for p in pairs_of(scene, n) if is_in(scene, t) else []:
            if p.cell in ignored or depth(t, p.x, p.y) <= 0:
                continue
            overlaps[p] = overlap_of(scene, p)
            cost = 0.0
            for c, x in enumerate(scene.guesses[p.cell].logits.tolist()):
                y = overlaps[p] if c == t.label else 0.0
                cost += abs(y - sigmoid(x)) ** 2 * bce(x, y)
            away = math.hypot(p.x - center(t)[0], p.y - center(t)[1]) / scene.strides[p.cell[0]]
            costs[p] = cost - 3 * math.log(overlaps[p] + 1e-7) + 10 ** (away - 3)
    owners = least_costs(scene, costs, overlaps, 13)
    claims = {p: Claim(overlaps[p], overlaps[p], 1.0) for p in owners.values()}
    return settle(scene, owners, claims, {p: -cost for p, cost in costs.items()})


def mixture(values: list[float]) -> int:
    """Return how many of the rising values are good, by a mixture of two Gaussians."""
    if len(values) < 2:
        return len(values)
    mean, variance, weight = [values[0], values[-1]], [1.0, 1.0], [0.5, 0.5]
    before = -math.inf

    def expect() -> tuple[list[float], list[list[float]]]:
        likely, parts = [], []
        for x in values:
            own = [
                weight[k]
                * math.exp(-((x - mean[k]) ** 2) / (2 * variance[k]))
                / math.sqrt(2 * math.pi * variance[k])
                for k in range(2)
            ]
            likely.append(math.log(sum(own)))
            parts.append([value / sum(own) for value in own])
        return likely, parts

    for _ in range(100):
        likely, parts = expect()
        for k in range(2):
            mass = sum(part[k] for part in parts)
            mean[k] = sum(part[k] * x for part, x in zip(parts, values, strict=True)) / mass
            away = sum(part[k] * (x - mean[k]) ** 2 for part, x in zip(parts, values, strict=True))
            variance[k], weight[k] = away / mass + 1e-6, mass / len(values)
        now = statistics.fmean(likely)
        if now - before < 1e-3:
            break
        before = now
    likely, parts = expect()
    lower = [n for n, part in enumerate(parts) if part[0] >= part[1]]
    best = max(n for n in lower if likely[n] >= max(likely[m] for m in lower) - 1e-6)
    return sum(n <= best for n in lower)


def slow_paa(scene: Scene) -> list[Maps]:
    ignored = ignored_cells(scene)
    anchored, overlaps, costs = {}, {}, {}
    for n, t in enumerate(scene.things):
        if not is_in(scene, t):
            continue
        areas = [(4 * stride) ** 2 for stride in scene.strides]
        share = [min(t.area, a) / max(t.area, a) for a in areas]
        levels = [k for k, s in enumerate(share) if s >= 0.1 or s == max(share)]
        values = {
            p: iou(anchor(t, p.x, p.y, scene.strides[p.cell[0]]), t.quad)
            for p in pairs_of(scene, n)
            if p.cell[0] in levels and p.cell not in ignored and depth(t, p.x, p.y) > 0
        }
        least = min(0.1, max(values.values(), default=0) - 1e-6)
        for p, value in values.items():
            if value >= least:
                anchored[p], overlaps[p] = value, overlap_of(scene, p)
                logits = scene.guesses[p.cell].logits
                costs[p] = (
                    sum(bce(float(x), float(c == t.label)) for c, x in enumerate(logits)) + 1 - overlaps[p]
                )
    offered = best_bids(anchored)
    owners = {}
    for n in range(len(scene.things)):
        chosen = []
        for k in range(len(scene.strides)):
            own = [p for p in offered.values() if p.n == n and p.cell[0] == k]
            chosen += sorted(own, key=lambda p: costs[p])[:9]
        chosen.sort(key=lambda p: costs[p])
        owners |= {p.cell: p for p in chosen[: mixture([costs[p] for p in chosen])]}
    claims = {p: Claim(overlaps[p], 1.0, 1.0) for p in owners.values()}
    return settle(scene, owners, claims, {p: -cost for p, cost in costs.items()})


def slow_match(
    cells: list[tuple[int, int, float, float, float]],
) -> dict[tuple[int, int], float]:
    """Return sqrt(location * score) of the matched cells of one object on one level (DTLA).

    Args:
        cells: row, column, heat, location and score of each.
    """
    peak = min(cells, key=lambda c: (-c[2], c[:2]))
    near = [c for c in cells if abs(c[0] - peak[0]) <= 3 and abs(c[1] - peak[1]) <= 3]
    k = max(1, int(sum(sorted((c[3] for c in near), reverse=True)[:15])))
    ranked = sorted(near, key=lambda c: (-math.sqrt(c[3] * c[4]), c[:2]))[:k]
    return {c[:2]: math.sqrt(c[3] * c[4]) for c in ranked}


RULES = {
    "atss": slow_atss,
    "ga": slow_ga,
    "tal": slow_tal,
    "simota": slow_simota,
    "soft": slow_soft,
    "paa": slow_paa,
}
