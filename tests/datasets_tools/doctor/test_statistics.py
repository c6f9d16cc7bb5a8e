import math
from pathlib import Path

import numpy as np
import torch

from datasets_tools.doctor.charts import sideways, upright
from datasets_tools.doctor.files import Entry
from datasets_tools.doctor.labels import Labelled, LabelTable
from datasets_tools.doctor.statistics import figures, summarise
from utils.rboxes import rboxes_to_quads


def example(boxes: list[list[float]]) -> Labelled:
    """Rectangles in the first image of train; the second image and val are without objects."""
    quads = rboxes_to_quads(torch.tensor(boxes, dtype=torch.float64).reshape(-1, 5)).numpy()
    rows = np.arange(len(quads))
    objects = LabelTable(quads, rows * 0, rows, rows % 2, (rows == 1) * 2, ("a", "b", "c"))
    names = [("p", "train"), ("q", "train"), ("r", "val")]
    entries = [Entry(Path(f"{name}.png"), None, (split,), True) for name, split in names]
    return Labelled(Path(), ("train", "val"), entries, objects)


BOXES = [  # cx, cy, long, short, angle
    [100, 100, 40, 10, math.radians(25)],  # size 20, aspect 4
    [100, 100, 19, 6, math.radians(175)],  # size 10.7, aspect 3.2
    [100, 100, 11, 10, math.radians(85)],  # nearly square: no direction
]


def test_figures_agree_with_counting_by_hand() -> None:
    classes, size, aspect, angle, per_image = figures(example(BOXES))
    assert dict(zip(classes.bins, classes.counts["train"], strict=True)) == {"a": 2, "b": 1, "c": 0}
    shown = [
        {name: n for name, n in zip(figure.bins, figure.counts["train"], strict=True) if n}
        for figure in (size, aspect, angle, per_image)
    ]
    assert shown == [{"16": 1, "8": 2}, {"1": 1, "3": 1, "4": 1}, {"20": 1, "170": 1}, {"0": 1, "2": 1}]
    assert sum(per_image.counts["val"]) == 1


def test_the_summary_of_a_split() -> None:
    sizes = np.array([[640, 512], [640, 512], [0, 0]], np.float64)
    assert summarise(example(BOXES), sizes) == {
        "train": {
            "images": 2,
            "images_without_objects": 1,
            "objects": 3,
            "difficult": [2, 0, 1],
            "nearly_horizontal": 0,
            "image_sizes": {"640 x 512": 2},
        },
        "val": {
            "images": 1,
            "images_without_objects": 1,
            "objects": 0,
            "difficult": [0, 0, 0],
            "nearly_horizontal": 0,
            "image_sizes": {},
        },
    }


def test_charts_stay_inside_their_drawing() -> None:
    for boxes in (BOXES, []):
        data = example(boxes)
        charts = [sideways(figures(data)[0], {"train": "red", "val": "blue"})]
        charts += [upright(figure, {"train": "red", "val": "blue"}) for figure in figures(data)[1:]]
        for chart in charts:
            assert all(b.x >= 0 and b.x + b.width <= chart.width + 0.1 for b in chart.bars)
            assert all(b.y >= 0 and b.y + b.height <= chart.height for b in chart.bars)
            assert not boxes or any(b.height > 0 for b in chart.bars)
