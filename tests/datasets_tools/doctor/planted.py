"""A data set with every defect that the doctor knows of a folder, each planted once, and its place."""

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 128
Picture = NDArray[np.uint8]
BOX = "{0} {1} {2}.5 {1} {2}.5 {3} {0} {3} {4} 0"


def scene(number: int) -> Picture:
    """Return a smooth picture of which no two are alike."""
    rng = np.random.default_rng([7, number])
    cells = rng.uniform(20, 235, (10, 10, 3)).astype(np.float32)
    return cv2.resize(cells, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def encoded(picture: Picture, form: str, **options: object) -> bytes:
    file = BytesIO()
    Image.fromarray(picture).save(file, form, **options)
    return file.getvalue()


def box(x: float, y: float, name: str = "ship") -> str:
    return f"{x} {y} {x + 20} {y + 5} {x + 17.5} {y + 15} {x - 2.5} {y + 10} {name} 0"


# code of the finding -> what its first place says
PLANTED = {
    "unreadable-image": "train/images/broken.jpg",
    "animated-image": "train/images/moving.gif",
    "cmyk": "train/images/inks.jpg",
    "exif-turned": "train/images/turned.jpg",
    "sixteen-bit": "train/images/deep.png",
    "blank-image": "train/images/blank.png",
    "duplicate-image": "train/images/copy.png is train/images/a00.png",
    "same-content": "val/images/leak.png and train/images/a01.png",
    "near-duplicate": "val/images/neighbour.jpg and train/images/a02.png",
    "scene-in-splits": "val/images/P9__1__64___0.png and train/images/P9__1__0___0.png",
    "same-name": "train, val: a03.png",
    "label-without-image": "train/labelTxt/nobody.txt",
    "image-without-label": "train/images/unlabelled.png",
    "empty-label": "train/labelTxt/bare.txt",
    "ambiguous-name": "train/images: a04.jpg, a04.png",
    "name-with-blanks": "train/images/two words.png",
    "foreign-label": "train/labelTxt/a05.xml",
    "malformed-line": "train/labelTxt/lines.txt:2: expected 8 coordinates",
    "wrong-flag": "train/labelTxt/lines.txt:3: expected 0, 1 or 2 for the difficult flag, got '7'",
    "mixed-classes": "train/labelTxt/lines.txt:4 class0",
    "misspelt-class": "train/labelTxt/names.txt:1 shiip",
    "class-case": "train/labelTxt/names.txt:2 Ship",
    "class-not-in-train": "val/labelTxt/leak.txt:1 submarine",
    "class-not-in-val": "<script>",
    "rare-class": "<script>: 1",
    "normalised": "train/labelTxt/shapes.txt:1",
    "outside": "train/labelTxt/shapes.txt:2",
    "mostly-outside": "train/labelTxt/shapes.txt:3",
    "partly-outside": "train/labelTxt/shapes.txt:4",
    "no-area": "train/labelTxt/shapes.txt:5",
    "under-1-px": "train/labelTxt/shapes.txt:6",
    "tiny": "train/labelTxt/shapes.txt:7",
    "concave": "train/labelTxt/shapes.txt:8",
    "self-crossing": "train/labelTxt/shapes.txt:9",
    "duplicate-object": "train/labelTxt/shapes.txt:11",
    "two-classes": "train/labelTxt/shapes.txt:12",
    "coarse-approximation": "train/labelTxt/shapes.txt:13",
    "approximated": "train/labelTxt/shapes.txt:13",
}
SHAPES = [
    "0.1 0.1 0.3 0.1 0.3 0.25 0.1 0.25 ship 0",
    box(300, 40),
    "-30 20.5 10 20.5 10 40 -30 40 ship 0",
    "-5 60.5 45 60.5 45 80 -5 80 ship 0",
    "30 30.5 30 30.5 50 30.5 50 30.5 ship 0",
    "30 90.2 60 90.2 60 90.7 30 90.7 ship 0",
    "90 90.5 93 90.5 93 93 90 93 ship 0",
    "60 60.5 80 60.5 80 80 77 63 ship 0",
    "90 20.5 110 35 110 20.5 90 35 ship 0",
    "20 100.5 40 100.5 40 110 20 110 plane 0",
    "40 110 20 110 20 100.5 40 100.5 plane 0",
    "20 100.5 20 110 40 110 40 100.5 ship 0",
    "70 100.5 100 113 91 124.5 84 118 ship 0",
]


def write_planted(root: Path) -> None:
    """Write the data set."""
    for split in ("train", "val"):
        (root / split / "images").mkdir(parents=True)
        (root / split / "labelTxt").mkdir()
    train, val = root / "train", root / "val"
    for number in range(30):
        _add(train, f"a{number:02d}.png", encoded(scene(number), "PNG"), [box(20, 30), box(70, 80, "plane")])
    _write_images(train, val)
    _add(train, "shapes.png", encoded(scene(40), "PNG"), SHAPES)
    _add(
        train,
        "names.png",
        encoded(scene(41), "PNG"),
        [box(9, 9, "shiip"), box(9, 50, "Ship"), box(60, 60, "<script>")],
    )
    lines = [box(9, 9), "1 2 3 ship 0", box(30, 30).replace(" 0", " 7"), "0 9 50.5 30 50.5 30 60 9 60 0"]
    lines[2] = "30 30.5 50 30.5 50 45 30 45 ship 7"
    _add(train, "lines.png", encoded(scene(42), "PNG"), lines)


def _write_images(train: Path, val: Path) -> None:
    """Plant what is wrong with files and pictures."""
    jpeg = encoded(scene(50), "JPEG")
    _add(train, "broken.jpg", jpeg[: len(jpeg) // 2], [box(20, 30)])
    frames = [Image.fromarray(scene(n)) for n in (51, 52)]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    _add(train, "moving.gif", file.getvalue(), [box(20, 30)])
    file = BytesIO()
    Image.fromarray(scene(53)).convert("CMYK").save(file, "JPEG")
    _add(train, "inks.jpg", file.getvalue(), [box(20, 30)])
    exif = Image.Exif()
    exif[274] = 6
    _add(train, "turned.jpg", encoded(scene(54), "JPEG", exif=exif), [box(20, 30)])
    deep = cv2.imencode(".png", scene(55).astype(np.uint16) * 257)[1].tobytes()
    _add(train, "deep.png", deep, [box(20, 30)])
    _add(train, "blank.png", encoded(np.full((SIDE, SIDE, 3), 90, np.uint8), "PNG"), [box(20, 30)])
    _add(train, "copy.png", encoded(scene(0), "PNG", compress_level=0), [box(20, 30)])
    _add(train, "P9__1__0___0.png", encoded(scene(56), "PNG"), [box(20, 30)])
    _add(train, "unlabelled.png", encoded(scene(57), "PNG"), None)
    _add(train, "bare.png", encoded(scene(58), "PNG"), [])
    _add(train, "a04.jpg", encoded(scene(59), "JPEG"), None)
    _add(train, "two words.png", encoded(scene(60), "PNG"), [box(20, 30)])
    (train / "labelTxt" / "nobody.txt").write_text(box(20, 30))
    (train / "labelTxt" / "a05.xml").write_text("<annotation/>")
    _add(val, "leak.png", encoded(scene(1), "PNG"), [box(20, 30, "submarine"), box(70, 80, "plane")])
    brighter = (scene(2) * 0.8 + 30).astype(np.uint8)
    _add(val, "neighbour.jpg", encoded(brighter, "JPEG", quality=60), [box(20, 30)])
    _add(val, "P9__1__64___0.png", encoded(scene(61), "PNG"), [box(20, 30, "shiip"), box(70, 80, "Ship")])
    _add(val, "a03.png", encoded(scene(62), "PNG"), [box(20, 30, "class0")])


def _add(split: Path, name: str, data: bytes, lines: list[str] | None) -> None:
    (split / "images" / name).write_bytes(data)
    if lines is not None:
        (split / "labelTxt" / name).with_suffix(".txt").write_text("\n".join(lines))
