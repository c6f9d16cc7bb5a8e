"""The HTML page: findings, pictures of the worst cases and figures, in one file that needs no network."""

import base64
from pathlib import Path
from typing import NamedTuple

import cv2
import jinja2
import numpy as np

from datasets_tools.doctor.charts import sideways, upright
from datasets_tools.doctor.files import shorten
from datasets_tools.doctor.findings import Finding
from datasets_tools.doctor.images import Facts
from datasets_tools.doctor.labels import F64, Labelled
from datasets_tools.doctor.statistics import Figure
from utils.drawing import PALETTE, draw_quads, side_by_side
from utils.files import replacing
from utils.images import (
    FILL,
    U8,
    ImageError,
    compose,
    letterbox_matrix,
    read_image,
    shift,
    transform_quads,
    warp_image,
)

TEMPLATE = Path(__file__).with_name("page.html")
SIDE = 200  # px of a picture
QUALITY = 80
CASES = 4  # pictures of each finding
MARGIN = 3.0  # times the size of the object are shown around it
MIN_WINDOW = 48.0  # px of the image


class Picture(NamedTuple):
    """A JPEG in the page."""

    data: str  # base64
    width: int
    height: int
    caption: str


class Report(NamedTuple):
    """All that is said about a data set."""

    name: str
    verdict: str
    findings: list[Finding]  # most serious first
    summary: dict[str, object]
    figures: list[Figure]


def write_page(path: Path, report: Report, data: Labelled, facts: dict[Path, Facts]) -> None:
    """Write the page; what comes from the data set is escaped."""
    colours = {split: f"rgb{PALETTE[(n + 4) % len(PALETTE)]}" for n, split in enumerate(data.splits)}
    charts = [sideways(report.figures[0], colours), *(upright(f, colours) for f in report.figures[1:])]
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    text = template.render(
        name=report.name,
        verdict=report.verdict,
        findings=report.findings,
        summary=report.summary,
        colours=colours,
        charts=charts,
        pictures={finding.code: _pictures(finding, data, facts) for finding in report.findings},
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _pictures(finding: Finding, data: Labelled, facts: dict[Path, Facts]) -> list[Picture]:
    pictures = []
    for row in finding.rows[:CASES]:
        picture = _show_object(data.image(row), data.objects.quads[row], facts)
        pictures.append(_encode(picture, data.place(row)))
    for first, second in finding.pairs[:CASES]:
        if first != second:
            pair = side_by_side(_show_whole(first, facts), _show_whole(second, facts))
            pictures.append(_encode(pair, f"{shorten(first, data.root)}, {shorten(second, data.root)}"))
    return pictures


def _read(path: Path, facts: dict[Path, Facts]) -> U8 | None:
    """Return the image, or None where it cannot be shown."""
    fact = facts.get(path)
    if fact is None or fact.fault or "not-decoded" in fact.kinds:
        return None
    try:
        return read_image(path)
    except ImageError:  # a fault that only the decoder sees, and nothing was decoded
        return None


def _show_object(path: Path, quad: F64, facts: dict[Path, Facts]) -> U8:
    """Return the surroundings of an object with its outline; grey where there is no image."""
    middle = (quad.min(axis=0) + quad.max(axis=0)) / 2
    window = max(MARGIN * float(np.ptp(quad, axis=0).max()), MIN_WINDOW)
    scale = SIDE / window
    away = compose(shift(SIDE / 2, SIDE / 2), np.array([[scale, 0, 0], [0, scale, 0]]))
    matrix = compose(away, shift(-float(middle[0]), -float(middle[1])))
    image = _read(path, facts)
    if image is None:
        canvas = np.full((SIDE, SIDE, 3), FILL, np.uint8)
    else:
        canvas = warp_image(image, matrix, (SIDE, SIDE))
    return draw_quads(canvas, transform_quads(quad[np.newaxis].astype(np.float32), matrix), [0], ())


def _show_whole(path: Path, facts: dict[Path, Facts]) -> U8:
    image = _read(path, facts)
    if image is None:
        return np.full((SIDE, SIDE, 3), FILL, np.uint8)
    height, width, _ = image.shape
    return warp_image(image, letterbox_matrix((height, width), (SIDE, SIDE)), (SIDE, SIDE))


def _encode(image: U8, caption: str) -> Picture:
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    height, width, _ = image.shape
    return Picture(base64.b64encode(data.tobytes()).decode("ascii"), width, height, caption)
