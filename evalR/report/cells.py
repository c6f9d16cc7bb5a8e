"""A picture of what training sees: augmented images and the cells that learn each object."""

from collections.abc import Sequence

import cv2
import numpy as np

from utils.drawing import Image, class_colour, contact_sheet, draw_quads
from utils.records import Batch, LevelTargets

MAX_IMAGES = 4
GREY = (170, 170, 170)  # quads of ignore regions
HOT = 0.5  # of the peak of a Gaussian


def assigned_cells(batch: Batch, targets: Sequence[LevelTargets]) -> Image:
    """Return at most four images of a batch with their quads and a dot on each cell that owns one.

    A dot has the colour of its class; it is larger on coarser levels, and filled where the heat is above 0.5.
    """
    count = min(len(batch.frames), MAX_IMAGES)
    owners = [[int((level.owner[n] >= 0).sum()) for level in targets] for n in range(count)]
    titles = ["cells: " + " + ".join(map(str, own)) for own in owners]
    return contact_sheet([_draw(batch, targets, n) for n in range(count)], 2, titles)


def _draw(batch: Batch, targets: Sequence[LevelTargets], number: int) -> Image:
    picture = np.ascontiguousarray(batch.images[number].permute(1, 2, 0).cpu().numpy())
    own = batch.objects.image_index == number
    chosen = (batch.objects.quads, batch.objects.labels, batch.objects.ignore)
    quads, labels, ignore = (field[own].cpu().numpy() for field in chosen)
    greys = [GREY] * (int(labels.max(initial=0)) + 1)
    picture = draw_quads(picture, quads[ignore], labels[ignore], (), None, greys)
    picture = draw_quads(picture, quads[~ignore], labels[~ignore], ())
    for level in targets:
        rows, columns = (level.owner[number] >= 0).nonzero().cpu().unbind(-1)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            centre = (int((column + 0.5) * level.stride), int((row + 0.5) * level.stride))
            filled = -1 if float(level.heat[number, row, column]) > HOT else 1
            colour = class_colour(int(level.labels[number, row, column]))
            cv2.circle(picture, centre, max(2, level.stride // 5), colour, filled, cv2.LINE_AA)
    return picture
