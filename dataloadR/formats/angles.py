"""Angles of rotated boxes: their units, and rotations that stand under a key of their own beside a box."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dataloadR.formats.json_values import Value
from dataloadR.formats.notes import Notes
from dataloadR.label_lines import AnnotationError

FULL_TURN = 2 * math.pi + 1e-3  # radians; files round it to a few digits, 6.283 or 6.2832
MANY = 20  # rotated boxes, which in degrees would not all lie within 6.28
ANGLES = {  # what one unit of a rotated box is in radians, clockwise on the screen
    "degrees": math.pi / 180,
    "radians": 1.0,
    "degrees-ccw": -math.pi / 180,  # Detectron2
    "radians-ccw": -1.0,
}
TURN = re.compile(r"([-+]?[0-9]*[.,]?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(?:\u00b0|deg|degrees?|rad|radians?)?")
WORDS = {"rotation", "rotate", "rotated", "rot", "angle", "angles", "ang", "theta", "yaw", "heading"}
WORDS |= {"radian", "radians", "degree", "degrees", "direction", "orientation"}


def may_be_radians(angles: Sequence[float]) -> bool:
    """Say whether so many angles, about to be read as degrees, would all be such in radians."""
    return len(angles) >= MANY and 0 < max(map(abs, angles)) <= FULL_TURN


def check_unit(angles: Sequence[float], source: Path, notes: Notes) -> None:
    """Stop where the angles of a data set, about to be read as degrees, would all be such in radians.

    Below MANY boxes they are counted instead.

    Args:
        angles: of all its rotated boxes, in the unit of the files.

    Raises:
        AnnotationError: MANY boxes or more, and not one angle beyond a full turn in radians.
    """
    largest = max(map(abs, angles), default=0.0)
    if not 0 < largest <= FULL_TURN:
        return
    if may_be_radians(angles):
        found = f"the angles of its {len(angles)} rotated boxes are all within {largest:g}"
        raise AnnotationError(
            f"{source}: expected the unit of angles, which the files do not say: {found}, as radians are; "
            f"give --angle {' or '.join(ANGLES)}"
        )
    notes.add("rotated boxes have angles within 2 pi, read as degrees: for radians, --angle", len(angles))


def is_rotation(key: str) -> bool:
    """Say whether a key is called as rotations are: `rotation`, `rotationAngle`, `box_theta`."""
    return any(word.lower() in WORDS for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", key))


def turn_of(value: object) -> float:
    """Return a rotation that is a number, also one written as text (`30.0`, `30,0`, `30 deg`); else 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0.0
    written = TURN.fullmatch(str(value).strip())
    return float(written[1].replace(",", ".")) if written else 0.0


def find_rotation(node: Value) -> Value | None:
    """Return the first rotation other than 0 of an object's row, its own or of its attributes."""
    return next((found for found in _rotations(node) if turn_of(found.value)), None)


def refuse_rotation(node: Value) -> None:
    """Raise an AnnotationError where an upright box has a rotation whose meaning is not known."""
    found = find_rotation(node)
    if found is not None:
        raise found.error("no rotation beside an upright box, as its unit and centre are not known here")


def _rotations(node: Value) -> Iterator[Value]:
    """Yield the values of keys called as rotations, also as {"name": "rotation", "value": 45}."""
    if isinstance(node.value, list):
        for item in node.items():
            yield from _rotations(item)
    if not isinstance(node.value, dict):
        return
    name: Any = node.value.get("name", node.value.get("key"))
    if isinstance(name, str) and is_rotation(name) and (value := node.find("value")):
        yield value
    for key, inside in node.value.items():
        found = Value(node.file, f"{node.place}.{key}", inside)
        if is_rotation(str(key)):
            yield found
        elif isinstance(inside, dict | list) and inside:
            yield from _rotations(found)
