"""Whole images, tiles and mixed splits, with a network that finds bright squares."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfg.load import load_config
from evalR.predict import merge, predict_image, predict_split, predict_tiles
from utils.records import Annotation, Detections, LevelPrediction

CPU = torch.device("cpu")
CONFIG = load_config(None, ["data.image_size=64", "data.workers=0", "train.amp=false"])
HALF = 8.0  # px: every square is 16 px wide


class SquareFinder(nn.Module):
    """Finds a square of 16 px where the pixel at a cell's centre is white."""

    def forward(self, images: Tensor) -> list[LevelPrediction]:
        shine = images[:, 0, 4::8, 4::8] > 250
        logit = torch.where(shine, 9.0, -20.0)
        edges = torch.zeros(*shine.shape, 4)  # exp(0) * 8 px to every side
        return [
            LevelPrediction(edges, edges, torch.full_like(logit, 9.0), logit, logit.unsqueeze(-1), stride=8)
        ]


def picture(height: int, width: int, centers: Sequence[tuple[int, int]]) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    for x, y in centers:
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def found_centers(detections: Detections) -> list[tuple[float, float]]:
    boxes = detections.quads.amax(dim=1) - detections.quads.amin(dim=1)
    assert torch.allclose(boxes, torch.full_like(boxes, 2 * HALF), atol=1e-3)
    return sorted((round(x, 2), round(y, 2)) for x, y in detections.quads.mean(dim=1).tolist())


def test_a_whole_image_gives_its_own_pixels() -> None:
    found = predict_image(SquareFinder(), picture(64, 40, [(12, 20)]), CONFIG, CPU)
    assert found_centers(found) == [(12.0, 20.0)]


def test_tiles_give_the_pixels_of_the_scene_once() -> None:
    centers = [(12, 12), (60, 60), (100, 20), (188, 140), (52, 132)]  # some lie in two or four tiles
    found = predict_tiles(SquareFinder(), picture(152, 200, centers), CONFIG, CPU)
    truth = torch.tensor(centers, dtype=torch.float32)
    assert len(found.scores) > 0
    for x, y in found_centers(found):
        assert (truth - torch.tensor([x, y])).abs().amax(dim=1).min() <= 8  # the grid of a tile is 8 px wide
    assert len(found.scores) <= len(centers)


@pytest.mark.parametrize("size", [(152, 200), (64, 130), (65, 65), (256, 64)])
def test_every_pixel_lies_in_a_tile(size: tuple[int, int]) -> None:
    seen = np.zeros(size, int)

    class Recorder(SquareFinder):
        def forward(self, images: Tensor) -> list[LevelPrediction]:
            for codes in images.long():
                inside = codes[2] == 7  # the padding is grey
                seen[codes[0][inside], codes[1][inside]] += 1
            return super().forward(torch.zeros_like(images))

    rows, columns = np.indices(size)
    image = np.stack([rows, columns, np.full(size, 7)], axis=-1).astype(np.uint8)
    predict_tiles(Recorder(), image, CONFIG, CPU)
    assert seen.min() >= 1


def test_merging_keeps_the_best_of_doubles() -> None:
    quad = torch.tensor([[0.0, 0], [10, 0], [10, 10], [0, 10]])
    views = [
        Detections(torch.stack([quad, quad + 40]), torch.tensor([0.8, 0.5]), torch.tensor([0, 0])),
        Detections(torch.stack([quad + 1, quad + 1]), torch.tensor([0.9, 0.7]), torch.tensor([0, 1])),
    ]
    merged = merge(views, CONFIG.eval)
    assert merged.scores.tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert merged.labels.tolist() == [0, 1, 0]


def test_a_split_of_small_and_large_images_keeps_its_order(tmp_path: Path) -> None:
    images = [picture(64, 64, [(12, 12)]), picture(200, 200, []), picture(64, 64, [(36, 20)])]
    annotations = []
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), image)
        none = np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int8)
        annotations.append(Annotation(str(path), *none))
    found = predict_split(SquareFinder(), annotations, CONFIG, CPU)
    assert [found_centers(d) for d in found] == [[(12.0, 12.0)], [], [(36.0, 20.0)]]
    assert predict_split(SquareFinder(), [], CONFIG, CPU) == []
