"""Assignment rules of the detectors whose heads predict as GGHL does: own, other static and dynamic ones."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cfg.assign import DYNAMIC
from cfg.schema import AssignConfig
from dataloadR.assign.atss import atss_targets
from dataloadR.assign.dtla import dtla_targets
from dataloadR.assign.engine import Rule, build_targets
from dataloadR.assign.ga import ga_targets
from dataloadR.assign.paa import paa_targets
from dataloadR.assign.pairs import Guesses
from dataloadR.assign.shapes import Pyramid
from dataloadR.assign.simota import simota_targets
from dataloadR.assign.soft import soft_targets
from dataloadR.assign.tal import tal_targets
from modelR.detectors.gghl.decode import decode_level
from modelR.detectors.gghl.loss import at, location_quality
from modelR.method import Predictions
from utils.quads.glides import glides_to_quads, mask_glides
from utils.records import LevelPrediction, LevelTargets, Objects
from utils.selection import rows_where

LARGEST = 1e5  # px and logits: what is farther is no number of use, and must not stop a training
WARMED_UP = ("tal", "soft")  # rules whose targets are the overlaps


class Counting(nn.Module):
    """A loss that counts the micro-batches it has seen: how long a rule assigns statically."""

    def __init__(self, loss: Callable[..., dict[str, Tensor]]) -> None:
        super().__init__()
        self.loss = loss
        self.seen = 0  # on the host, where it is asked for

    def forward(
        self, predictions: Predictions, targets: Sequence[LevelTargets], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the terms of the loss."""
        self.seen += 1
        return self.loss(predictions, targets, normalizer)

    def histograms(self) -> dict[str, Tensor]:
        """Return what the loss returns, where it has any."""
        ask: Callable[[], dict[str, Tensor]] = getattr(self.loss, "histograms", dict)
        return ask()

    def get_extra_state(self) -> Tensor:
        """Return the count as a checkpoint keeps it."""
        return torch.tensor(self.seen)

    def set_extra_state(self, state: Tensor) -> None:
        """Go on from a count."""
        self.seen = int(state)


class Assigner:
    """The targets of a detector by `assign.rule`.

    Args:
        config: its settings, level bounds of the detector among them.
        own: what the detector assigns by where no other rule is chosen, where a dynamic one begins and what
            one of them refines.
        orc: what the head predicts of GGHL's kind, of all levels.
        counting: its loss; `warmup` micro-batches are assigned by the own rule.
    """

    def __init__(
        self,
        config: AssignConfig,
        own: Rule,
        orc: Callable[[Predictions], Sequence[LevelPrediction]] = list,
        counting: Counting | None = None,
        warmup: int = 0,
    ) -> None:
        self.config, self.own, self.orc = config, own, orc
        self.counting, self.warmup = counting, warmup

    @property
    def is_dynamic(self) -> bool:
        """Whether it looks at predictions."""
        return self.config.rule in DYNAMIC

    def __call__(
        self, objects: Objects, pyramid: Pyramid, predictions: Predictions | None
    ) -> list[LevelTargets]:
        """Return the targets of every level."""
        match self.config.rule:
            case "atss":
                return atss_targets(objects, pyramid, self.config)
            case "ga":
                return ga_targets(objects, pyramid, self.config)
        if predictions is None or not self.is_dynamic or self._is_warming_up():
            return build_targets(objects, pyramid, self.own)
        with torch.no_grad():
            return self._dynamic(objects, pyramid, self.orc(predictions))

    def _is_warming_up(self) -> bool:
        return self.counting is not None and self.counting.seen < self.warmup

    def _dynamic(
        self, objects: Objects, pyramid: Pyramid, predictions: Sequence[LevelPrediction]
    ) -> list[LevelTargets]:
        if self.config.rule == "dtla":
            return refined_targets(build_targets(objects, pyramid, self.own), predictions)
        rules: dict[str, Any] = {
            "tal": tal_targets,
            "simota": simota_targets,
            "soft": soft_targets,
            "paa": paa_targets,
        }
        found: list[LevelTargets] = rules[self.config.rule](
            objects, pyramid, guesses_of(predictions), self.config
        )
        return found


def guesses_of(predictions: Sequence[LevelPrediction]) -> Guesses:
    """Return the quads and class logits of all cells, level after level, in float32 or better and finite."""
    quads, logits = [], []
    for prediction in predictions:
        decoded = decode_level(prediction)
        glides = mask_glides(decoded.glides, decoded.area_ratio)
        quads.append(glides_to_quads(decoded.hboxes, glides).flatten(0, 2))
        logits.append(prediction.class_logits.flatten(0, 2).to(decoded.glides.dtype))
    return Guesses(*(usable(torch.cat(parts).detach()) for parts in (quads, logits)))


def usable(values: Tensor) -> Tensor:
    """Return values without NaN and infinity: the loss will find them, an assignment has no answer."""
    return values.nan_to_num(0.0, LARGEST, -LARGEST).clamp(-LARGEST, LARGEST)


def refined_targets(
    targets: Sequence[LevelTargets], predictions: Sequence[LevelPrediction]
) -> list[LevelTargets]:
    """Return static targets whose heat says which cells predict their object best (DTLA)."""
    rows = rows_where([level.owner.flatten() >= 0 for level in targets])
    locations, scores = [], []
    for prediction, target, own in zip(predictions, targets, rows, strict=True):
        locations.append(usable(location_quality(prediction, target, own)).double())
        logits = at(prediction.class_logits, own).double()
        labels = at(target.labels, own).unsqueeze(-1)
        scores.append(usable(logits.gather(-1, labels)).squeeze(-1).sigmoid())
    return dtla_targets(targets, rows, locations, scores)


def build_assigner(
    config: AssignConfig,
    own: Rule,
    loss: Callable[..., dict[str, Tensor]],
    orc: Callable[[Predictions], Sequence[LevelPrediction]],
    micro_batches: int,
) -> tuple[Assigner, Callable[..., dict[str, Tensor]]]:
    """Return what assigns by `assign.rule`, and the loss, which counts where the rule needs a warm-up.

    Args:
        micro_batches: of a step.
    """
    if config.rule not in WARMED_UP or not config.warmup_steps:
        return Assigner(config, own, orc), loss
    counting = Counting(loss)
    return Assigner(config, own, orc, counting, config.warmup_steps * micro_batches), counting
