"""SSDD, the rotated labels (RBox_SSDD/voc_style): VOC XML with corners, rectangles or both.

    <object><name>ship</name><difficult>0</difficult><rotated_bndbox>
      <rotated_bbox_cx>50</rotated_bbox_cx> .. _cy .. _w .. _h <rotated_bbox_theta>-30</rotated_bbox_theta>
      <x1>30</x1><y1>50</y1> .. <x4>30</x4><y4>70</y4>
    </rotated_bndbox></object>

Corners are taken where they are given.  Otherwise theta is the angle of OpenCV's rectangles: degrees,
clockwise on the screen from +x to the width.  Coordinates stay as they are.  Source: Zhang et al., SAR Ship
Detection Dataset (SSDD): official release, Remote Sensing 13, 2021.
"""

from collections.abc import Iterator
from pathlib import Path

from dataloadR.formats.angles import ANGLES, check_unit
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.label_lines import CORNERS
from datasets_tools.formats.voc import Outline, read_voc
from datasets_tools.formats.xml_boxes import read_corners, read_rotated_box
from datasets_tools.formats.xml_nodes import Node
from utils.errors import Faults

SIDES = [f"rotated_bbox_{side}" for side in ("cx", "cy", "w", "h", "theta")]


def read_ssdd(source: Path, faults: Faults, notes: Notes, angle: str = "") -> Iterator[LabelledImage]:
    """Yield the images of SSDD's rotated labels: a folder with those below it, or one file.

    Args:
        angle: of rectangles without corners, a key of ANGLES; empty: degrees.

    Raises:
        UserError: labels that cannot be used and are not skipped, or angles that may be radians.
    """
    angles: list[float] = []

    def read_shape(node: Node) -> Outline:
        box = node.child("rotated_bndbox")
        if any(box.all(tag) for tag in CORNERS):
            return read_corners(box, CORNERS)
        rotated = read_rotated_box(box, SIDES, angle or "degrees")
        angles.append(rotated[4] / ANGLES[angle or "degrees"])
        return rotated

    yield from read_voc(source, read_shape, faults, notes)
    if not angle:
        check_unit(angles, source, notes)
