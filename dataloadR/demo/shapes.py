"""Shapes of things seen from above as coloured polygons, for synthetic scenes.

Local frame of a thing: u from -1 (stern) to 1 (bow) along it, v from -1 (left) to 1 (right) across it; what
is labelled touches all four sides of that square, so the square's image is the object's tight quadrilateral.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.palette import Colour

Points = NDArray[np.float64]
Rng = np.random.Generator

SUBPIXEL_BITS = 4
UNIT_SQUARE: Points = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)  # clockwise on screen
GLASS: Colour = (38, 46, 58)
WHITE: Colour = (236, 236, 230)
HULLS: list[Colour] = [
    (150, 40, 36),
    (44, 50, 62),
    (214, 214, 210),
    (30, 78, 120),
    (90, 96, 100),
    (60, 96, 72),
]
CARGO: list[Colour] = [
    (190, 72, 48),
    (52, 98, 160),
    (210, 170, 60),
    (70, 130, 90),
    (180, 180, 176),
    (130, 62, 90),
]
PLANES: list[Colour] = [(240, 240, 238), (222, 226, 232), (206, 212, 214), (92, 104, 96)]
CARS: list[Colour] = [
    (235, 235, 235),
    (200, 30, 30),
    (30, 60, 170),
    (28, 28, 32),
    (170, 174, 178),
    (220, 190, 50),
]
COURTS: list[Colour] = [(64, 108, 172), (186, 92, 62), (52, 122, 92), (126, 84, 146), (120, 124, 128)]
ROOFS: list[Colour] = [(150, 82, 64), (128, 124, 120), (176, 168, 156), (92, 88, 90), (168, 120, 88)]


class Part(NamedTuple):
    """One polygon of one colour."""

    points: Points  # (K, 2) u, v in the local frame
    colour: Colour


def oriented_quad(center: Points, length: float, width: float, angle: float) -> Points:
    """Return a rectangle as (4, 2) pixels, clockwise from the left of the stern; the angle is that of u."""
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-np.sin(angle), np.cos(angle)])
    u, v = UNIT_SQUARE.T
    quad: Points = center + 0.5 * length * u[:, None] * along + 0.5 * width * v[:, None] * across
    return quad


def slanted_quad(quad: Points, rng: Rng) -> Points:
    """Return a convex quadrilateral that is clearly no rectangle: sheared, and one side shortened."""
    center = quad.mean(axis=0)
    along = (quad[1] - quad[0]) / 2
    across = (quad[3] - quad[0]) / 2
    shear = rng.choice([-1, 1]) * rng.uniform(0.12, 0.3)
    taper = rng.choice([-1, 1]) * rng.uniform(0.06, 0.2)
    u, v = UNIT_SQUARE.T
    offsets = (u + shear * v)[:, None] * along + (v * (1 + taper * u))[:, None] * across
    slanted: Points = center + offsets
    return slanted


def local_to_image(points: Points, quad: Points) -> Points:
    """Map local points to pixels by the homography that takes the unit square to the quad."""
    matrix = cv2.getPerspectiveTransform(UNIT_SQUARE.astype(np.float32), quad.astype(np.float32))
    return np.asarray(cv2.perspectiveTransform(points[None], matrix)[0], np.float64)


def fill(image: NDArray[np.uint8], points: Points, colour: Sequence[int], scale: int) -> None:
    """Fill a polygon of scene pixels on a canvas `scale` times as large; pixel centres lie at i + 0.5."""
    fixed = np.round((points * scale - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
    cv2.fillPoly(image, [fixed], [float(c) for c in colour], cv2.LINE_AA, SUBPIXEL_BITS)


def paint(image: NDArray[np.uint8], parts: Sequence[Part], quad: Points, scale: int) -> None:
    """Draw parts in order onto a canvas `scale` times as large as the scene."""
    for part in parts:
        fill(image, local_to_image(part.points, quad), part.colour, scale)


def _vary(colour: Colour, rng: Rng, spread: int = 14) -> Colour:
    red, green, blue = np.clip(np.array(colour) + rng.integers(-spread, spread + 1, 3), 0, 255).tolist()
    return red, green, blue


def _pick(colours: list[Colour], rng: Rng, spread: int = 14) -> Colour:
    return _vary(colours[int(rng.integers(len(colours)))], rng, spread)


def _shade(colour: Colour, gain: float) -> Colour:
    red, green, blue = (min(255, int(c * gain)) for c in colour)
    return red, green, blue


def _mirrored(*right: tuple[float, float]) -> Points:
    """Return the polygon whose right half is given from bow to stern."""
    return np.array([*right, *((u, -v) for u, v in reversed(right))], np.float64)


def _bar(u: tuple[float, float], v: tuple[float, float]) -> Points:
    return np.array([(u[0], v[0]), (u[1], v[0]), (u[1], v[1]), (u[0], v[1])], np.float64)


def ship(rng: Rng) -> list[Part]:
    """A hull with a pointed bow and a deck that carries containers, a pipe or a cabin."""
    shoulder = rng.uniform(0.35, 0.6)
    hull = _mirrored((1, 0), (0.5 + shoulder / 2, 0.55), (shoulder, 1), (-0.88, 1), (-1, 0.75))
    deck_colour = _pick([(168, 120, 96), (150, 154, 150), (196, 186, 164)], rng)
    parts = [Part(hull, _pick(HULLS, rng)), Part(hull * (0.93, 0.78), deck_colour)]
    kind = rng.integers(3)
    if kind == 0:
        rows = int(rng.integers(3, 6))
        edges = np.linspace(-0.5, shoulder + 0.05, rows + 1)
        for start, stop in pairwise(edges.tolist()):
            for low, high in ((-0.62, -0.03), (0.03, 0.62)):
                parts.append(Part(_bar((start + 0.02, stop - 0.02), (low, high)), _pick(CARGO, rng)))
    elif kind == 1:
        parts.append(Part(_bar((-0.5, shoulder + 0.15), (-0.1, 0.1)), _shade(deck_colour, 0.62)))
        parts += [Part(_bar((u, u + 0.05), (-0.6, 0.6)), _shade(deck_colour, 0.75)) for u in (-0.2, 0.1, 0.4)]
    else:
        parts.append(Part(_bar((-0.3, 0.35), (-0.5, 0.5)), WHITE))
        parts.append(Part(_bar((0.2, 0.3), (-0.45, 0.45)), GLASS))
    parts.append(Part(_bar((-0.86, -0.6), (-0.66, 0.66)), WHITE))
    parts.append(Part(_bar((-0.64, -0.6), (-0.6, 0.6)), GLASS))
    return parts


def wake(rng: Rng) -> list[Part]:
    """White water behind a ship and along its bow, outside its quadrilateral."""
    reach = rng.uniform(0.7, 1.6)
    foam = _mirrored((-0.9, 0.5), (-1 - reach, 0.95))
    sides = _mirrored((0.9, 0.2), (0.4, 1.12), (-1.2, 1.5), (-1.2, 1.2), (0.3, 1.0))
    return [Part(foam, (255, 255, 255)), Part(sides, (110, 110, 110))]


def plane(rng: Rng) -> list[Part]:
    """A fuselage, swept or straight wings with engines, and a tail."""
    body = _pick(PLANES, rng, 8)
    sweep, root, girth = rng.uniform(0.05, 0.55), rng.uniform(0.2, 0.35), rng.uniform(0.1, 0.15)
    tip, chord = root - 0.1 - sweep, rng.uniform(0.12, 0.18)
    wings = _mirrored((root, 0), (tip, 1), (tip - chord, 1), (root - 0.42, 0))
    tail = _mirrored((-0.7, 0), (-0.88, 0.4), (-1, 0.4), (-0.95, 0))
    fuselage = _mirrored((1, 0), (0.95, girth * 0.5), (0.82, girth), (-0.55, girth), (-1, girth * 0.3))
    engines = []
    for share in [(0.4,), (0.32, 0.62)][int(rng.integers(2))]:
        front = root - (0.1 + sweep) * share + 0.1
        engines += [
            Part(_bar((front - 0.16, front), (s - 0.045, s + 0.045)), (84, 88, 96)) for s in (share, -share)
        ]
    fin = _pick(CARGO, rng)
    return [
        *engines,
        Part(wings, _shade(body, 0.88)),
        Part(tail, _shade(body, 0.85)),
        Part(fuselage, body),
        Part(_bar((-0.98, -0.62), (-0.035, 0.035)), fin),
        Part(_mirrored((0.9, 0.2 * girth), (0.86, 0.7 * girth), (0.8, 0.7 * girth)), GLASS),
    ]


def vehicle(rng: Rng) -> list[Part]:
    """A car with glass in front and behind, or a truck with a cab and a box."""
    paintwork = _pick(CARS, rng)
    body = _mirrored((1, 0.65), (0.88, 1), (-0.9, 1), (-1, 0.8))
    if rng.random() < 0.3:
        cab = _mirrored((1, 0.8), (0.95, 0.95), (0.5, 0.95))
        box = _bar((-1, 0.45), (-1, 1))
        front = Part(_bar((0.72, 0.88), (-0.75, 0.75)), GLASS)
        return [Part(cab, paintwork), front, Part(box, _pick([WHITE, *CARGO], rng))]
    windscreen = _mirrored((0.45, 0.72), (0.18, 0.62))
    rear = _mirrored((-0.5, 0.6), (-0.72, 0.7))
    roof = _mirrored((0.18, 0.62), (-0.5, 0.6))
    glass = [Part(windscreen, GLASS), Part(rear, GLASS)]
    return [Part(body, paintwork), *glass, Part(roof, _shade(paintwork, 1.12))]


def court(rng: Rng) -> list[Part]:
    """A sports court: surround, playing field of another colour, white lines and a net."""
    first, second = rng.choice(len(COURTS), 2, replace=False)
    lines: list[Points] = []
    for u in (-0.78, -0.42, 0.42, 0.78):
        half = 0.72 if abs(u) > 0.5 else 0.54
        lines.append(_bar((u - 0.012, u + 0.012), (-half, half)))
    lines += [_bar((-0.78, 0.78), (v - 0.022, v + 0.022)) for v in (-0.72, -0.54, 0.54, 0.72)]
    lines += [_bar((-0.42, 0.42), (-0.022, 0.022))]
    return [
        Part(UNIT_SQUARE, _vary(COURTS[first], rng)),
        Part(_bar((-0.8, 0.8), (-0.75, 0.75)), _vary(COURTS[second], rng)),
        *(Part(line, WHITE) for line in lines),
        Part(_bar((-0.015, 0.015), (-0.8, 0.8)), GLASS),
    ]


def container(rng: Rng) -> list[Part]:
    """Clutter: a ribbed steel box, as long as a truck but without cab and glass."""
    colour = _pick(CARGO, rng)
    ribs = [Part(_bar((u, u + 0.06), (-1, 1)), _shade(colour, 0.8)) for u in np.linspace(-0.9, 0.8, 6)]
    return [Part(UNIT_SQUARE, colour), *ribs]


def building(rng: Rng) -> list[Part]:
    """Clutter: a gabled roof or a flat one with machines on it."""
    colour = _pick(ROOFS, rng)
    if rng.random() < 0.5:
        return [Part(_bar((-1, 1), (-1, 0)), colour), Part(_bar((-1, 1), (0, 1)), _shade(colour, 0.72))]
    parts = [Part(UNIT_SQUARE, _shade(colour, 0.8)), Part(UNIT_SQUARE * 0.9, colour)]
    for _ in range(int(rng.integers(1, 4))):
        u, v = rng.uniform(-0.7, 0.5, 2)
        parts.append(Part(_bar((u, u + 0.2), (v, v + 0.2)), (186, 188, 190)))
    return parts


def tree(rng: Rng) -> list[Part]:
    """Clutter: a crown of three darker to lighter green blobs."""
    green = _pick([(52, 84, 40), (66, 98, 48), (44, 74, 46)], rng, 8)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    parts = []
    for radius, gain in ((1.0, 0.85), (0.7, 1.05), (0.38, 1.3)):
        ragged = circle * (radius * rng.uniform(0.82, 1.0, (12, 1))) - (1 - radius) * 0.35
        parts.append(Part(ragged, _shade(green, gain)))
    return parts
