from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from evalR.pictures import grid
from evalR.pictures.grid import Prediction, prediction_grid
from utils.drawing import save_image
from utils.palette import class_colour
from utils.records import Annotation, Detections

SQUARE = [[40.0, 50.0], [80.0, 50.0], [80.0, 90.0], [40.0, 90.0]]


def row(folder: Path, number: int, truth: int, found: int, side: int = 120) -> Prediction:
    image = np.full((side, side, 3), 5 * number, np.uint8)
    path = folder / "images" / f"{number}.png"
    save_image(path, image)
    annotation = Annotation(
        str(path),
        np.array([SQUARE] * truth, np.float32).reshape(-1, 4, 2),
        np.zeros(truth, np.int64),
        (np.arange(truth) % 3).astype(np.int8),
    )
    quads = torch.tensor(SQUARE).expand(found, 4, 2)
    return annotation, Detections(quads, torch.linspace(0.9, 0.1, found), torch.zeros(found).long())


def test_at_most_twelve_images_with_first_and_last(tmp_path: Path) -> None:
    sheet = prediction_grid(
        [row(tmp_path, n, n % 3, n % 4) for n in range(40)], ["ship"], tmp_path / "grid.png"
    )
    assert np.array_equal(cv2.imread(str(tmp_path / "grid.png"))[..., ::-1], sheet)
    tiles = [n for n in range(40) if (sheet == 5 * n).all(axis=-1).sum() > 10000]
    assert len(tiles) == 12
    assert {tiles[0], tiles[-1]} == {0, 39}


def test_threshold_hides_predictions(tmp_path: Path) -> None:
    shown = prediction_grid([row(tmp_path, 3, 0, 1)], ["ship"], tmp_path / "a.png", 0.5)
    hidden = prediction_grid([row(tmp_path, 3, 0, 1)], ["ship"], tmp_path / "b.png", 0.95)
    middle, end = shown.shape[1] // 2, 140
    assert (shown[30:end] != hidden[30:end]).any()
    assert np.array_equal(shown[30:end, :middle], hidden[30:end, :middle])


def test_thresholds_of_classes(tmp_path: Path) -> None:
    """Of a ship and a plane with 0.6 each, the one whose class asks for more is left out."""
    truth, found = row(tmp_path, 3, 0, 2)
    found = found._replace(scores=torch.tensor([0.6, 0.6]), labels=torch.tensor([0, 1]))
    sheets = []
    for thresholds in ({"ship": 0.5, "plane": 0.7}, {"ship": 0.7, "plane": 0.5}):
        sheets.append(prediction_grid([(truth, found)], ["ship", "plane"], tmp_path / "a.png", thresholds))
    for sheet, shown in zip(sheets, (0, 1), strict=True):
        for label in (0, 1):  # in the legend as well as on the picture
            assert (sheet == class_colour(label)).all(axis=-1).any() == (label == shown)


def test_the_sheet_says_what_its_colours_and_its_sides_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    legends = []
    monkeypatch.setattr(grid, "with_legend", lambda image, entries: legends.append(entries) or image)
    truth, found = row(tmp_path, 3, 3, 2)  # of the truth, two are difficult
    classes = ["boat", "plane", "ship"]
    truth, found = truth._replace(labels=np.array([2, 0, 0])), found._replace(labels=torch.tensor([2, 1]))
    prediction_grid([(truth, found)], classes, tmp_path / "a.png", 0.5)
    assert legends == [
        [
            (None, "left: truth; right: predictions, score >= 0.50"),
            (class_colour(2), "ship"),
            (grid.GREY, "difficult"),
        ]
    ]


def test_large_images_are_reduced(tmp_path: Path) -> None:
    assert prediction_grid([row(tmp_path, 1, 2, 2, 1100)], ["ship"], tmp_path / "a.jpg").shape[1] < 1100


def test_no_images_and_no_objects(tmp_path: Path) -> None:
    prediction_grid([], ["ship"], tmp_path / "none.jpg")
    prediction_grid([row(tmp_path, 1, 0, 0)], ["ship"], tmp_path / "empty.jpg")
    assert {p.name for p in tmp_path.iterdir()} == {"images", "none.jpg", "empty.jpg"}
