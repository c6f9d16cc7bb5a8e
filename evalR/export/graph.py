"""Graph of an exported detector: raw pixels in, quads in pixels out, as one module of plain operators."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from cfg.schema import EvalConfig
from evalR.export.suppression import best_first, front_rows, greedy_kept
from modelR.detectors.gghl.decode import at_least_float32
from modelR.network import MAX_PIXEL, Network
from utils.images import Size

Ending = Literal["none", "topk", "full"]
OPSET = 18  # of ONNX
ENDINGS: tuple[Ending, ...] = ("none", "topk", "full")


class GraphPlan(NamedTuple):
    """What a graph ends with."""

    ending: Ending  # all candidates, those of the highest scores, or what suppression keeps
    config: EvalConfig  # of the run
    candidates: int  # of the highest scores that `full` suppresses

    @property
    def rows(self) -> int | None:
        """Rows of the outputs; None: one for each candidate of the detector."""
        match self.ending:
            case "none":
                return None
            case "topk":
                return self.config.pre_nms
            case _:
                return min(self.candidates, self.config.max_detections)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs, in their order."""
        if self.ending == "none" and self.config.multi_label:
            return ("quads", "scores")
        return ("quads", "scores", "labels", *(["count"] if self.ending == "full" else []))


class Shaping(NamedTuple):
    """What of the input may change."""

    size: Size  # px: height and width, of a dynamic file those that it is made with
    is_dynamic: bool  # whether height and width may change
    half: bool = False  # whether weights are stored in 16 bits


class QuadGraph(nn.Module):
    """Maps images (N, 3, H, W) float32, RGB from 0 to 255, to the outputs of a plan.

    `quads` (N, K, 8) float32 px of the input, x and y of four vertices, clockwise from the top one; `scores`
    (N, K) float32 of the best class; `labels` (N, K) int32 its number.  The network may compute in half
    precision; pixels, decoding and suppression are float32.

    With `eval.multi_label` the plain ending has `scores` (N, K, C) and no labels; of the other two each row
    is one class of a cell.  What suppression keeps comes first, highest score first, `count` (N,) int32 rows;
    the others are 0.
    """

    def __init__(self, network: Network, plan: GraphPlan) -> None:
        super().__init__()
        self.network = network
        self.plan = plan

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = (images / MAX_PIXEL).to(next(self.network.parameters()).dtype)
        quads, scores = self.network.method.candidates(self.network(pixels), self.plan.config)
        quads, scores = at_least_float32(quads), at_least_float32(scores)
        if self.plan.ending == "none":
            return self._plain(quads, scores)
        return self._chosen(quads, scores)

    def _plain(self, quads: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
        if self.plan.config.multi_label:
            return quads.flatten(2), scores
        best, labels = scores.max(dim=-1)
        return quads.flatten(2), best, labels.int()

    def _chosen(self, quads: Tensor, scores: Tensor) -> tuple[Tensor, ...]:
        plan = self.plan
        if plan.config.multi_label:
            classes = scores.shape[-1]
            labels = torch.arange(classes, device=scores.device).expand_as(scores).flatten(1)
            scores, quads = scores.flatten(1), quads.repeat_interleave(classes, dim=1)
        else:
            scores, labels = scores.max(dim=-1)
        count = plan.candidates if plan.ending == "full" else plan.config.pre_nms
        quads, scores, labels = best_first(quads, scores, labels, count)
        if plan.ending == "topk":
            return quads.flatten(2), scores, labels.int()
        usable = scores > plan.config.score_threshold
        kept = greedy_kept(quads, labels, usable, plan.config.nms_iou)
        assert plan.rows is not None
        places, there = front_rows(kept, plan.rows)
        rows = places.unsqueeze(-1).expand(-1, -1, 8)
        return (
            torch.where(there.unsqueeze(-1), quads.flatten(2).gather(1, rows), 0.0),
            torch.where(there, scores.gather(1, places), 0.0),
            torch.where(there, labels.gather(1, places), 0).int(),
            there.sum(dim=1).int(),
        )
