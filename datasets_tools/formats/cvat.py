"""CVAT for images 1.1: one XML file with the images of a task, or of all tasks of a project.

    <annotations><version>1.1</version>
      <meta><task><id>7</id><subset>train</subset><labels><label><name>ship</name></label></labels></task></meta>
      <image id="0" name="a/P1.png" width="640" height="512" subset="train" task_id="7">
        <polygon label="ship" occluded="0" points="30.00,50.00;70.00,50.00;70.00,70.00;30.00,70.00">
          <attribute name="difficult">1</attribute></polygon>
        <box label="ship" occluded="0" xtl="30" ytl="50" xbr="70" ybr="70" rotation="30"></box>
      </image></annotations>

The rotation is in degrees, clockwise on the screen, about the centre of the box.  Coordinates stay as they
are.  The difficult flag is an attribute called `difficult`: 0, 1 or 2, or false and true.  `occluded` is not
taken for it: what is partly hidden is still to be found.  CVAT for video has tracks instead of images, whose
shapes say their frame.  Source: CVAT's manual, formats "CVAT for image" and "CVAT for video".
"""

import os
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dataloadR.formats.layout import folder_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import RotatedBox, Shape, labelled_image, polygon_quad
from dataloadR.split_names import split_of, split_of_file, split_of_folders
from datasets_tools.formats.xml_boxes import refuse_xml_rotation
from datasets_tools.formats.xml_files import FLAGS, find_xml_files, plain_name
from datasets_tools.formats.xml_nodes import Node, parse_numbers, read_xml, show_text
from datasets_tools.formats.xml_writing import add_texts, write_xml
from utils.arrays import F64
from utils.decimals import to_text
from utils.errors import Faults, UserError
from utils.images import Size

ROOT = "annotations"
SIDES = ("xtl", "ytl", "xbr", "ybr")
AXES = ("cx", "cy", "rx", "ry")  # of an ellipse
OUTLINES = ("box", "polygon", "ellipse")
OTHER_SHAPES = ("polyline", "points", "cuboid", "mask", "skeleton", "tag")
NO_SUBSET = "default"  # CVAT's name for tasks that are in none


