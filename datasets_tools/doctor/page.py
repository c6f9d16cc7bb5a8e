"""HTML page of the doctor: findings, pictures of the worst cases, figures; in one file without a network."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from datasets_tools.doctor.charts import sideways, upright
from datasets_tools.doctor.files import relative_name
from datasets_tools.doctor.findings import Finding
from datasets_tools.doctor.images import Facts
from datasets_tools.doctor.labels import Labelled
from datasets_tools.doctor.statistics import Figure
from utils import pages
from utils.arrays import F64, U8
from utils.drawing import draw_quads, side_by_side
from utils.images import FILL, ImageError, letterbox_matrix, read_image, transform_quads, warp_image
from utils.palette import PALETTE

TEMPLATE = Path(__file__).with_name("page.html")
SIDE = 200  # px of a picture
CASES = 4  # pictures of each finding


class Report(NamedTuple):
    """All that is said about a data set."""

    name: str
    verdict: str
    findings: list[Finding]  # most serious first
    summary: dict[str, object]
    figures: list[Figure]


def write_check_page(path: Path, report: Report, data: Labelled, facts: dict[Path, Facts]) -> None:
    """Write the page; what comes from the data set is escaped."""
    colours = {split: f"rgb{PALETTE[(n + 4) % len(PALETTE)]}" for n, split in enumerate(data.splits)}
    charts = [sideways(report.figures[0], colours), *(upright(f, colours) for f in report.figures[1:])]
    values = report._asdict() | {
        "colours": colours,
        "charts": charts,
        "pictures": {finding.code: _pictures(finding, data, facts) for finding in report.findings},
    }
    pages.write_page(path, TEMPLATE, values)


def _pictures(finding: Finding, data: Labelled, facts: dict[Path, Facts]) -> list[pages.Picture]:
    pictures = []
    for row in finding.rows[:CASES]:
        picture = _show_object(data.image(row), data.objects.quads[row], facts)
        pictures.append(pages.encode(picture, data.place(row)))
    for first, second in finding.pairs[:CASES]:
        if first != second:
            pair = side_by_side(_show_whole(first, facts), _show_whole(second, facts))
            names = (relative_name(path, data.root) for path in (first, second))
            pictures.append(pages.encode(pair, ", ".join(names)))
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
    canvas, matrix = pages.close_up(_read(path, facts), quad, SIDE)
    return draw_quads(canvas, transform_quads(quad[np.newaxis].astype(np.float32), matrix), [0], ())


def _show_whole(path: Path, facts: dict[Path, Facts]) -> U8:
    image = _read(path, facts)
    if image is None:
        return np.full((SIDE, SIDE, 3), FILL, np.uint8)
    height, width, _ = image.shape
    return warp_image(image, letterbox_matrix((height, width), (SIDE, SIDE)), (SIDE, SIDE))
