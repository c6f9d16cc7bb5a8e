"""roLabelImg: VOC XML with rotated boxes; plain boxes of labelImg and polygons may stand between them.

    <object><type>robndbox</type><name>ship</name><difficult>0</difficult>
      <robndbox><cx>50</cx><cy>60</cy><w>40</w><h>20</h><angle>0.5</angle></robndbox></object>

The angle is in radians, clockwise on the screen from +x to the width, written in [0, pi).  Coordinates are
those of the tools' canvas, whose left edge is 0, and stay as they are; so do those of `bndbox`.  (The VOC
challenge itself counted pixels from 1 and included the last: such boxes come out 1 px short on the left and
on top.)  A polygon is <x1>, <y1>, <x2> and so on, as in DroneVehicle (Sun et al., Drone-based RGB-infrared
cross-modality vehicle detection via uncertainty-aware learning, 2022).
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.rectangles import count_other_quads, enclosing_rectangles
from datasets_tools.formats.voc import VOC_ROOT, Outline, read_voc
from datasets_tools.formats.xml_boxes import read_box, read_polygon, read_rotated_box
from datasets_tools.formats.xml_nodes import Node
from datasets_tools.formats.xml_writing import add_texts, target_files, write_name_files, write_xml
from utils.decimals import to_text
from utils.errors import Faults

SIDES = ("cx", "cy", "w", "h", "angle")


def read_rolabelimg(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of roLabelImg, labelImg or other VOC files: a folder with those below it, or one file.

    Raises:
        UserError: labels that cannot be used and are not skipped.
    """
    return read_voc(source, partial(_read_shape, notes=notes), faults, notes)


def _read_shape(node: Node, notes: Notes) -> Outline:
    """Return the rotated box of an object, else its polygon, else its plain box."""
    if node.all("polygon") and not node.all("robndbox"):
        return read_polygon(node.child("polygon"), notes)
    if node.all("bndbox") and not node.all("robndbox"):
        return read_box(node, "bndbox", ("xmin", "ymin", "xmax", "ymax"))
    return read_rotated_box(node.child("robndbox"), SIDES)


def write_rolabelimg(images: Sequence[LabelledImage], target: Path, notes: Notes) -> None:
    """Write `Annotations/NAME.xml` per image, and `ImageSets/Main/SPLIT.txt` per split.

    Raises:
        UserError: two images of one name, or a name that XML cannot hold.
    """
    paths = target_files(images, target / "Annotations")
    for image, path in zip(images, paths, strict=True):
        write_xml(_to_element(image, notes), path)
    write_name_files(images, target / "ImageSets" / "Main")


def _to_element(image: LabelledImage, notes: Notes) -> ET.Element:
    root = ET.Element(VOC_ROOT, verified="no")
    add_texts(root, filename=image.name)
    if image.size is not None:
        height, width = image.size
        add_texts(ET.SubElement(root, "size"), width=str(width), height=str(height), depth="3")
    notes.add("images have no size in the file, since it is not known", image.size is None)
    rectangles = enclosing_rectangles(image.quads)
    notes.add("quads became rectangles", count_other_quads(image.quads, rectangles))
    boxes = np.concatenate([rectangles.centres, rectangles.sizes], axis=1).tolist()
    for name, flag, box, angle in zip(image.classes, image.difficult, boxes, rectangles.radians, strict=True):
        node = ET.SubElement(root, "object")
        add_texts(node, type="robndbox", name=name, pose="Unspecified", truncated="0", difficult=str(flag))
        values = [to_text(value) for value in box] + [f"{angle % math.pi:.9f}"]
        add_texts(ET.SubElement(node, "robndbox"), **dict(zip(SIDES, values, strict=True)))
    return root
