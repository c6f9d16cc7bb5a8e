"""HTML pages in one file that needs no network: a template, and pictures inside the text."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from utils.arrays import U8
from utils.files import write_text
from utils.images import FILL, Matrix, compose, shift, warp_image

SHARED = Path(__file__).parent  # of pages.html
QUALITY = 80  # of JPEGs
MARGIN = 3.0  # times the size of the object are shown around it
MIN_WINDOW = 48.0  # px of the image


class Picture(NamedTuple):
    """A JPEG in the page."""

    data: str  # base64
    width: int
    height: int
    caption: str
    colour: str = ""  # #rrggbb of a patch before the caption; empty: there is none


def write_page(path: Path, template: Path, values: Mapping[str, object]) -> None:
    """Write what `render_page` returns."""
    write_text(path, render_page(template, values), errors="backslashreplace")  # a name may be no text


def render_page(template: Path, values: Mapping[str, object]) -> str:
    """Return a template with its values, all of them escaped; it may import from utils/pages.html."""
    loader = jinja2.FileSystemLoader([template.parent, SHARED])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.get_template(template.name).render(values)


def close_up(image: U8 | None, quad: NDArray[np.floating], side: int) -> tuple[U8, Matrix]:
    """Return the surroundings of a quad (4, 2), `side` px square, and the matrix that leads there.

    Without an image they are grey.
    """
    middle = (quad.min(axis=0) + quad.max(axis=0)) / 2
    scale = side / max(MARGIN * float(np.ptp(quad, axis=0).max()), MIN_WINDOW)
    away = compose(shift(side / 2, side / 2), np.array([[scale, 0, 0], [0, scale, 0]]))
    matrix = compose(away, shift(-float(middle[0]), -float(middle[1])))
    canvas = np.full((side, side, 3), FILL, np.uint8)
    return canvas if image is None else warp_image(image, matrix, (side, side)), matrix


def source_range(matrix: Matrix, side: int) -> str:
    """Return which pixels of the image a close-up of `side` px shows: x0-x1, y0-y1; beyond its edge, too."""
    scale, left, top = matrix[0, 0], matrix[0, 2], matrix[1, 2]
    (x_min, x_max), (y_min, y_max) = ((round(-t / scale), round((side - t) / scale)) for t in (left, top))
    return f"x {x_min}-{x_max}, y {y_min}-{y_max}"


def encode(image: U8, caption: str, colour: str = "") -> Picture:
    """Return a picture (H, W, 3) for a page; a patch of the colour stands before its caption."""
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    height, width, _ = image.shape
    return Picture(base64.b64encode(data.tobytes()).decode("ascii"), width, height, caption, colour)
