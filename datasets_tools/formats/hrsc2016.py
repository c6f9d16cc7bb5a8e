"""HRSC2016: XML with rotated boxes of ships, classes as numbers.

    <HRSC_Image><Img_FileName>100000001</Img_FileName><Img_FileFmt>bmp</Img_FileFmt>
      <Img_SizeWidth>1166</Img_SizeWidth><Img_SizeHeight>753</Img_SizeHeight>
      <HRSC_Objects><HRSC_Object><Class_ID>100000013</Class_ID><difficult>0</difficult>
        <mbox_cx>50</mbox_cx><mbox_cy>60</mbox_cy><mbox_w>40</mbox_w><mbox_h>20</mbox_h><mbox_ang>0.5</mbox_ang>
      </HRSC_Object></HRSC_Objects></HRSC_Image>

The angle is in radians, clockwise on the screen from +x to the width.  Coordinates stay as they are.  A class
is called by its name in `sysdata.xml`, which lies with the labels or above them, else `class100000013`;
100000001 is `ship`.  Source: Liu et al., A high resolution optical satellite image dataset for ship
recognition, 2017.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape
from datasets_tools.formats.voc import TRUNCATED
from datasets_tools.formats.xml_boxes import read_rotated_box
from datasets_tools.formats.xml_files import NO_LABELS, Content, read_class, read_files, read_flag, read_size
from datasets_tools.formats.xml_nodes import Node, read_xml
from utils.errors import Faults

SIDES = ("mbox_cx", "mbox_cy", "mbox_w", "mbox_h", "mbox_ang")
SHIP = "100000001"  # the class above all others


def read_hrsc2016(source: Path, faults: Faults, notes: Notes, one_class: str = "") -> Iterator[LabelledImage]:
    """Yield the images of HRSC2016 files: a folder with those below it, or one file.

    Args:
        one_class: what every object is called, such as `ship`; empty: by its Class_ID.

    Raises:
        UserError: labels that cannot be used and are not skipped.
    """
    names = {} if one_class else _class_names(source, faults)

    def read_object(node: Node) -> Shape:
        number = read_class(node, "Class_ID")
        name = one_class or names.get(number) or ("ship" if number == SHIP else f"class{number}")
        box = read_rotated_box(node, SIDES)
        truncated = node.find("truncated")
        notes.add(TRUNCATED, truncated is not None and truncated.text == "1")
        return Shape(name, box, read_flag(node, "difficult"))

    def parse(root: Node) -> Content:
        objects = root.find("HRSC_Objects")
        nodes = objects.all("HRSC_Object") if objects else []
        found = [faults.attempt(partial(read_object, node)) for node in nodes]
        name, suffix = root.find("Img_FileName"), root.find("Img_FileFmt")
        written = ".".join(node.text for node in (name, suffix) if node and node.text)
        size = read_size(root, ("Img_SizeHeight", "Img_SizeWidth"))
        return Content(written, size, [shape for shape in found if shape is not None])

    return read_files(source, "HRSC_Image", parse, faults, notes)


def _class_names(source: Path, faults: Faults) -> dict[str, str]:
    """Return the names of sysdata.xml by Class_ID; none without the file."""
    places = [*sorted(source.rglob(NO_LABELS[0])), *(p / NO_LABELS[0] for p in source.resolve().parents[:2])]
    path = next((place for place in places if place.is_file()), None)
    root = faults.attempt(partial(read_xml, path)) if path else None
    names: dict[str, str] = {}
    waiting = [root] if root else []
    while waiting:
        node = waiting.pop()
        waiting += node.children
        number, name = node.all("Class_ID"), node.all("Class_Name")
        if number and name:
            names[number[0].text] = name[0].text
    return names
