"""JOL cell by cell in plain Python, from spec 4.1 to 4.4."""

import math
from collections.abc import Sequence
from itertools import product

import torch

from utils.records import LevelPrediction, LevelTargets

TERMS = ("foreground", "background", "positive", "negative", "iou", "glide", "ratio", "distance")


def slow_losses(
    predictions: Sequence[LevelPrediction], targets: Sequence[LevelTargets], smoothing: float = 0.0
) -> dict[str, float]:
    """Return every term and the total, with the gains and the normaliser of the defaults."""
    sums = dict.fromkeys(TERMS, 0.0)
    for prediction, target in zip(predictions, targets, strict=True):
        for cell in product(*map(range, target.owner.shape)):
            for name, value in cell_terms(prediction, target, cell, smoothing).items():
                sums[name] += value
    positives = sum(float(m) for target in targets for m in target.objectness.flatten())
    terms = {name: value / max(positives, 1.0) for name, value in sums.items()}
    return terms | {"total": sum(terms.values())}


def cell_terms(
    p: LevelPrediction, t: LevelTargets, cell: tuple[int, int, int], smoothing: float
) -> dict[str, float]:
    mask, mix = t.objectness[cell].item(), t.mix_weight[cell].item()
    logit, wanted = p.objectness_logit[cell].item(), 0.99 * mask + 0.005
    focal = bce(logit, wanted) * (wanted - sigmoid(logit)) ** 2 * mix
    background = 0.0 if t.ignore[cell] else 2 * (1 - mask) * focal
    if t.owner[cell] < 0:
        return {"background": background}
    box, glide, ratio, distance = location_errors(p, t, cell)
    quality, heat = math.exp(-(box + glide + ratio)), t.heat[cell].item()
    positive, negative, score = class_terms(p, t, cell, quality, smoothing)
    weight = mask * mix * t.area_weight[cell].item()
    omega = weight * (score + heat) / 2
    return {
        "foreground": 2 * mask * focal * (heat + quality) / 2,
        "background": background,
        "positive": positive * weight,
        "negative": negative * weight,
        "iou": box * omega,
        "glide": glide * omega,
        "ratio": 16 * ratio * omega,
        "distance": 0.2 * distance * omega,
    }


def location_errors(
    p: LevelPrediction, t: LevelTargets, cell: tuple[int, int, int]
) -> tuple[float, float, float, float]:
    """Return A, B, C and the scaled smooth L1 of the distances (spec 4.2)."""
    stride, (_, rows, columns) = t.stride, t.owner.shape
    truth, true_ratio = t.hboxes[cell].tolist(), t.area_ratio[cell].item()
    dists = [math.exp(v) * stride for v in p.edge_logits[cell].tolist()]
    x, y = (cell[2] + 0.5) * stride, (cell[1] + 0.5) * stride
    found = [x - dists[3], y - dists[0], x + dists[1], y + dists[2]]
    share = (truth[2] - truth[0]) * (truth[3] - truth[1]) / (rows * columns * stride**2)
    scale = 2 - min(share, 1)
    ratio = min(max(p.ratio_logit[cell].item() + 3, 0), 6) / 6
    glides = [(max(sigmoid(v), 0.01) - 0.01) / 0.99 for v in p.glide_logits[cell].tolist()]
    if true_ratio > 0.9 and ratio > 0.9:
        glides = [0.0] * 4
    glide = sum((a - b) ** 2 for a, b in zip(glides, t.glides[cell].tolist(), strict=True))
    pairs = zip(dists, t.edge_dists[cell].tolist(), strict=True)
    smooth = sum(smooth_l1(a / stride, b / stride) for a, b in pairs)
    return scale * (1 - giou(found, truth)), glide, (ratio - true_ratio) ** 2, scale * smooth


def class_terms(
    p: LevelPrediction, t: LevelTargets, cell: tuple[int, int, int], quality: float, smoothing: float
) -> tuple[float, float, float]:
    logits, label = p.class_logits[cell].tolist(), int(t.labels[cell])
    share = (0.01 + smoothing) / len(logits)  # of every class
    score = sigmoid(logits[label])
    joint = score * quality
    logit = -math.log((1 - joint) / (joint + 1e-16) + 1e-16)
    negative = sum(bce(v, share) for c, v in enumerate(logits) if c != label)
    return bce(logit, 0.99 - smoothing + share), negative, score


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def bce(logit: float, wanted: float) -> float:
    probability = sigmoid(logit)
    return -wanted * math.log(probability) - (1 - wanted) * math.log(1 - probability)


def smooth_l1(a: float, b: float) -> float:
    gap = abs(a - b)
    return gap * gap / 2 if gap < 1 else gap - 0.5


def giou(a: list[float], b: list[float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return shared / union - (hull - union) / hull


def random_case(seed: int) -> tuple[list[LevelPrediction], list[LevelTargets]]:
    """Return two levels of random logits and targets: fuzzy, mixed and ignored cells, boxes off the map."""
    g = torch.Generator().manual_seed(seed)
    predictions, targets = [], []
    for stride, rows, columns in ((8, 4, 6), (16, 2, 3)):
        shape = (2, rows, columns)
        raw = torch.randn(*shape, 14, generator=g, dtype=torch.float64)
        raw[..., 8] *= 4  # both sides of the ratio switch
        raw[..., 4] *= 4  # glides at their floor of zero too
        edges, glides, ratio, objectness, classes = raw.split([4, 4, 1, 1, 4], dim=-1)
        predictions.append(
            LevelPrediction(edges, glides, ratio.squeeze(-1), objectness.squeeze(-1), classes, stride)
        )
        targets.append(random_targets(g, shape, stride))
    return predictions, targets


def random_targets(g: torch.Generator, shape: tuple[int, int, int], stride: int) -> LevelTargets:
    def draw(*more: int) -> torch.Tensor:
        return torch.rand(*shape, *more, generator=g, dtype=torch.float64)

    owned = draw() < 0.4
    fuzzy = torch.where(draw() < 0.5, 1.0, draw())
    dists = torch.exp(1.5 * draw(4)) * stride * torch.where(draw(1) < 0.2, 8.0, 1.0)  # some exceed the map
    _, rows, columns = shape
    x, y = (torch.arange(columns) + 0.5) * stride, ((torch.arange(rows) + 0.5) * stride).unsqueeze(-1)
    top, right, bottom, left = dists.unbind(-1)
    ratio = 0.6 + 0.4 * draw()
    return LevelTargets(
        objectness=torch.where(owned, fuzzy, 0.0),
        ignore=(draw() < 0.3) & ~owned,
        owner=torch.where(owned, 0, -1),
        heat=torch.where(owned, draw(), 0.0),
        labels=(draw() * 4).long(),
        edge_dists=dists,
        hboxes=torch.stack([x - left, y - top, x + right, y + bottom], dim=-1),
        glides=torch.where((ratio > 0.9).unsqueeze(-1), 0.0, draw(4)),
        area_ratio=ratio,
        mix_weight=torch.where(draw() < 0.5, 0.3, 1.0).double(),
        area_weight=torch.where(owned, 0.4 + 0.6 * draw(), 1.0),
        stride=stride,
    )
