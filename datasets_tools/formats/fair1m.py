"""FAIR1M: XML with the outline of each object as a closed ring of points.

    <annotation><source><filename>0.tif</filename></source><size><width>1000</width><height>1000</height></size>
      <objects><object><coordinate>pixel</coordinate><possibleresult><name>Small Car</name></possibleresult>
        <points><point>30.0,50.0</point> .. four corners and the first again .. </points></object></objects>
    </annotation>

Coordinates stay as they are; there is no difficult flag.  Source: Sun et al., FAIR1M: A benchmark dataset for
fine-grained object recognition in high-resolution remote sensing imagery, 2022.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape, polygon_quad
from datasets_tools.formats.xml_files import Content, read_class, read_files, read_size
from datasets_tools.formats.xml_nodes import Node, parse_numbers, show_text
from utils.errors import Faults, UserError


def read_fair1m(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of FAIR1M files: a folder with those below it, or one file.

    Raises:
        UserError: labels that cannot be used and are not skipped.
    """

    def parse(root: Node) -> Content:
        objects, origin = root.find("objects"), root.find("source")
        nodes = objects.all("object") if objects else []
        found = [faults.attempt(partial(_read_object, node, notes)) for node in nodes]
        name = origin.find("filename") if origin else None
        size = read_size(root.find("size"), ("height", "width"))
        return Content(name.text if name else "", size, [shape for shape in found if shape is not None])

    return read_files(source, "annotation", parse, faults, notes)


def _read_object(node: Node, notes: Notes) -> Shape:
    frame = node.find("coordinate")
    if frame is not None and frame.text not in ("pixel", ""):
        raise UserError(f"{frame.place}: expected pixel as the <coordinate>, got {show_text(frame.text)!r}")
    results = node.all("possibleresult")
    if not results:
        node.child("possibleresult")
    notes.add("further classes of objects with several were dropped", len(results) - 1)
    points = node.child("points")
    ring = np.array([_read_point(point) for point in points.all("point")]).reshape(-1, 2)
    return Shape(read_class(results[0], "name"), polygon_quad(ring, points.place, notes))


def _read_point(node: Node) -> list[float]:
    fields = [field.strip() for field in node.text.split(",")]
    if len(fields) != 2:
        raise UserError(f"{node.place}: expected x,y in <point>, got {show_text(node.text)!r}")
    return parse_numbers(fields, ["x", "y"], node.place)
