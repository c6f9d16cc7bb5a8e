"""Layout of a synthetic scene: objects on the surfaces they belong to, nothing upon another."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from dataloadR.demo import shapes
from dataloadR.demo.grounds import APRON, GRASS, LOT, ROAD, WATER, Ground, draw_ground, zone_at
from dataloadR.demo.shapes import Part, Points, Rng

DEMO_CLASSES = ("court", "plane", "ship", "vehicle")
KEPT_SHARE = 0.7  # visible share of a whole object; below, down to IGNORED_SHARE, it is marked difficult 2
IGNORED_SHARE = 0.1
EMPTY_SCENES = 0.06  # share of scenes without objects
OBJECTS = (4, 12)  # fewest and most of the other scenes
GRID = np.stack(np.meshgrid(np.linspace(-1.05, 1.05, 3), np.linspace(-1.05, 1.05, 3)), -1).reshape(-1, 2)
MAKERS: dict[str, Callable[[Rng], list[Part]]] = {
    "court": shapes.court,
    "plane": shapes.plane,
    "ship": shapes.ship,
    "vehicle": shapes.vehicle,
}
SURFACES = {"ship": (WATER,), "plane": (APRON,), "court": (GRASS,), "vehicle": (ROAD, APRON)}
WISHES = {"court": 3.0, "plane": 4.0, "ship": 1.5, "vehicle": 1.5}  # planes and courts find room less often


class Thing(NamedTuple):
    """Something to draw: an object, or clutter whose name is not in DEMO_CLASSES."""

    name: str
    quad: Points
    parts: list[Part]
    difficult: int = 0
    wake: list[Part] | None = None


class Plan:
    """The things placed so far, and which pixels they take."""

    def __init__(self, ground: Ground, size: tuple[int, int]) -> None:
        self.ground = ground
        self.size = size
        self.things: list[Thing] = []
        self._taken = np.zeros(size, np.uint8)

    def objects(self) -> int:
        return sum(thing.name in DEMO_CLASSES for thing in self.things)

    def fits(self, quad: Points, zones: tuple[int, ...], margin: float) -> bool:
        """Say whether a quad grown by `margin` pixels lies on these surfaces and touches nothing."""
        if zones:
            points = shapes.local_to_image(GRID, quad)
            if not np.isin(zone_at(self.ground, points), zones).all():
                return False
        grown = np.zeros(self.size, np.uint8)
        shapes.fill(grown, _grown(quad, margin), (1,), 1)
        return not np.any(grown & self._taken)

    def add(self, thing: Thing) -> None:
        shapes.fill(self._taken, thing.quad, (1,), 1)
        self.things.append(thing)


def _grown(quad: Points, margin: float) -> Points:
    """Return the quad scaled about its centre so that every edge of a rectangle gains at least the margin."""
    center = quad.mean(axis=0)
    arms = quad - center
    sides = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    grown: Points = center + arms * (1 + 2 * margin / max(sides.min(), 1.0))
    return grown


def visible_share(quad: Points, size: tuple[int, int]) -> float:
    """Return the area of a convex quad inside the picture divided by its whole area."""
    height, width = size
    picture = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    corners = quad.astype(np.float32)
    area, _ = cv2.intersectConvexConvex(corners, picture)
    return float(area / max(cv2.contourArea(corners), 1e-6))


def _quad_of(name: str, center: Points, angle: float, rng: Rng) -> Points:
    """Return a quad of a size that is usual for the class."""
    if name == "ship":
        length = rng.uniform(36, 110)
        return shapes.oriented_quad(center, length, max(12.0, length * rng.uniform(0.22, 0.34)), angle)
    if name == "plane":
        length = rng.uniform(34, 96)
        return shapes.oriented_quad(center, length, length * rng.uniform(0.84, 1.08), angle)
    if name == "court":
        length = rng.uniform(46, 108)
        rectangle = shapes.oriented_quad(center, length, length * rng.uniform(0.5, 0.62), angle)
        return shapes.slanted_quad(rectangle, rng)
    length = rng.uniform(22, 34)
    return shapes.oriented_quad(center, length, max(10.0, length * rng.uniform(0.44, 0.52)), angle)


def _spot(name: str, plan: Plan, rng: Rng) -> tuple[Points, float]:
    """Return a random centre and heading; vehicles keep to a lane where there is a road."""
    height, width = plan.size
    center = rng.uniform(-0.02, 1.02, 2) * (width, height)
    angle = rng.uniform(0, 2 * np.pi)
    road = plan.ground.road
    if name == "vehicle" and road is not None and rng.random() < 0.75:
        along = np.array([np.cos(road.angle), np.sin(road.angle)])
        side = rng.choice([-1, 1])
        across = np.array([-along[1], along[0]]) * side * road.width / 4
        center = road.point + along * ((center - road.point) @ along) + across
        return center, road.angle + (np.pi if side > 0 else 0.0) + rng.normal(0, 0.05)
    if name == "ship" and rng.random() < 0.35:
        angle = plan.ground.border_angle + rng.choice([0, np.pi]) + rng.normal(0, 0.04)
    return center, angle


def _try_object(name: str, plan: Plan, rng: Rng) -> bool:
    for _ in range(25):
        center, angle = _spot(name, plan, rng)
        quad = _quad_of(name, center, angle, rng)
        share = visible_share(quad, plan.size)
        if share < IGNORED_SHARE or (share < 1 and rng.random() < 0.8):
            continue  # cut objects shall be the exception
        if not plan.fits(quad, SURFACES[name], 3.0):
            continue
        trail = shapes.wake(rng) if name == "ship" and rng.random() < 0.5 else None
        plan.add(Thing(name, quad, MAKERS[name](rng), 0 if share >= KEPT_SHARE else 2, trail))
        return True
    return False


def _park(plan: Plan, count: int, rng: Rng) -> None:
    """Fill bays of the parking lot with up to `count` vehicles, nose in or nose out."""
    lot = plan.ground.lot
    if lot is None:
        return
    bays = [(row, bay) for row in (-0.59, 0.59) for bay in range(lot.bays)]
    along = lot.quad[1] - lot.quad[0]
    heading = float(np.arctan2(along[1], along[0]))
    for row, bay in rng.permutation(np.array(bays))[:count]:
        local = np.array([[(2 * bay + 1) / lot.bays - 1 + rng.normal(0, 0.02), row + rng.normal(0, 0.03)]])
        center = shapes.local_to_image(local, lot.quad)[0]
        angle = heading + rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.05)
        length = rng.uniform(24, 31)
        quad = shapes.oriented_quad(center, length, rng.uniform(12, 15), angle)
        share = visible_share(quad, plan.size)
        if share >= IGNORED_SHARE and plan.fits(quad, (), 0.0):
            plan.add(Thing("vehicle", quad, shapes.vehicle(rng), 0 if share >= KEPT_SHARE else 2))


def _add_tiny(plan: Plan, rng: Rng) -> None:
    """Add vehicles of less than 5 px across: half of them labelled as difficult, half not labelled."""
    for _ in range(int(rng.integers(1, 4)) * 8):
        center = rng.uniform(0.05, 0.95, 2) * plan.size[::-1]
        quad = shapes.oriented_quad(center, rng.uniform(6, 9), rng.uniform(3, 4.5), rng.uniform(0, 2 * np.pi))
        if plan.fits(quad, (APRON, ROAD, LOT), 3.0):
            labelled = rng.random() < 0.5
            plan.add(Thing("vehicle" if labelled else "tiny", quad, shapes.vehicle(rng), int(labelled)))
            return


def _add_clutter(plan: Plan, rng: Rng) -> None:
    for _ in range(int(rng.integers(6, 22))):
        center = rng.uniform(0, 1, 2) * plan.size[::-1]
        angle = rng.uniform(0, 2 * np.pi)
        kind = rng.random()
        zones: tuple[int, ...] = (GRASS, APRON)
        if kind < 0.5:
            zones, side = (GRASS,), rng.uniform(9, 24)
            quad = shapes.oriented_quad(center, side, side, angle)
            thing = Thing("tree", quad, shapes.tree(rng))
        elif kind < 0.75:
            quad = shapes.oriented_quad(center, rng.uniform(24, 60), rng.uniform(24, 60), angle)
            thing = Thing("building", quad, shapes.building(rng))
        else:
            zones = (APRON,)
            quad = shapes.oriented_quad(center, rng.uniform(26, 40), rng.uniform(9, 13), angle)
            thing = Thing("container", quad, shapes.container(rng))
        if plan.fits(quad, zones, 3.0):
            plan.add(thing)


def plan_scene(size: tuple[int, int], rng: Rng) -> Plan:
    """Return a layout with 4 to 12 objects, or one without any."""
    empty = rng.random() < EMPTY_SCENES
    for _ in range(12):  # a layout may have no room; the last one is taken as it is
        plan = Plan(draw_ground(size, rng), size)
        wanted = int(rng.integers(OBJECTS[0], OBJECTS[1] + 1))
        if not empty:
            _park(plan, min(wanted, int(rng.integers(3, 8))), rng)
            zones = set(np.unique(plan.ground.zones).tolist())
            names = [name for name in DEMO_CLASSES if zones & set(SURFACES[name])]
            shares = np.array([WISHES[name] for name in names])
            for name in rng.choice(names, 2 * wanted, p=shares / shares.sum()):
                if plan.objects() < wanted:
                    _try_object(str(name), plan, rng)
        if empty or plan.objects() >= OBJECTS[0]:
            break
    if not empty and plan.objects() < OBJECTS[1] and rng.random() < 0.2:
        _add_tiny(plan, rng)
    _add_clutter(plan, rng)
    return plan
