"""From logits written by hand to quads in source pixels."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from cfg.schema import EvalConfig
from evalR.inference.postprocess import candidates_of, postprocess
from tests.methods import GGHL
from utils.records import Detections, Frame, LevelPrediction

INPUT = (128, 192)  # height, width
IDENTITY = Frame(np.eye(2, 3, dtype=np.float32), INPUT, INPUT)
QUAD = [[60.0, 40.0], [84.0, 50.0], [66.0, 62.0], [50.0, 46.0]]  # top, right, bottom, left
CONFIG = EvalConfig(score_threshold=0.3)


def detect(
    levels: Sequence[LevelPrediction], frames: Sequence[Frame], config: EvalConfig
) -> list[Detections]:
    return postprocess(*candidates_of(GGHL, levels, config, torch.device("cpu")), frames, config)


def silent_levels(images: int = 1, classes: int = 3) -> list[LevelPrediction]:
    """Return levels of float64 logits that find nothing."""
    levels = []
    for stride in (8, 16, 32):
        shape = (images, INPUT[0] // stride, INPUT[1] // stride)
        edges, glides = (torch.zeros(*shape, 4, dtype=torch.float64) for _ in range(2))
        ratio, objectness = torch.zeros(shape, dtype=torch.float64), torch.full(shape, -20.0).double()
        levels.append(
            LevelPrediction(edges, glides, ratio, objectness, torch.zeros(*shape, classes).double(), stride)
        )
    return levels


def shout(
    level: LevelPrediction,
    cell: tuple[int, int, int],
    quad: list[list[float]],
    label: int = 0,
    logits: tuple[float, float] = (2.0, 1.0),
    ratio: float = 0.5,
) -> float:
    """Let a cell (image, row, column) predict a quad, top vertex first; return its score (spec 1.2, 3.2)."""
    (top_x, y_min), (x_max, right_y), (bottom_x, y_max), (x_min, left_y) = quad
    x, y, stride = (cell[2] + 0.5) * level.stride, (cell[1] + 0.5) * level.stride, level.stride
    edges = [math.log(d / stride) for d in (y - y_min, x_max - x, y_max - y, x - x_min)]
    width, height = x_max - x_min, y_max - y_min
    glides = [(top_x - x_min) / width, (right_y - y_min) / height]
    glides += [(x_max - bottom_x) / width, (y_max - left_y) / height]
    shares = [0.99 * glide + 0.01 for glide in glides]
    level.edge_logits[cell] = torch.tensor(edges, dtype=torch.float64)
    level.glide_logits[cell] = torch.logit(torch.tensor(shares, dtype=torch.float64))
    level.ratio_logit[cell] = 6 * ratio - 3
    level.objectness_logit[cell], level.class_logits[cell] = logits[0], -3.0
    level.class_logits[(*cell, label)] = logits[1]
    objectness, class_score = (1 / (1 + math.exp(-v)) for v in logits)
    return math.sqrt(objectness * class_score)


def polygon_iou(a: list[list[float]], b: list[list[float]]) -> float:
    first, second = shapely.Polygon(a), shapely.Polygon(b)
    return float(first.intersection(second).area / first.union(second).area)


def close(found: Tensor, expected: object) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_cell_gives_the_quad_that_was_encoded(index: int) -> None:
    levels = silent_levels()
    stride = levels[index].stride
    score = shout(levels[index], (0, 52 // stride, 66 // stride), QUAD, label=2)
    (found,) = detect(levels, [IDENTITY], CONFIG)
    close(found.quads, [QUAD])
    close(found.scores, [score])
    assert found.labels.tolist() == [2]


def test_quads_return_to_source_pixels() -> None:
    """The frame scales by 1/2 and shifts by (16, 8); one with a half turn mirrors the vertices as well."""
    levels = silent_levels(images=2)
    for image in range(2):
        shout(levels[0], (image, 6, 8), QUAD)
    scaled = np.array([[0.5, 0, 16], [0, 0.5, 8]], np.float32)
    turned = np.array([[-1, 0, 192], [0, -1, 128]], np.float32)
    frames = [Frame(matrix, (240, 352), INPUT) for matrix in (scaled, turned)]
    first, second = detect(levels, frames, CONFIG)
    close(first.quads, [[[(x - 16) * 2, (y - 8) * 2] for x, y in QUAD]])
    close(second.quads, [[[192 - x, 128 - y] for x, y in QUAD]])


def test_a_quad_partly_outside_is_not_clipped() -> None:
    levels = silent_levels()
    quad = [[-20.0, -30.0], [40.0, -10.0], [20.0, 25.0], [-35.0, 5.0]]
    shout(levels[0], (0, 0, 0), quad)
    (found,) = detect(levels, [IDENTITY], CONFIG)
    close(found.quads, [quad])


def test_a_high_area_ratio_means_the_horizontal_box() -> None:
    levels = silent_levels()
    shout(levels[0], (0, 6, 8), QUAD, ratio=0.91)
    (found,) = detect(levels, [IDENTITY], CONFIG)
    close(found.quads, [[[50, 40], [84, 40], [84, 62], [50, 62]]])


def test_suppressed_cells_move_the_quad_and_may_raise_its_score() -> None:
    levels = silent_levels(images=2)
    moved = [[x + 4, y] for x, y in QUAD]
    best = shout(levels[0], (1, 6, 8), QUAD)
    second = shout(levels[0], (1, 6, 7), moved, logits=(1.0, 0.5))
    far = shout(
        levels[1], (1, 2, 1), [[24.0, 30.0], [40.0, 40.0], [26.0, 50.0], [16.0, 40.0]], logits=(2.2, 1.0)
    )
    assert second < best < far

    def found(**settings: float) -> Detections:
        return detect(levels, [IDENTITY] * 2, CONFIG.model_copy(update=settings))[1]

    shift, iou = 4 * second**2 / (best**2 + second**2), polygon_iou(QUAD, moved)
    assert 0.5 < iou < 0.9
    voted = found()
    close(voted.scores, [far, best])
    close(voted.quads[1], [[x + shift, y] for x, y in QUAD])
    close(found(vote_iou=1.0).quads[1], QUAD)
    close(found(vote_iou=1.0, support=1.0).scores, [far, best])
    close(found(support=1.0).scores, [1 - (1 - best) ** (1 + iou * second), far])  # the order turns
    close(found(support=1.0).quads[0], voted.quads[1])


def test_glides_that_contradict_the_area_ratio_mean_the_horizontal_box() -> None:
    diamond = [[67.0, 40.0], [84.0, 51.0], [67.0, 62.0], [50.0, 51.0]]  # half of its box
    levels = silent_levels()
    shout(levels[0], (0, 6, 8), diamond, ratio=0.8)
    (found,), (published,) = (
        detect(levels, [IDENTITY], CONFIG.model_copy(update={"ratio_check": on})) for on in (True, False)
    )
    close(found.quads, [[[50, 40], [84, 40], [84, 62], [50, 62]]])
    close(published.quads, [diamond])


def shout_apart(levels: list[LevelPrediction], count: int) -> list[float]:
    """Let `count` cells of one image predict boxes that do not meet, with falling scores."""
    scores = []
    for i in range(count):
        x, y = 8.0 * (2 * i + 1), 20.0
        quad = [[x - 3, y - 3], [x + 5, y - 3], [x + 5, y + 3], [x - 3, y + 3]]
        scores.append(shout(levels[0], (0, 2, 2 * i + 1), quad, i % 3, (3.0 - i, 1.0)))
    return scores


def test_threshold_candidates_and_limit() -> None:
    levels = silent_levels()
    scores = shout_apart(levels, 6)

    def found(**settings: float) -> Detections:
        (detections,) = detect(levels, [IDENTITY], EvalConfig.model_validate(settings))
        return detections

    close(found(score_threshold=0.05).scores, scores)
    assert found(score_threshold=0.05).labels.tolist() == [0, 1, 2, 0, 1, 2]
    close(found(score_threshold=(scores[3] + scores[4]) / 2).scores, scores[:4])
    close(found(score_threshold=0.05, pre_nms=2).scores, scores[:2])
    close(found(score_threshold=0.05, max_detections=3).scores, scores[:3])


def test_the_same_quad_twice_is_one_detection_per_class() -> None:
    levels = silent_levels()
    best = shout(levels[0], (0, 6, 8), QUAD, 1, (3.0, 2.0))
    shout(levels[0], (0, 6, 7), QUAD, 1)
    other = shout(levels[1], (0, 3, 4), QUAD, 2)
    (found,) = detect(levels, [IDENTITY], CONFIG)
    assert found.labels.tolist() == [1, 2]
    close(found.scores, [best, other])


def test_before_suppression_the_best_candidates_stay() -> None:
    """`pre_nms` counts candidates, so doubles of the best quad use it up."""
    levels = silent_levels()
    shout(levels[0], (0, 6, 8), QUAD, 1, (3.0, 2.0))
    shout(levels[0], (0, 6, 7), QUAD, 1, (2.9, 2.0))
    shout(levels[0], (0, 1, 1), [[5, 5], [20, 10], [15, 20], [3, 8]], 1, (1.0, 2.0))
    assert [len(d.scores) for d in detect(levels, [IDENTITY], CONFIG)] == [2]
    few = EvalConfig(score_threshold=0.3, pre_nms=2)
    assert [len(d.scores) for d in detect(levels, [IDENTITY], few)] == [1]


def test_the_weight_of_the_class_score_and_several_classes_per_cell() -> None:
    levels = silent_levels()
    shout(levels[0], (0, 6, 8), QUAD, 2, (2.0, 1.0))
    levels[0].class_logits[0, 6, 8, 0] = 0.5
    objectness, first, second = (1 / (1 + math.exp(-v)) for v in (2.0, 1.0, 0.5))

    def found(**settings: float) -> Detections:
        (detections,) = detect(
            levels, [IDENTITY], EvalConfig.model_validate({"score_threshold": 0.3} | settings)
        )
        return detections

    alone, both = found(class_weight=0.2), found(class_weight=0.2, multi_label=True, score_threshold=0.7)
    close(alone.scores, [objectness**0.8 * first**0.2])
    assert alone.labels.tolist() == [2]
    close(both.scores, [objectness**0.8 * value**0.2 for value in (first, second)])
    assert both.labels.tolist() == [2, 0]
    close(both.quads, [QUAD] * 2)
    unranked = found(class_weight=0.0)
    close(unranked.scores, [objectness])
    assert unranked.labels.tolist() == [2]


def test_broken_cells_are_dropped() -> None:
    levels = silent_levels()
    shout(levels[0], (0, 6, 8), QUAD)
    shout(levels[0], (0, 6, 7), QUAD, 2)
    levels[0].edge_logits[0, 6, 7] = math.nan
    levels[0].objectness_logit[0, 3, 3] = math.nan
    (found,) = detect(levels, [IDENTITY], CONFIG)
    close(found.quads, [QUAD])


def test_nothing_found_and_no_images() -> None:
    first, second = detect(silent_levels(images=2), [IDENTITY] * 2, CONFIG)
    for found in (first, second):
        assert found.quads.shape == (0, 4, 2)
        assert found.scores.shape == found.labels.shape == (0,)
        assert found.labels.dtype == torch.int64
    assert detect(silent_levels(images=0), [], CONFIG) == []


def test_half_precision_gives_float32() -> None:
    levels = silent_levels()
    shout(levels[0], (0, 6, 8), QUAD)
    halves = [LevelPrediction(*(f.half() for f in level[:-1]), stride=level.stride) for level in levels]
    (found,) = detect(halves, [IDENTITY], CONFIG)
    assert found.quads.dtype == torch.float32
    np.testing.assert_allclose(found.quads.numpy(), [QUAD], atol=0.05)


def test_coordinates_are_exact_under_autocast() -> None:
    levels = silent_levels()
    shout(levels[0], (0, 6, 8), QUAD)
    frame = Frame(np.array([[0.5, 0, 16], [0, 0.5, 8]], np.float32), (240, 352), INPUT)
    singles = [LevelPrediction(*(f.float() for f in level[:-1]), stride=level.stride) for level in levels]
    expected = detect(singles, [frame], CONFIG)[0].quads
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(detect(singles, [frame], CONFIG)[0].quads, expected)
    np.testing.assert_allclose(expected, [[[(x - 16) * 2, (y - 8) * 2] for x, y in QUAD]], atol=1e-3)
