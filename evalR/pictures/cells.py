"""Assigned cells as pictures: network inputs, the cells that learn each object, and their heat."""

from collections.abc import Callable

import cv2
import numpy as np

from cfg.schema import Config
from dataloadR.assign.shapes import Pyramid
from dataloadR.loader import to_device
from evalR.inference.load import Trained
from evalR.inference.predictor import evaluating
from modelR.build import build_method
from modelR.method import Assigned, Targets
from modelR.network import Network
from utils.arrays import U8
from utils.drawing import contact_sheet, draw_quads
from utils.errors import UserError
from utils.palette import class_colour
from utils.records import Batch

Assign = Callable[[Batch], Targets]
MAX_IMAGES = 4
GREY = (170, 170, 170)  # quads of ignore regions
HOT = 0.5  # of the peak of a Gaussian


def targets_of(model: Network, batch: Batch) -> Targets:
    """Return what a network shall learn of a batch on its device, as pictures show it."""
    method = model.method
    predictions = None
    if method.is_dynamic:
        with evaluating(model):
            predictions = model(batch.images)
    return method.targets(batch.objects, Pyramid.of(batch.images, method.strides), predictions)


def assigner(config: Config, num_classes: int, trained: Trained | None) -> Assign:
    """Return what finds the targets of a batch, as a training with these settings would.

    Raises:
        UserError: they depend on predictions, and there is no network.
    """
    if trained:
        return lambda batch: targets_of(trained.model, to_device(batch, trained.device))
    method = build_method(config, num_classes)
    if method.is_dynamic:
        raise UserError(f"--cells, --heat: {method.name} assigns by its predictions, expected --weights")
    return lambda batch: method.targets(batch.objects, Pyramid.of(batch.images, method.strides), None)


def assigned_cells(batch: Batch, targets: Targets) -> U8:
    """Return at most four images of a batch with their quads and a dot on each cell that owns one.

    A dot has the colour of its class; it is larger on coarser levels, and filled where the heat is above 0.5.
    """
    count = min(len(batch.frames), MAX_IMAGES)
    owners = [[int((level.owner[n] >= 0).sum()) for level in targets] for n in range(count)]
    titles = ["cells: " + " + ".join(map(str, own)) for own in owners]
    return contact_sheet([draw_cells(batch, targets, n) for n in range(count)], 2, titles)


def _draw_objects(picture: U8, batch: Batch, number: int) -> U8:
    own = batch.objects.image_index == number
    chosen = (batch.objects.quads, batch.objects.labels, batch.objects.ignore)
    quads, labels, ignore = (field[own].cpu().numpy() for field in chosen)
    greys = [GREY] * (int(labels.max(initial=0)) + 1)
    picture = draw_quads(picture, quads[ignore], labels[ignore], (), None, greys)
    return draw_quads(picture, quads[~ignore], labels[~ignore], ())


def _pixels(batch: Batch, number: int) -> U8:
    return np.ascontiguousarray(batch.images[number].permute(1, 2, 0).cpu().numpy())


def draw_cells(batch: Batch, targets: Targets, number: int) -> U8:
    """Return one image of a batch with its quads, and a dot on each cell that owns one (`assigned_cells`)."""
    picture = _draw_objects(_pixels(batch, number), batch, number)
    for level in targets:
        rows, columns = (level.owner[number] >= 0).nonzero().cpu().unbind(-1)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            centre = (int((column + 0.5) * level.stride), int((row + 0.5) * level.stride))
            filled = -1 if float(level.heat[number, row, column]) > HOT else 1
            colour = class_colour(int(level.labels[number, row, column]))
            cv2.circle(picture, centre, max(2, level.stride // 5), colour, filled, cv2.LINE_AA)
    return picture


def heat_maps(batch: Batch, targets: Targets, number: int) -> U8:
    """Return one image of a batch once per level, under the heat of its cells; quads on top.

    Blue to red: heat from 0 to 1 of the cells that own an object; grey: cells of ignore regions.
    """
    titles = [
        f"stride {level.stride}: {int((level.owner[number] >= 0).sum())} cells, "
        f"{int(level.ignore[number].sum())} ignored"
        for level in targets
    ]
    pictures = [
        _draw_objects(_heated(_pixels(batch, number), level, number), batch, number) for level in targets
    ]
    return contact_sheet(pictures, max(1, len(pictures)), titles)


def _heated(picture: U8, level: Assigned, number: int) -> U8:
    """Return the picture, its cells tinted by their heat where they own an object, grey where ignored.

    The last cells of a level may reach beyond it.
    """
    height, width, _ = picture.shape
    heat, owned, ignored = (
        field.cpu().numpy().repeat(level.stride, 0).repeat(level.stride, 1)[:height, :width]
        for field in (level.heat[number], level.owner[number] >= 0, level.ignore[number])
    )
    tints = cv2.applyColorMap(np.round(heat * 255).astype(np.uint8), cv2.COLORMAP_JET)[..., ::-1]
    tints[ignored] = GREY
    tinted = np.where((owned | ignored)[..., None], picture // 2 + tints // 2, picture)
    return np.asarray(tinted, np.uint8)
