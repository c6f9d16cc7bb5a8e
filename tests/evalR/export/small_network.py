"""One convolution that is read as a detector: exported in seconds."""

from typing import Any

import torch
from torch import Tensor, nn

from cfg.schema import EvalConfig
from modelR.detectors.gghl.decode import at_least_float32, edge_dists_to_hboxes
from utils.quads.glides import glides_to_quads

STRIDE = 16
CLASSES = 3


class SmallNetwork(nn.Module):
    """Boxes of up to 64 px around each cell of 16 px, their glides and the scores of three classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.outputs = nn.Conv2d(3, 8 + CLASSES, STRIDE, STRIDE)
        nn.init.normal_(self.outputs.weight, std=0.2)
        self.method: Any = self

    def __setattr__(self, name: str, value: object) -> None:
        if name == "method":  # itself: no module of its own, which would have no end
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.outputs(images)
        return outputs

    def candidates(self, maps: Tensor, config: EvalConfig) -> tuple[Tensor, Tensor]:
        maps = at_least_float32(maps).permute(0, 2, 3, 1)
        sides, glides, classes = torch.split(maps, [4, 4, CLASSES], dim=-1)
        boxes = edge_dists_to_hboxes(4 + 28 * sides.sigmoid(), STRIDE)
        scores = classes.sigmoid()
        if not config.multi_label:
            best = scores.argmax(dim=-1, keepdim=True)
            scores = torch.zeros_like(scores).scatter(-1, best, scores.gather(-1, best))
        return glides_to_quads(boxes, glides.sigmoid()).flatten(1, 2), scores.flatten(1, 2)
