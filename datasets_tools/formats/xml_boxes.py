"""XML outlines of objects whose numbers stand in elements of their own."""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from dataloadR.formats.angles import ANGLES, FULL_TURN, is_rotation, turn_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.shapes import RotatedBox, polygon_quad
from datasets_tools.formats.xml_nodes import Node, numbers_of
from utils.arrays import F64
from utils.errors import UserError

CVAT_ROTATION = "rotation"  # of <attributes> in the VOC files of CVAT: degrees, clockwise about the centre


def read_corners(node: Node, tags: Sequence[str]) -> F64:
    """Return the quad (4, 2) of eight elements, x1 y1 .. x4 y4."""
    return np.array(numbers_of(node, tags)).reshape(4, 2)


def read_polygon(node: Node, notes: Notes) -> F64:
    """Return the quad (4, 2) of <x1>, <y1>, <x2> and so on, however many vertices there are.

    They may count from 0, or be <pt> or <point> with <x> and <y>, as in LabelMe's XML.
    """
    points = [*node.all("pt"), *node.all("point")]
    if points:
        corners = [numbers_of(point, ("x", "y")) for point in points]
    else:
        found = [re.fullmatch("[xy]([0-9]+)", child.tag) for child in node.children]
        numbers = sorted({int(match[1]) for match in found if match}) or [1]
        if numbers[-1] - numbers[0] + 1 > len(numbers) or numbers[0] > 1:  # one is missing
            numbers = list(range(1, numbers[-1] + 1))
        corners = [numbers_of(node, (f"x{k}", f"y{k}")) for k in numbers]
    return polygon_quad(np.array(corners).reshape(-1, 2), node.place, notes)


def read_box(node: Node, tag: str, tags: Sequence[str]) -> RotatedBox:
    """Return the box x_min, y_min, x_max, y_max of an object, turned as CVAT's attribute `rotation` says.

    Raises:
        UserError: an upper limit lies below its lower one, or another rotation beside the box.
    """
    box = node.child(tag)
    x_min, y_min, x_max, y_max = numbers_of(box, tags)
    if x_max < x_min or y_max < y_min:
        found = f"got {x_min:g} {y_min:g} {x_max:g} {y_max:g}"
        expected = f"{tags[0]} <= {tags[2]} and {tags[1]} <= {tags[3]}"
        raise UserError(f"{box.child(tags[2]).place}: expected {expected}, {found}")
    degrees = _rotation_beside(node)
    centre = (x_min + x_max) / 2, (y_min + y_max) / 2
    return *centre, x_max - x_min, y_max - y_min, degrees * ANGLES["degrees"]


def _rotation_beside(node: Node) -> float:
    """Return the degrees of CVAT's attribute; any other rotation is an error."""
    for place, key, text, known in [*_own_rotations(node), *_rotations(node)]:
        turn = turn_of(text)
        if turn and not (known and abs(turn) <= 360):
            meaning = "at most 360 degrees" if known else "no rotation beside an upright box"
            raise UserError(f"{place}: {key}: expected {meaning}, got {text[:20]!r}")
        if turn:
            return turn
    return 0.0


def _own_rotations(node: Node) -> Iterator[tuple[str, str, str, bool]]:
    """Yield what `_rotations` does of the attributes of the node itself."""
    for key, text in node.attributes.items():
        if is_rotation(key):
            yield node.place, f"{key}=", text, False


def _rotations(node: Node) -> Iterator[tuple[str, str, str, bool]]:
    """Yield place, key and text of what is called as rotations are, and whether it is CVAT's attribute."""
    for child in node.children:
        if is_rotation(child.tag):
            yield child.place, f"<{child.tag}>", child.text, False
        yield from _own_rotations(child)
        name, value = child.all("name"), child.all("value")
        if name and value and is_rotation(name[0].text):
            is_cvat = node.tag == "attributes" and name[0].text == CVAT_ROTATION
            yield value[0].place, f"attribute {name[0].text}", value[0].text, is_cvat
        elif is_rotation(child.attributes.get("name", "")):
            yield child.place, f"attribute {child.attributes['name']}", child.text, False
        yield from _rotations(child)


def refuse_xml_rotation(node: Node) -> None:
    """Raise a UserError where an upright box has a rotation other than 0 in elements of its own."""
    for place, key, text, _ in [*_own_rotations(node), *_rotations(node)]:
        if turn_of(text):
            raise UserError(f"{place}: {key}: expected no rotation beside an upright box, got {text[:20]!r}")


def read_rotated_box(node: Node, tags: Sequence[str], angle: str = "radians") -> RotatedBox:
    """Return cx, cy, width, height in pixels and the angle of the width, clockwise on the screen, in radians.

    Args:
        angle: what the file's angle is, a key of ANGLES.

    Raises:
        UserError: a negative side, or more than a full turn: degrees where radians are expected.
    """
    cx, cy, width, height, turn = numbers_of(node, tags)
    if min(width, height) < 0:
        found = f"got {width:g} and {height:g}"
        raise UserError(
            f"{node.child(tags[2]).place}: expected at least 0 for <{tags[2]}> and <{tags[3]}>, {found}"
        )
    if abs(turn * ANGLES[angle]) > FULL_TURN:
        largest = f"{2 * math.pi / abs(ANGLES[angle]):.5g}"
        expected = f"an angle within {largest}, a full turn,"
        raise UserError(f"{node.child(tags[4]).place}: expected {expected} for <{tags[4]}>, got {turn:g}")
    return cx, cy, width, height, turn * ANGLES[angle]
