"""The picture of assigned cells shows the quads and a dot for each owned cell."""

import numpy as np
import torch

from cfg.schema import AssignConfig
from dataloadR.targets import Grid, build_targets
from evalR.report.cells import assigned_cells
from utils.drawing import class_colour
from utils.records import Batch, Frame, Objects


def batch_of(quads: list[list[float]], images: list[int], count: int) -> Batch:
    corners = torch.tensor(quads, dtype=torch.float32).reshape(-1, 4, 2)
    rows = len(corners)
    objects = Objects(
        corners,
        torch.ones(rows, dtype=torch.int64),
        torch.ones(rows),
        torch.zeros(rows, dtype=torch.bool),
        torch.tensor(images, dtype=torch.int64),
    )
    frame = Frame(np.eye(2, 3, dtype=np.float32), (96, 96), (96, 96))
    return Batch(
        torch.zeros(count, 3, 96, 96, dtype=torch.uint8), objects, [frame] * count, torch.arange(count)
    )


def test_dots_lie_on_the_cells_that_own_the_object() -> None:
    batch = batch_of([[20, 20, 70, 20, 70, 50, 20, 50]], [1], 2)
    targets = build_targets(batch.objects, Grid.of(batch.images), AssignConfig())
    sheet = assigned_cells(batch, targets)
    assert (sheet == np.array(class_colour(1))).all(axis=-1).sum() > 40
    empty = batch_of([], [], 2)
    alone = assigned_cells(empty, build_targets(empty.objects, Grid.of(empty.images), AssignConfig()))
    assert not (alone == np.array(class_colour(1))).all(axis=-1).any()


def test_at_most_four_images_and_none() -> None:
    many, none = batch_of([], [], 6), batch_of([], [], 0)
    for batch in (many, none):
        targets = build_targets(batch.objects, Grid.of(batch.images), AssignConfig())
        assert assigned_cells(batch, targets).ndim == 3
