"""The report of an evaluation: what it says, and that it says it without images, objects or detections."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from evalR.report import galleries, tables
from evalR.report.curves import class_curves
from evalR.report.page import write_report
from evalR.scoring.best_f1 import best_f1
from evalR.scoring.columns import Found, Truth
from evalR.scoring.errors import find_errors
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import judge
from evalR.scoring.metrics import Evaluation, measure
from evalR.scoring.protocol import protocol_of
from evalR.scoring.result_sets import Results
from tests.evalR.small_scenes import scene, square
from utils.drawing import save_image
from utils.palette import class_colour
from utils.quads.parts import to_boxes
from utils.records import Annotation

ODD = 'a <b>"bold"</b> & odd'
VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Checks that what is opened is closed, and keeps the text and the attributes that could load things."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert not reader.open
    assert not [link for link in reader.links if not link.startswith("data:image/jpeg;base64,")]
    assert "@import" not in path.read_text(encoding="utf-8")
    assert "url(" not in path.read_text(encoding="utf-8")
    return reader


def case(
    classes: list[str], found: int, truth: int, boxes: bool = False
) -> tuple[Evaluation, list[Annotation]]:
    """Return detections and truths of random classes in ten images, scored."""
    rng = np.random.default_rng(found + truth)
    quads = np.array([square(x, y) for x, y in rng.uniform(0, 80, (max(truth, 1), 2))])
    own = rng.integers(0, max(truth, 1), found)
    images, labels = np.sort(rng.integers(0, 10, truth)), rng.integers(0, len(classes), truth)
    where = images[own] if truth else rng.integers(0, 10, found)
    order = np.argsort(where, kind="stable")
    called = rng.integers(0, len(classes), found)
    shapes = (quads[own] + rng.normal(0, 2, (found, 1, 2))).reshape(-1, 4, 2)
    detections = Found(where[order], called[order], rng.uniform(size=found), shapes[order])
    objects = Truth(images, labels, rng.uniform(size=truth) < 0.1, quads[:truth])
    results = Results(detections, None)
    if boxes:
        results = Results(None, detections._replace(shapes=to_boxes(detections.shapes)))
    data = {"root": ODD, "split": ODD, "images": None}
    evaluation = measure(classes, objects, results, protocol_of(objects, [ODD] * 10, data, classes))
    none = np.zeros((0, 4, 2), np.float32)
    nothing = np.zeros(0, np.int64)
    return evaluation, [
        Annotation(f"nowhere/{k}{ODD}.png", none, nothing, nothing.astype(np.int8)) for k in range(10)
    ]


@pytest.mark.parametrize(
    ("classes", "found", "truth", "boxes"),
    [
        (2, 0, 0, False),
        (2, 40, 0, False),
        (2, 0, 20, False),
        (1, 40, 20, True),
        (18, 300, 150, False),
        (60, 300, 150, False),
    ],
)
def test_one_file_that_needs_nothing_else(
    classes: int, found: int, truth: int, boxes: bool, tmp_path: Path
) -> None:
    names = [f"class {k} with a long name, {ODD}" for k in range(classes)]
    evaluation, annotations = case(names, found, truth, boxes)
    path = write_report(tmp_path, evaluation, annotations, "voc12")
    assert path == tmp_path / "report/index.html"
    assert path.stat().st_size < 5e6
    text = "".join(read(path).text)
    assert text.count(names[0]) >= 2
    assert ("n/a" in text) or truth
    assert ("There are no objects, and so no curves." in text) == (not truth)
    assert ("The images are not at hand" in text) == (found + truth > 0)


def test_the_figures_are_those_of_the_metrics(tmp_path: Path) -> None:
    evaluation, annotations = case(["a", "b"], 200, 60)
    speed = {"images": 10, "seconds": 2.0, "images_per_second": 5.0, "device": "cpu", "processes": 1}
    text = "".join(read(write_report(tmp_path, evaluation, annotations, "voc07", speed)).text)
    values = evaluation.metrics["task1"]
    for column in ("AP50", "AP75", "AP50:95"):
        for metric in ("voc07", "voc12"):
            for value in values[metric][column]["per_class"].values():
                assert f"{100 * value:.1f}" in text
    coco, whole = values["coco"], values["sizes"]["coco"]["all"]
    parts = [coco["AP25"], *coco["AR"].values(), *(whole[f"AP{p}"] for p in range(50, 100, 5))]
    parts += [coco["lrp"][part] for part in ("total", "localisation", "false_positives", "false_negatives")]
    assert all(f"{100 * part['mean']:.1f}" in text for part in parts)
    assert all(f"{score:.3f}" in text for score in coco["lrp"]["score"].values())
    assert f"mAP50{100 * values['voc07']['AP50']['mean']:.1f}" in text
    assert "images/s5" in text
    assert evaluation.metrics["protocol"]["rules"]["iou"]["task1"] in text


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    evaluation, annotations = case(["a", "b"], 100, 40)
    picture = np.full((100, 100, 3), 90, np.uint8)
    for place in range(9):
        save_image(tmp_path / f"{place}.png", picture)
        annotations[place] = annotations[place]._replace(image_path=str(tmp_path / f"{place}.png"))
    (tmp_path / "4.png").write_bytes(b"no image")
    reader = read(write_report(tmp_path, evaluation, annotations, "voc12"))
    assert 10 < len(reader.links) < 48
    assert "more are not shown, for their images cannot be read" in "".join(reader.text)
    data = np.frombuffer(base64.b64decode(reader.links[0].partition(",")[2]), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (galleries.SIDE, galleries.SIDE, 3)


def test_classes_have_the_colours_of_the_pictures(tmp_path: Path) -> None:
    """Beside the names of the table, of the curves, and of rows and columns of the confusion matrix."""
    names = [f"kind {k}" for k in range(12)]
    evaluation, annotations = case(names, 300, 150)
    text = write_report(tmp_path, evaluation, annotations, "voc12").read_text()
    for k, name in enumerate(names):
        colour = "#" + "".join(f"{value:02x}" for value in class_colour(k))
        patch = f'<span class="key patch" style="background: {colour}"></span>'
        assert text.count(patch) >= 4
        for before, after in ((patch + name + "</th>", ""), (patch + name, "</h3>"), (name + patch, "</th>")):
            assert before + after in text, (before, after)


def test_pictures_of_errors_say_where_they_lie(tmp_path: Path) -> None:
    """Each pixel of the image is its place: the range in the caption is that of the pixels in the picture."""
    image = np.zeros((700, 700, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(700) // 4, np.arange(700)[:, None] // 4
    save_image(tmp_path / "a.png", image)
    quad = square(300, 420, 60)
    scored = scene([(quad, 1, 0.9)], [])
    (shown,) = galleries.show(
        [galleries.Case(0, "b 0.90", found=0)], scored, [str(tmp_path / "a.png")], np.array([True])
    )
    assert shown
    words = re.fullmatch(r"b 0\.90 \(a\.png, x (\d+)-(\d+), y (\d+)-(\d+)\)", shown.caption)
    assert words
    left, right, top, bottom = map(int, words.groups())
    assert (right - left, bottom - top) == (180, 180)
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(shown.data), np.uint8), cv2.IMREAD_COLOR)
    # four grey levels a pixel of the image, and a JPEG keeps colours less well than lightness
    corners = pixels[[5, -6]][:, [5, -6]].astype(float) * 4  # blue, green, red
    step = 180 / galleries.SIDE
    assert corners[0, 0, [2, 1]] == pytest.approx([left + 5 * step, top + 5 * step], abs=24)
    assert corners[1, 1, [2, 1]] == pytest.approx([right - 5 * step, bottom - 5 * step], abs=24)
    assert shown.colour == "#" + "".join(f"{value:02x}" for value in class_colour(1))


def example() -> Scored:
    """Truths: a at 0, 100 (larger) and 200, b at 300.  Found: the first a, later twice; b as a; a nowhere."""
    truth = [(square(0), 0), (square(100, side=30), 0), (square(200), 0), (square(300), 1)]
    found = [
        (square(0), 0, 0.9),
        (square(1), 0, 0.8),
        (square(300), 0, 0.7),
        (square(500), 0, 0.6),
        (square(206), 0, 0.5),
        (square(200), 0, 0.1),
    ]
    return scene(found, truth)


def test_false_positives_by_hand() -> None:
    scored = example()
    verdicts = judge(scored.matches, 0.5)
    cases = galleries.false_positives(scored, verdicts, find_errors(scored, verdicts, 0.5))
    assert [case.caption for case in cases] == [
        "a 0.80: found twice",
        "a 0.70: is b",
        "a 0.60: nothing there",
        "a 0.50: badly placed, IoU 0.25",
    ]


def test_misses_by_hand() -> None:
    scored = example()
    verdicts = judge(scored.matches, 0.5)
    best = best_f1(scored.found, scored.matches, verdicts)
    assert best.score[0] == 0.9
    cases, total = galleries.misses(scored, verdicts, best.score)
    assert total == 3
    assert [case.caption for case in cases] == [
        "a: found at no score",
        "b: found at no score",
        "a: found only at 0.10",
    ]


def test_curves_by_hand() -> None:
    (curves,) = class_curves(example(), [0])
    f1 = curves.f1.lines[-1].points
    assert len(f1) == 101
    ys = {round(k / 100, 2): y for k, (_, y) in enumerate(f1)}
    bottom, top = curves.f1.lines[1].points[0][1], curves.pr.lines[-2].points[0][1]
    heights = {k: (bottom - ys[k]) / (bottom - top) for k in (1.0, 0.85, 0.05)}
    assert heights == pytest.approx({1.0: 0.0, 0.85: 0.5, 0.05: 2 * 2 / (6 + 3)}, abs=0.002)


def test_many_classes_show_those_with_the_most_objects() -> None:
    rows = np.diag(np.arange(51)).tolist()
    table = tables.confusion_table({"names": [str(k) for k in range(51)], "rows": rows})
    assert [name for name, _ in table.rows] == [*(str(k) for k in range(10, 50)), "50"]
    assert re.fullmatch(r"1[0-9]|[2-5][0-9]", table.rows[0][1][0].text)
