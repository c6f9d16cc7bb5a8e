"""Shapes of objects whose numbers stand in elements of their own, as outlines."""

import math
from collections.abc import Sequence

import numpy as np

from dataloadR.formats.records import F64
from dataloadR.formats.shapes import Box
from datasets_tools.formats.xml_nodes import Node, numbers_of
from utils.errors import UserError

FULL_TURN = 2 * math.pi


def read_corners(node: Node, tags: Sequence[str]) -> F64:
    """Return the quad (4, 2) of eight elements, x1 y1 .. x4 y4."""
    return np.array(numbers_of(node, tags)).reshape(4, 2)


def read_upright_box(node: Node, tags: Sequence[str]) -> F64:
    """Return the quad (4, 2) of x_min, y_min, x_max, y_max, clockwise from the upper left.

    Raises:
        UserError: an upper limit lies below its lower one.
    """
    x_min, y_min, x_max, y_max = numbers_of(node, tags)
    if x_max < x_min or y_max < y_min:
        found = f"got {x_min:g} {y_min:g} {x_max:g} {y_max:g}"
        expected = f"{tags[0]} <= {tags[2]} and {tags[1]} <= {tags[3]}"
        raise UserError(f"{node.child(tags[2]).place}: expected {expected}, {found}")
    return np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]])


def read_rotated_box(node: Node, tags: Sequence[str], full_turn: float = FULL_TURN) -> Box:
    """Return cx, cy, width, height in pixels and the angle of the width, clockwise on the screen, in radians.

    Args:
        full_turn: 2 pi or 360, in the format's unit.

    Raises:
        UserError: a negative side, or more than a full turn: degrees where radians are expected.
    """
    cx, cy, width, height, angle = numbers_of(node, tags)
    if min(width, height) < 0:
        found = f"got {width:g} and {height:g}"
        raise UserError(
            f"{node.child(tags[2]).place}: expected at least 0 for <{tags[2]}> and <{tags[3]}>, {found}"
        )
    if abs(angle) > full_turn:
        expected = f"an angle within {full_turn:.5g}, a full turn,"
        raise UserError(f"{node.child(tags[4]).place}: expected {expected} for <{tags[4]}>, got {angle:g}")
    return cx, cy, width, height, angle / full_turn * FULL_TURN
