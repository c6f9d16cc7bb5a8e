"""Parity of an exported file with the detector in torch: what is found in the same images, compared."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cfg.schema import EvalConfig
from evalR.export.graph import GraphPlan
from evalR.export.running import Runner
from evalR.inference.exported import scores_by_class
from evalR.inference.postprocess import candidates_of, postprocess
from evalR.runtime.engines import Outputs
from modelR.network import MAX_PIXEL, Network
from utils.records import Detections, Frame

SAME_PIXELS = Frame(np.eye(2, 3, dtype=np.float32), (0, 0), (0, 0))  # of which the matrix alone is read
F32Images = NDArray[np.float32]  # (N, 3, H, W) RGB, 0 to 255


class Shown(NamedTuple):
    """A batch of images."""

    images: F32Images
    is_real: bool  # and not of random pixels


class ParityBounds(NamedTuple):
    """How much a file may differ."""

    quad: float  # px of a coordinate
    score: float
    missing: float  # share of the detections that one side alone may have


FULL_PRECISION, HALF_PRECISION = ParityBounds(0.05, 1e-4, 0.0), ParityBounds(0.5, 1e-2, 0.02)


class QuadDifference(NamedTuple):
    """What two lists of detections differ in."""

    pairs: int = 0  # that both have
    missing: int = 0  # that one has alone, though its score is clear of the threshold
    quad: float = 0.0  # largest difference of a coordinate, px
    score: float = 0.0  # largest difference of a score

    def joined(self, other: "QuadDifference") -> "QuadDifference":
        """Return what two differences are together."""
        return QuadDifference(
            self.pairs + other.pairs,
            self.missing + other.missing,
            max(self.quad, other.quad),
            max(self.score, other.score),
        )


class Parity(NamedTuple):
    """What was compared, and the largest differences."""

    engine: str
    images: int
    real: int  # of the images
    found: QuadDifference
    bounds: ParityBounds

    @property
    def is_met(self) -> bool:
        """Whether the file gives what torch gives."""
        found, bounds = self.found, self.bounds
        are_few = found.missing <= bounds.missing * (found.pairs + found.missing)
        return are_few and found.quad <= bounds.quad and found.score <= bounds.score

    def values(self) -> dict[str, Any]:
        """Return the figures for the metadata."""
        return {
            "engine": self.engine,
            "images": self.images,
            "real_images": self.real,
            "detections": self.found.pairs,
            "missing": self.found.missing,
            "max_quad_px": float(f"{self.found.quad:.3g}"),
            "max_score": float(f"{self.found.score:.3g}"),
            "bounds": {"quad_px": self.bounds.quad, "score": self.bounds.score},
            "voting": False,
        }

    def text(self) -> str:
        """Return the figures as lines."""
        return (
            f"{self.engine} and torch, {self.images} images ({self.real} real ones):\n"
            f"  kept by both     {self.found.pairs:>9}\n"
            f"  kept by one      {self.found.missing:>9}   at most {self.bounds.missing:.0%}\n"
            f"  largest quad     {self.found.quad:>9.2g}   px, at most {self.bounds.quad:g}\n"
            f"  largest score    {self.found.score:>9.2g}   at most {self.bounds.score:g}\n"
        )


def check_parity(
    network: Network,
    file: tuple[str, Runner],
    batches: Iterable[Shown],
    plan: GraphPlan,
    bounds: ParityBounds,
) -> Parity:
    """Return how what a file finds differs from what the detector finds.

    Args:
        network: in float32, on the CPU.
        file: its engine by name, and what runs it.
        batches: what both are shown.
        plan: of the graph, with the settings under which both are compared (`compared_config`).
        bounds: how much they may differ.
    """
    engine, run = file
    images = real = 0
    total, config = QuadDifference(), plan.config
    for shown in batches:
        expected_ones, classes = torch_detections(network, shown.images, config)
        both = zip(expected_ones, file_detections(run(shown.images), classes, config), strict=True)
        for expected, found in both:
            total = total.joined(difference(expected, found, config.score_threshold, bounds))
        images, real = images + len(shown.images), real + len(shown.images) * shown.is_real
    return Parity(engine, images, real, total, bounds)


def compared_config(plan: GraphPlan, threshold: float) -> EvalConfig:
    """Return the settings under which detections are compared: without votes, which hide differences."""
    config = plan.config
    own: dict[str, Any] = {"vote_iou": 1.0, "support": 0.0, "score_threshold": threshold}
    if plan.ending == "full":
        own["pre_nms"] = min(plan.candidates, config.pre_nms)
    return config.model_copy(update=own)


def torch_detections(network: Network, images: F32Images, config: EvalConfig) -> tuple[list[Detections], int]:
    """Return what the detector finds in torch, in px of the input, and how many classes it knows."""
    with torch.inference_mode():
        predictions = network(torch.from_numpy(images) / MAX_PIXEL)
        quads, scores = candidates_of(network.method, predictions, config, torch.device("cpu"))
        return _suppressed(quads, scores, config), scores.shape[-1]


def file_detections(outputs: Outputs, classes: int, config: EvalConfig) -> list[Detections]:
    """Return what the outputs of a file mean, suppressed where the graph has not done it."""
    quads = torch.unflatten(torch.from_numpy(outputs["quads"]), -1, (4, 2))
    scores = torch.from_numpy(outputs["scores"])
    if "count" in outputs:
        labels = torch.from_numpy(outputs["labels"]).long()
        return [
            _above(Detections(q[:n], s[:n], k[:n]), config.score_threshold)
            for q, s, k, n in zip(quads, scores, labels, outputs["count"].tolist(), strict=True)
        ]
    if "labels" in outputs:
        scores = scores_by_class(scores, torch.from_numpy(outputs["labels"]), classes)
    return _suppressed(quads, scores, config)


def _above(found: Detections, threshold: float) -> Detections:
    keep = found.scores > threshold
    return Detections(*(field[keep] for field in found))


def _suppressed(quads: Tensor, scores: Tensor, config: EvalConfig) -> list[Detections]:
    return postprocess(quads, scores, [SAME_PIXELS] * len(quads), config)


def difference(
    expected: Detections, found: Detections, threshold: float, bounds: ParityBounds
) -> QuadDifference:
    """Return what detections of one image differ in, each matched with the nearest of its class.

    One whose score is so near the threshold that the bound takes it across counts for neither.
    """
    partner = _nearest(expected, found, 20 * bounds.quad)
    paired = partner >= 0
    own, other = Detections(*(f[paired] for f in expected)), Detections(*(f[partner[paired]] for f in found))
    is_left = torch.ones(len(found.scores), dtype=torch.bool)
    is_left[partner[paired]] = False
    clear = threshold + bounds.score
    missing = (expected.scores[~paired] > clear).sum() + (found.scores[is_left] > clear).sum()
    return QuadDifference(
        int(paired.sum()),
        int(missing),
        _largest((own.quads - other.quads).abs()),
        _largest((own.scores - other.scores).abs()),
    )


def _largest(values: Tensor) -> float:
    return float(values.max()) if values.numel() else 0.0


def _nearest(expected: Detections, found: Detections, limit: float) -> Tensor:
    """Return the row of `found` that is the partner of each of `expected`, each at most once; -1 without."""
    partner = torch.full((len(expected.scores),), -1)
    if not len(expected.scores) or not len(found.scores):
        return partner
    gaps = (expected.quads.unsqueeze(1) - found.quads).abs().flatten(2).amax(dim=2)
    gaps[expected.labels.unsqueeze(1) != found.labels] = torch.inf
    for row in range(len(partner)):
        gap, best = gaps[row].min(dim=0)
        if gap <= limit:
            partner[row] = best
            gaps[:, best] = torch.inf
    return partner
