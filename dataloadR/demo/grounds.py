"""Ground of a synthetic scene: two surfaces, a shore or border between them, a road and a parking lot."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dataloadR.demo.shapes import Points, Rng, fill, local_to_image, oriented_quad

SCALE = 2  # the canvas is drawn this much larger and then reduced, which smooths all edges
GRASS, WATER, APRON, ROAD, LOT = range(5)
PAIRS = [(WATER, APRON), (WATER, GRASS), (APRON, GRASS), (GRASS, APRON), (WATER, WATER), (GRASS, GRASS)]
PAIR_SHARES = [0.24, 0.2, 0.28, 0.08, 0.08, 0.12]
TONES = {  # RGB of each surface, one of them per scene
    GRASS: [(96, 112, 64), (118, 120, 78), (82, 104, 70), (142, 130, 92)],
    WATER: [(36, 70, 92), (48, 88, 96), (30, 56, 82), (66, 98, 100)],
    APRON: [(154, 154, 150), (138, 140, 142), (168, 164, 154)],
    ROAD: [(84, 84, 88), (98, 98, 98), (74, 76, 82)],
    LOT: [(90, 90, 94), (104, 102, 100), (80, 82, 86)],
}
ROUGHNESS = np.array([11.0, 5.0, 4.0, 3.5, 3.5], np.float32)  # grey levels of texture on each surface


class Road(NamedTuple):
    """A straight road."""

    point: Points  # (2,) pixels, on its middle line
    angle: float
    width: float  # pixels


class Lot(NamedTuple):
    """A parking lot with two rows of bays."""

    quad: Points  # (4, 2) pixels
    bays: int  # per row


class Ground(NamedTuple):
    """What lies where."""

    zones: NDArray[np.uint8]  # (H * SCALE, W * SCALE) GRASS, WATER, APRON, ROAD or LOT
    border_angle: float
    border_distance: NDArray[np.float32]  # (H * SCALE, W * SCALE) pixels from the border, signed
    road: Road | None
    lot: Lot | None


def zone_at(ground: Ground, points: Points) -> NDArray[np.uint8]:
    """Return the surface under each point (K, 2); points outside take that of the nearest border."""
    height, width = ground.zones.shape
    columns = np.clip((points[:, 0] * SCALE).astype(np.int64), 0, width - 1)
    rows = np.clip((points[:, 1] * SCALE).astype(np.int64), 0, height - 1)
    return ground.zones[rows, columns]


def _distance(size: tuple[int, int], point: Points, angle: float) -> NDArray[np.float32]:
    """Return the signed distance of every canvas pixel from a line, in scene pixels."""
    y, x = (((np.arange(n * SCALE) + 0.5) / SCALE).astype(np.float32) for n in size)
    normal_x, normal_y = np.float32(-np.sin(angle)), np.float32(np.cos(angle))
    offset = np.float32(point[0] * normal_x + point[1] * normal_y)
    distance: NDArray[np.float32] = x[None, :] * normal_x + y[:, None] * normal_y - offset
    return distance


def _draw_road(size: tuple[int, int], border: tuple[Points, float], coast: bool, rng: Rng) -> Road:
    """Return a road on the land side of a shore and parallel to it, or anywhere where there is no shore."""
    height, width = size
    point, angle = border
    if coast:
        normal = np.array([-np.sin(angle), np.cos(angle)])
        return Road(point + normal * rng.uniform(0.12, 0.3) * min(size), angle, rng.uniform(34, 44))
    center = np.array([rng.uniform(0.25, 0.75) * width, rng.uniform(0.25, 0.75) * height])
    return Road(center, rng.uniform(0, np.pi), rng.uniform(34, 44))


def _draw_lot(ground: Ground, size: tuple[int, int], rng: Rng) -> Lot | None:
    """Return a parking lot that lies on grass or apron with all of its area, or None when none was found."""
    height, width = size
    for _ in range(30):
        bays = int(rng.integers(3, 6))
        center = rng.uniform(0.1, 0.9, 2) * (width, height)
        angle = ground.road.angle if ground.road is not None else rng.uniform(0, np.pi)
        quad = oriented_quad(center, bays * 20.0, rng.uniform(82, 92), angle)
        grid = np.stack(np.meshgrid(np.linspace(-1.1, 1.1, 7), np.linspace(-1.1, 1.1, 7)), -1).reshape(-1, 2)
        if np.isin(zone_at(ground, local_to_image(grid, quad)), (GRASS, APRON)).all():
            return Lot(quad, bays)
    return None


def draw_ground(size: tuple[int, int], rng: Rng) -> Ground:
    """Return a random layout for a scene of the given height and width in pixels."""
    height, width = size
    first, second = PAIRS[int(rng.choice(len(PAIRS), p=PAIR_SHARES))]
    angle = rng.uniform(0, 2 * np.pi)
    share = rng.uniform(0.35, 0.65, 2)
    point = share * (width, height)
    distance = _distance(size, point, angle)
    zones = np.where(distance < 0, first, second).astype(np.uint8)
    road = None
    if second != WATER and rng.random() < 0.7:
        road = _draw_road(size, (point, angle), first == WATER, rng)
        on_road = (np.abs(_distance(size, road.point, road.angle)) < road.width / 2) & (zones != WATER)
        zones[on_road] = ROAD
    ground = Ground(zones, angle, distance, road, None)
    if second == WATER or rng.random() > 0.45:
        return ground
    lot = _draw_lot(ground, size, rng)
    if lot is not None:
        inside = np.zeros_like(zones)
        fill(inside, lot.quad, (255,), SCALE)
        zones[inside > 127] = LOT
    return ground._replace(lot=lot)


def _octave(shape: tuple[int, ...], cells: tuple[int, int], rng: Rng) -> NDArray[np.float32]:
    noise = rng.standard_normal(cells, dtype=np.float32)
    return np.asarray(cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def _texture(ground: Ground, rng: Rng) -> NDArray[np.float32]:
    """Return grey-level deviations (H, W): cloudy, patchy and grainy noise, streaks on water."""
    shape = ground.zones.shape
    noise = 0.8 * _octave(shape, (5, 5), rng) + 0.6 * _octave(shape, (28, 28), rng)
    noise += 0.7 * _octave(shape, (160, 160), rng)
    noise *= ROUGHNESS[ground.zones]
    streaks = _octave(shape, (180, 22) if rng.random() < 0.5 else (22, 180), rng)
    noise[ground.zones == WATER] += 5.0 * streaks[ground.zones == WATER]
    return noise


def _within(values: NDArray[np.float32], period: float) -> NDArray[np.float32]:
    """Return the remainder in [0, period); np.mod does the same ten times slower."""
    step = np.float32(period)
    return np.asarray(values - step * np.floor(values / step))


def _markings(ground: Ground, size: tuple[int, int], rng: Rng) -> NDArray[np.float32]:
    """Return grey levels to add (H, W): field borders, slab joints, the quay, road lines."""
    zones, levels = ground.zones, np.zeros(ground.zones.shape, np.float32)
    origin = np.zeros(2)
    across, along = (_distance(size, origin, ground.border_angle + turn) for turn in (0.0, np.pi / 2))
    joint = (_within(across, 26.0) < 0.9) | (_within(along, 26.0) < 0.9)
    levels[joint & (zones == APRON)] -= 16
    fields = rng.uniform(-16, 16, (16, 16)).astype(np.float32)
    parcels = fields[np.floor(across / 90).astype(np.int8) & 15, np.floor(along / 120).astype(np.int8) & 15]
    levels += np.where(zones == GRASS, parcels, 0)
    quay = (np.abs(ground.border_distance - 4) < 4) & ((zones == GRASS) | (zones == APRON))
    levels[quay] += 24
    if ground.road is not None:
        middle = _distance(size, ground.road.point, ground.road.angle)
        run = _distance(size, ground.road.point, ground.road.angle + np.pi / 2)
        dashes = (np.abs(middle) < 0.7) & (_within(run, 16.0) < 8)
        edges = np.abs(np.abs(middle) - ground.road.width / 2 + 2.0) < 0.6
        levels[(dashes | edges) & (zones == ROAD)] += 95
    return levels


def render_ground(ground: Ground, size: tuple[int, int], rng: Rng) -> NDArray[np.uint8]:
    """Return the canvas (H * SCALE, W * SCALE, 3) uint8 RGB without any object."""
    tones = np.array([TONES[zone][int(rng.integers(len(TONES[zone])))] for zone in range(5)], np.float32)
    grey = _texture(ground, rng) + _markings(ground, size, rng)
    canvas = np.clip(tones[ground.zones] + grey[..., None], 0, 255).astype(np.uint8)
    if ground.lot is not None:
        _paint_bays(canvas, ground.lot)
    return canvas


def _paint_bays(canvas: NDArray[np.uint8], lot: Lot) -> None:
    for edge in np.linspace(-1, 1, lot.bays + 1):
        for low, high in ((-0.98, -0.2), (0.2, 0.98)):
            line = np.array(
                [(edge - 0.01, low), (edge + 0.01, low), (edge + 0.01, high), (edge - 0.01, high)]
            )
            fill(canvas, local_to_image(line, lot.quad), (206, 206, 200), SCALE)
