"""VOC XML: the part that roLabelImg, DIOR-R and SSDD share; they differ in how a shape is written.

<annotation>
  <filename>P1.png</filename>
  <size><width>640</width><height>512</height><depth>3</depth></size>
  <object><name>ship</name><truncated>0</truncated><difficult>0</difficult> the shape </object>
</annotation>
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import RotatedBox, Shape
from datasets_tools.formats.xml_files import Content, read_class, read_files, read_flag, read_size
from datasets_tools.formats.xml_nodes import Node
from utils.arrays import F64
from utils.errors import Faults

Outline = F64 | RotatedBox
VOC_ROOT = "annotation"
TRUNCATED = "flags `truncated` were dropped"


def read_voc(
    source: Path, read_shape: Callable[[Node], Outline], faults: Faults, notes: Notes
) -> Iterator[LabelledImage]:
    """Yield the images of VOC files; `read_shape` returns the outline of an <object>.

    Raises:
        UserError: labels that cannot be used and are not skipped.
    """

    def parse(root: Node) -> Content:
        found = [
            faults.attempt(partial(_read_object, node, read_shape, notes)) for node in root.all("object")
        ]
        name = root.find("filename")
        size = read_size(root.find("size"), ("height", "width"))
        return Content(name.text if name else "", size, [item for item in found if item is not None])

    return read_files(source, VOC_ROOT, parse, faults, notes)


def _read_object(node: Node, read_shape: Callable[[Node], Outline], notes: Notes) -> Shape:
    found = Shape(read_class(node, "name"), read_shape(node), read_flag(node, "difficult"))
    truncated = node.find("truncated")
    notes.add(TRUNCATED, truncated is not None and truncated.text == "1")
    return found
