"""DIOR-R: VOC XML in `Annotations/Oriented Bounding Boxes/`, with the four corners of each object.

    <object><name>ship</name><difficult>0</difficult><robndbox>
      <x_left_top>30</x_left_top><y_left_top>50</y_left_top> .. x_right_top .. x_right_bottom .. x_left_bottom
    </robndbox></object>

The corners are named as they stand in the object's own frame, so the order of the names is the order of the
vertices.  Coordinates stay as they are.  Source: Cheng et al., Anchor-free oriented proposal generator for
object detection, 2022 (the data set's paper).
"""

from collections.abc import Iterator
from pathlib import Path

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from datasets_tools.formats.voc import read_voc
from datasets_tools.formats.xml_boxes import read_corners
from datasets_tools.formats.xml_nodes import Node
from utils.arrays import F64
from utils.errors import Faults

CORNERS = [f"{axis}_{c}" for c in ("left_top", "right_top", "right_bottom", "left_bottom") for axis in "xy"]


def read_dior_r(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of DIOR-R files: the folder of the oriented boxes, or one file.

    Raises:
        UserError: labels that cannot be used and are not skipped.
    """
    return read_voc(source, _read_shape, faults, notes)


def _read_shape(node: Node) -> F64:
    return read_corners(node.child("robndbox"), CORNERS)
