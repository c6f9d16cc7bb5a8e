"""Whole images, tiles and mixed splits, with a network that finds bright squares."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfg.load import load_config
from evalR.inference.predictor import Predictor, merge
from evalR.inference.splits import predict_image, predict_settings, predict_split, predict_tiles
from tests.methods import GGHL
from utils.records import Annotation, Detections, LevelPrediction

CPU = torch.device("cpu")
CONFIG = load_config(None, ["data.image_size=64", "data.workers=0", "train.amp=false"])
HALF = 8.0  # px: every square is 16 px wide


class SquareFinder(nn.Module):
    """Finds a square of 16 px where the pixel at a cell's centre is white."""

    method = GGHL

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


TTA = ["data.image_size=[64, 96]", "data.workers=0", "train.amp=false", "eval.batch_size=2"]


def save(folder: Path, images: Sequence[np.ndarray]) -> list[Annotation]:
    none = np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int8)
    paths = [str(folder / f"{number}.png") for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(path, image)
    return [Annotation(path, *none) for path in paths]


# of 64 x 96 and 40 x 70 px, which is padded; cells are found again at these places after any flip or turn
PICTURES = [picture(64, 96, [(12, 20), (60, 44)]), picture(64, 96, [(84, 12)]), picture(64, 96, [])]


@pytest.mark.parametrize(
    "words",
    [["eval.flips=both"], ["eval.turns=[0,1,2,3]"], ["eval.flips=both", "eval.turns=[0,1,2,3]"]],
    ids=str,
)
@pytest.mark.parametrize("method", ["nms", "fuse"])
def test_every_view_finds_the_same_places(words: list[str], method: str, tmp_path: Path) -> None:
    config = load_config(None, [*TTA, *words, f"eval.merge={method}"])
    expected = [[(12.0, 20.0), (60.0, 44.0)], [(84.0, 12.0)], []]
    found = predict_split(SquareFinder(), save(tmp_path, PICTURES), config, CPU)
    assert [found_centers(d) for d in found] == expected
    assert [found_centers(predict_image(SquareFinder(), p, config, CPU)) for p in PICTURES] == expected
    assert found[2].quads.shape == (0, 4, 2)


class LeftHalf(SquareFinder):
    """Sees the left half of its input alone, and remembers the sizes of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> list[LevelPrediction]:
        self.sizes.append(tuple(images.shape))
        images = images.clone()
        images[..., images.shape[-1] // 2 :] = 0
        return super().forward(images)


def test_views_add_what_one_alone_misses(tmp_path: Path) -> None:
    annotations = save(tmp_path, PICTURES)
    plain = predict_split(LeftHalf(), annotations, load_config(None, TTA), CPU)
    assert [found_centers(d) for d in plain] == [[(12.0, 20.0)], [], []]
    flipped = load_config(None, [*TTA, "eval.flips=horizontal"])
    assert [found_centers(d) for d in predict_split(LeftHalf(), annotations, flipped, CPU)] == [
        [(12.0, 20.0), (60.0, 44.0)],
        [(84.0, 12.0)],
        [],
    ]
    fused = load_config(None, [*TTA, "eval.flips=horizontal", "eval.merge=fuse"])
    found = predict_split(LeftHalf(), annotations, fused, CPU)
    assert found[0].scores == pytest.approx(plain[0].scores.repeat(2) / 2)  # seen in one view of two


def test_scales_change_the_input_and_come_back(tmp_path: Path) -> None:
    large = np.kron(picture(64, 96, [(12, 20), (60, 44)]), np.ones((2, 2, 1), np.uint8))  # 128 x 192 px
    annotations = save(tmp_path, [large, large, large])
    config = load_config(None, [*TTA, "eval.scales=[1, 2]", "eval.merge_iou=0.2", "eval.turns=[0, 3]"])
    model = LeftHalf()
    found = predict_split(model, annotations, config, CPU)
    shapes = [(64, 96), (96, 64), (128, 192), (192, 128)]
    assert model.sizes == [(count, 3, *shape) for count in (2, 1) for shape in shapes]
    for detections in found:  # cells of 8 px of the larger input find squares of 16 of its pixels
        assert len(detections.scores) > 0
        centers = detections.quads.mean(dim=1)
        truth = torch.tensor([[24.0, 40.0], [120.0, 88.0]])
        assert torch.cdist(centers, truth).amin(dim=1).max() <= 8
        assert torch.cdist(centers, truth).amin(dim=0).max() <= 8


def test_tiles_are_seen_in_every_view() -> None:
    centers = [(12, 12), (60, 60), (100, 20), (188, 140), (52, 132)]
    image = picture(152, 200, centers)
    plain = predict_tiles(SquareFinder(), image, CONFIG, CPU)
    for method in ("nms", "fuse"):
        words = ["data.image_size=64", "train.amp=false", "eval.turns=[0, 2]", f"eval.merge={method}"]
        found = predict_tiles(SquareFinder(), image, load_config(None, words), CPU)
        assert found_centers(found) == found_centers(plain)
        assert (found.scores[:-1] >= found.scores[1:]).all()


def test_one_pass_serves_several_thresholds(tmp_path: Path) -> None:
    """Squares 8 px apart overlap by a third."""
    annotations = save(
        tmp_path, [picture(64, 96, [(12, 20), (20, 20), (60, 44)]), picture(200, 300, [(12, 20)])]
    )
    model = LeftHalf()
    config = load_config(None, [*TTA, "eval.nms_iou=0.5", "eval.flips=horizontal", "eval.merge_iou=0.9"])
    found = predict_settings(Predictor(model, config, CPU, (0.2, 0.5)), annotations)
    seen = len(model.sizes)
    for iou, detections in zip((0.5, 0.2, 0.5), found, strict=True):
        alone = load_config(
            None, [*TTA, f"eval.nms_iou={iou}", "eval.flips=horizontal", "eval.merge_iou=0.9"]
        )
        model.sizes.clear()
        for a, b in zip(predict_split(model, annotations, alone, CPU), detections, strict=True):
            assert all(torch.equal(*fields) for fields in zip(a, b, strict=True))
        assert len(model.sizes) == seen
    assert [len(d[0].scores) for d in found] == [3, 2, 3]
    assert predict_settings(Predictor(model, config, CPU, (0.2,)), []) == [[], []]
