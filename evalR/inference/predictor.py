"""Predictor: a network that looks at inputs in every view, and suppression at several thresholds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cfg.schema import Config, EvalConfig
from evalR.inference.postprocess import candidates_of, highest_score, postprocess
from evalR.inference.stopwatch import Stopwatch
from evalR.inference.views import View, views_of
from modelR.method import Predictions
from modelR.network import Network
from utils.precision import mixed_precision
from utils.quads.fusion import fuse_quads
from utils.quads.nms import quad_nms
from utils.records import Detections, Frame


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode without gradients, and each of its parts back into its own mode."""
    modes = [(module, module.training) for module in model.modules()]  # frozen norms have another
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


class Look(NamedTuple):
    """Predictions of a network for a batch in one view."""

    predictions: Predictions
    frames: Sequence[Frame]


class Peak:
    """The highest score so far of what was not shown."""

    def __init__(self) -> None:
        self.score = 0.0

    def note(self, score: float) -> None:
        """Take a score into account."""
        self.score = max(self.score, score)


@dataclass(frozen=True)
class Predictor:
    """A model and how it is used; gradients and modes are up to the caller (`evaluating`)."""

    model: Network
    config: Config
    device: torch.device
    nms_ious: tuple[float, ...] = ()  # of more suppressions of the same predictions, besides eval.nms_iou
    watch: Stopwatch | None = None
    peak: Peak | None = None  # of batches in which nothing is found

    @property
    def settings(self) -> list[EvalConfig]:
        """The settings of each suppression, those of the configuration first."""
        config = self.config.eval
        return [config, *(config.model_copy(update={"nms_iou": iou}) for iou in self.nms_ious)]

    @property
    def scales(self) -> list[tuple[float, list[View]]]:
        """Each scale with its views."""
        views = views_of(self.config.eval)
        scales = dict.fromkeys(view.scale for view in views)
        return [(scale, [view for view in views if view.scale == scale]) for scale in scales]

    def look(self, images: Tensor, frames: Sequence[Frame], views: Sequence[View]) -> list[Look]:
        """Return what the network says about a batch (B, 3, H, W) uint8 of one scale, view by view."""
        self.lap("data")
        images = images.to(self.device, non_blocking=True)
        with mixed_precision(self.device, self.config.train.amp):
            looks = [Look(self.model(v.turned(images)), [v.frame(f) for f in frames]) for v in views]
        self.lap("network")
        return looks

    def detect(self, looks: Sequence[Look]) -> list[list[Detections]]:
        """Return the detections of each image of a batch, from all its views, one for each of `settings`."""
        by_setting = []
        method, config = self.model.method, self.config.eval
        found = [candidates_of(method, look.predictions, config, self.device) for look in looks]
        for setting in self.settings:
            views = [postprocess(*own, look.frames, setting) for own, look in zip(found, looks, strict=True)]
            merged = [merge(own, setting, len(views)) for own in zip(*views, strict=True)]
            by_setting.append(merged if len(views) > 1 else views[0])
            self.lap("sweep" if len(by_setting) > 1 else "postprocessing")
        if self.peak and looks and not any(len(found.scores) for found in by_setting[0]):
            self.peak.note(max(highest_score(scores) for _, scores in found))
        return [list(own) for own in zip(*by_setting, strict=True)]

    def lap(self, part: str) -> None:
        """Count the time since the last lap, where somebody wants to know."""
        if self.watch:
            self.watch.lap(part)

    def turn(self, images: int) -> None:
        """Say that so many images are done."""
        if self.watch:
            self.watch.turn(images)


def merge(parts: Sequence[Detections], config: EvalConfig, views: int | None = None) -> Detections:
    """Merge the detections of several views or tiles of one image, class by class.

    Args:
        views: of the whole image, for `eval.merge=fuse` (`utils.quads.fusion.fuse_quads`); None: tiles.
    """
    everything = Detections(*(torch.cat(fields) for fields in zip(*parts, strict=True)))
    if config.merge == "nms":
        kept = quad_nms(*everything, config.merge_iou, config.max_detections)
        return Detections(*(field[kept] for field in everything))
    quads, scores, leaders = fuse_quads(*everything, config.merge_iou, views)
    best = scores.argsort(descending=True, stable=True)[: config.max_detections]
    return Detections(quads[best], scores[best], everything.labels[leaders[best]])
