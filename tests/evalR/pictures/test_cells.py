"""The picture of assigned cells shows the quads and a dot for each owned cell."""

import numpy as np
import torch

from cfg.load import load_config
from cfg.schema import AssignConfig
from dataloadR.assign.shapes import Pyramid
from evalR.pictures.cells import assigned_cells, heat_maps
from modelR.build import build_method
from tests.methods import gaussian_targets
from utils.palette import class_colour
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
    targets = gaussian_targets(batch.objects, (len(batch.images), *batch.images.shape[2:]), AssignConfig())
    sheet = assigned_cells(batch, targets)
    assert (sheet == np.array(class_colour(1))).all(axis=-1).sum() > 40
    empty = batch_of([], [], 2)
    alone = assigned_cells(
        empty,
        gaussian_targets(empty.objects, (len(empty.images), *empty.images.shape[2:]), AssignConfig()),
    )
    assert not (alone == np.array(class_colour(1))).all(axis=-1).any()


def test_cells_that_reach_beyond_the_image_are_cut() -> None:
    """Levels of strides that do not divide the sides, as RetinaNet has them."""
    batch = batch_of([[2, 2, 94, 2, 94, 94, 2, 94]], [0], 1)
    method = build_method(load_config(None, ["model.detector=retinanet"]), 2)
    targets = method.targets(batch.objects, Pyramid.of(batch.images, method.strides), None)
    assert [level.owner.shape[1] for level in targets] == [12, 6, 3, 2, 1]
    assert heat_maps(batch, targets, 0).shape[1] >= 5 * 96
    assert (assigned_cells(batch, targets) == np.array(class_colour(1))).all(axis=-1).any()


def test_at_most_four_images_and_none() -> None:
    many, none = batch_of([], [], 6), batch_of([], [], 0)
    for batch in (many, none):
        targets = gaussian_targets(
            batch.objects, (len(batch.images), *batch.images.shape[2:]), AssignConfig()
        )
        assert assigned_cells(batch, targets).ndim == 3


def test_heat_is_tinted_on_the_cells_that_own_and_on_no_others() -> None:
    batch = batch_of([[20, 20, 70, 20, 70, 50, 20, 50]], [0], 1)
    batch.images.fill_(100)
    targets = gaussian_targets(batch.objects, (len(batch.images), *batch.images.shape[2:]), AssignConfig())
    sheet = heat_maps(batch, targets, 0).astype(int)
    assert sheet.shape[1] >= 3 * 96
    tinted = (np.ptp(sheet, axis=-1) > 60) & (np.abs(sheet - class_colour(1)).max(axis=-1) > 60)
    cells = sum(int((level.owner >= 0).sum()) * level.stride**2 for level in targets)
    assert cells > 0
    assert 0.5 * cells < tinted.sum() <= cells  # the quad covers some
    ignored = batch._replace(objects=batch.objects._replace(ignore=torch.ones(1, dtype=torch.bool)))
    grey = heat_maps(
        ignored,
        gaussian_targets(ignored.objects, (len(batch.images), *batch.images.shape[2:]), AssignConfig()),
        0,
    )
    assert not np.ptp(grey.astype(int), axis=-1).any()
    assert (grey == 135).all(axis=-1).sum() > 3 * 30 * 20  # half of 100 and of 170


def test_heat_without_objects_is_the_image() -> None:
    batch = batch_of([], [], 1)
    targets = gaussian_targets(batch.objects, (len(batch.images), *batch.images.shape[2:]), AssignConfig())
    assert (heat_maps(batch, targets, 0) == 0).all(axis=-1).sum() >= 3 * 96 * 96