def read_cvat(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of one file, or of those in a folder and below it; the split is the image's subset.

    Polygons of other than four vertices become quads; shapes without an area of their own are left out.

    Raises:
        UserError: labels that cannot be used and are not skipped.
    """
    seen: dict[tuple[str, str], str] = {}
    for path in find_xml_files(source):
        for read, place in faults.attempt(partial(_read_file, path, faults, notes)) or ():
            image = _of_folder(read, path, source)
            key = image.split, image.name
            if key in seen:
                other = f"{image.name!r} is at {seen[key]}, too"
                faults.add(UserError(f"{place}: expected each image once, {other}"))
                continue
            seen[key] = place
            yield image


def _of_folder(image: LabelledImage, path: Path, source: Path) -> LabelledImage:
    """Return an image with its path from the source, and the split that a folder says, else the file's name.

    Every export of a task has an annotations.xml of its own, and several tasks images of one name.
    """
    folders = path.parent.relative_to(folder_of(source))
    places = [folders / image.name, *(folders / "images" / part / image.name for part in ("", image.split))]
    beside = next((p for p in places if os.path.isfile(folder_of(source) / p)), None)  # noqa: PTH113 - raises never
    split = image.split or split_of_folders(Path(image.name).parts[:-1])
    split = split or split_of_folders(folders.parts) or split_of_file(path)
    name = beside.as_posix() if beside and folders != Path() else image.name
    return image._replace(name=name, split=split)


def _read_file(path: Path, faults: Faults, notes: Notes) -> list[tuple[LabelledImage, str]]:
    """Return the images of a file and where they stand."""
    root = read_xml(path, ROOT)
    subsets, nodes, tracks = _read_subsets(root), root.all("image"), root.all("track")
    if tracks and (nodes or len(subsets) > 2):  # by its id and by an empty one
        raise UserError(f"{tracks[0].place}: expected <track> in an export of one video alone, got more")
    found = [faults.attempt(partial(_read_image, node, subsets, faults, notes)) for node in nodes]
    frames = _read_frames(root, subsets.get("", ""), faults, notes) if tracks else []
    places = zip(found, nodes, strict=True)
    return [*frames, *((image, node.place) for image, node in places if image is not None)]


def _read_frames(root: Node, subset: str, faults: Faults, notes: Notes) -> list[tuple[LabelledImage, str]]:
    """Return the frames of CVAT for video: their shapes stand in tracks, and CVAT calls them frame_000012."""
    by_frame: dict[int, list[Shape]] = {}
    places: dict[int, str] = {}
    for track in root.all("track"):
        for node in track.children:
            if node.tag in OTHER_SHAPES:
                notes.add(f"shapes of the kind {node.tag} were left out")
            if node.tag not in OUTLINES or node.attributes.get("outside") == "1":
                continue
            read = faults.attempt(partial(_read_of_frame, node, track, notes))
            if read is not None:
                by_frame.setdefault(read[0], []).append(read[1])
                places.setdefault(read[0], node.place)
    notes.add("videos do not name their frames without objects, which were left out")
    size, split = _video_size(root), _split(subset, root)
    return [
        (labelled_image(f"frame_{frame:06d}", size, shapes, split), places[frame])
        for frame, shapes in sorted(by_frame.items())
    ]


def _read_of_frame(node: Node, track: Node, notes: Notes) -> tuple[int, Shape]:
    text = node.attribute("frame")
    if not text.isdecimal():
        raise UserError(f"{node.place}: expected the number of a frame, got {show_text(text)!r}")
    return int(text), _read_shape(node, notes, track)


def _video_size(root: Node) -> Size | None:
    """Return the size of the frames, where the export says it."""
    meta = root.find("meta")
    task = (meta.find("task") or meta.find("job")) if meta else None
    size = (task.find("original_size") if task else None) or (meta.find("original_size") if meta else None)
    sides = [size.find(name) for name in ("height", "width")] if size else []
    numbers = [side.text for side in sides if side is not None and side.text.isdecimal()]
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else None


def _read_subsets(root: Node) -> dict[str, str]:
    """Return the subset of each task by its id, and by an empty id that of the only one."""
    meta = root.find("meta")
    project = meta.find("project") if meta else None
    tasks = project.find("tasks") if project else meta
    subsets = {}
    for task in [*tasks.all("task"), *tasks.all("job")] if tasks else []:
        number, subset = task.find("id"), task.find("subset")
        subsets[number.text if number else ""] = subset.text if subset else ""
    return {"": next(iter(subsets.values())), **subsets} if len(subsets) == 1 else subsets


def _read_image(node: Node, subsets: dict[str, str], faults: Faults, notes: Notes) -> LabelledImage:
    shapes = []
    for child in node.children:
        if child.tag in OUTLINES:
            shapes.append(faults.attempt(partial(_read_shape, child, notes)))
        elif child.tag in OTHER_SHAPES:
            notes.add(f"shapes of the kind {child.tag} were left out")
    subset = node.attributes.get("subset") or subsets.get(node.attributes.get("task_id", ""), "")
    name = plain_name(node.attribute("name"), node.place)
    return labelled_image(name, _read_size(node), [s for s in shapes if s is not None], _split(subset, node))


def _split(subset: str, node: Node) -> str:
    """Return the split of a subset: `Train` is train, `Validation` val."""
    if not re.fullmatch(r"[\w -]*", subset):
        raise UserError(f"{node.place}: expected a subset of letters and digits, got {show_text(subset)!r}")
    name = "-".join(subset.lower().split())
    return split_of((name,)) or ("" if name == NO_SUBSET else name)


def _read_size(node: Node) -> Size | None:
    if not {"width", "height"} & set(node.attributes):
        return None
    fields = [node.attribute(name) for name in ("height", "width")]
    height, width = parse_numbers(fields, ["height", "width"], node.place)
    if not (height.is_integer() and width.is_integer() and min(height, width) >= 0):
        raise UserError(
            f"{node.place}: expected whole numbers for height and width, got {' and '.join(fields)}"
        )
    return (int(height), int(width)) if height and width else None


def _read_shape(node: Node, notes: Notes, track: Node | None = None) -> Shape:
    """Return an object; one of a track has the label of the track."""
    label = " ".join((track or node).attribute("label").split())
    if not label:
        raise UserError(f"{node.place}: expected a class name for label=..., got nothing")
    outline = _read_outline(node, notes)
    notes.add("flags `occluded` were dropped", node.attributes.get("occluded") == "1")
    flags = [child for child in node.all("attribute") if child.attributes.get("name") == "difficult"]
    text = flags[0].text.lower() if flags else "0"
    if text not in FLAGS:
        raise UserError(f"{flags[0].place}: expected 0, 1 or 2 for difficult, got {show_text(text)!r}")
    return Shape(label, outline, FLAGS[text])


def _read_outline(node: Node, notes: Notes) -> F64 | RotatedBox:
    if node.tag == "polygon":
        return polygon_quad(_read_points(node), node.place, notes)
    if node.tag == "box":
        return _read_box(node)
    fields = [node.attribute(name) for name in AXES] + [node.attributes.get("rotation", "0")]
    x, y, rx, ry, degrees = parse_numbers(fields, [*AXES, "rotation"], node.place)
    if min(rx, ry) < 0 or abs(degrees) > 360:
        raise UserError(f"{node.place}: expected radii of at least 0 and at most 360 degrees, got {fields}")
    notes.add("ellipses became the rectangles around them")
    return x, y, 2 * rx, 2 * ry, float(np.radians(degrees))


def _read_box(node: Node) -> RotatedBox:
    fields = [node.attribute(side) for side in SIDES] + [node.attributes.get("rotation", "0")]
    x_min, y_min, x_max, y_max, degrees = parse_numbers(fields, [*SIDES, "rotation"], node.place)
    if x_max < x_min or y_max < y_min:
        raise UserError(f"{node.place}: expected xtl <= xbr and ytl <= ybr, got {' '.join(fields[:4])}")
    if abs(degrees) > 360:
        raise UserError(f"{node.place}: expected at most 360 degrees for rotation, got {fields[4]}")
    if not degrees:
        refuse_xml_rotation(node)
    centre = (x_min + x_max) / 2, (y_min + y_max) / 2
    return *centre, x_max - x_min, y_max - y_min, float(np.radians(degrees))


def _read_points(node: Node) -> F64:
    pairs = [pair.split(",") for pair in node.attribute("points").split(";")]
    bad = next((pair for pair in pairs if len(pair) != 2), None)
    if bad is not None:
        raise UserError(f"{node.place}: expected points x,y;x,y;.., got {show_text(','.join(bad))!r}")
    fields = [field.strip() for pair in pairs for field in pair]
    return np.array(parse_numbers(fields, ["x", "y"] * len(pairs), node.place)).reshape(-1, 2)


def write_cvat(images: Sequence[LabelledImage], target: Path, notes: Notes) -> None:
    """Write `annotations.xml` into a folder, or the file itself if the target ends in `.xml`.

    Quads become polygons; the split is the image's subset and its task's, in a project of one task a split.

    Raises:
        UserError: a name that XML cannot hold.
    """
    root = ET.Element(ROOT)
    add_texts(root, version="1.1")
    labels = _add_meta(ET.SubElement(root, "meta"), images)
    for name in sorted({name for image in images for name in image.classes}):
        _add_label(labels, name)
    places = _places(images)
    counts: Counter[str] = Counter()
    for image in images:
        _add_image(root, image, counts[image.split], places)
        counts[image.split] += 1
        notes.add("images have no size in the file, since it is not known", image.size is None)
    write_xml(root, target if target.suffix == ".xml" else target / "annotations.xml")


def _places(images: Sequence[LabelledImage]) -> dict[str, int]:
    """Return the number of each split's task; none where no image has a split, which is one task."""
    splits = list(dict.fromkeys(image.split for image in images))
    return {split: number for number, split in enumerate(splits)} if any(splits) else {}


def _add_meta(meta: ET.Element, images: Sequence[LabelledImage]) -> ET.Element:
    """Write what the file is of, and return the element of its labels.

    Images of splits are those of a project with one task for each: readers look into `images/SUBSET` only
    for a project's.
    """
    places = _places(images)
    if not places:
        task = ET.SubElement(meta, "task")
        add_texts(task, id="0", name="all", size=str(len(images)), mode="annotation")
        return ET.SubElement(task, "labels")
    project = ET.SubElement(meta, "project")
    add_texts(project, id="0", name="all")
    tasks = ET.SubElement(project, "tasks")
    sizes = Counter(image.split for image in images)
    for split, number in places.items():
        subset = split or NO_SUBSET
        fields = {"size": str(sizes[split]), "mode": "annotation", "subset": subset}
        add_texts(ET.SubElement(tasks, "task"), id=str(number), name=subset, **fields)
    add_texts(project, subsets="\n".join(split or NO_SUBSET for split in places))
    return ET.SubElement(project, "labels")


def _add_label(labels: ET.Element, name: str) -> None:
    """Declare a class and its attribute, which CVAT drops on import unless its task has it."""
    label = ET.SubElement(labels, "label")
    add_texts(label, name=name, type="any")
    flag = ET.SubElement(ET.SubElement(label, "attributes"), "attribute")
    add_texts(
        flag, name="difficult", mutable="False", input_type="select", default_value="0", values="0\n1\n2"
    )


def _add_image(root: ET.Element, image: LabelledImage, number: int, places: dict[str, int]) -> None:
    node = ET.SubElement(root, "image", id=str(number), name=image.name)
    if places:
        node.set("subset", image.split or NO_SUBSET)
        node.set("task_id", str(places[image.split]))
    if image.size is not None:
        node.set("width", str(image.size[1]))
        node.set("height", str(image.size[0]))
    for quad, name, flag in zip(image.quads.tolist(), image.classes, image.difficult, strict=True):
        points = ";".join(f"{to_text(x)},{to_text(y)}" for x, y in quad)
        shape = ET.SubElement(node, "polygon", label=name, source="manual", occluded="0", points=points)
        ET.SubElement(shape, "attribute", name="difficult").text = str(flag)
