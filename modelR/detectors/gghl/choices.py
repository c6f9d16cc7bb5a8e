"""Loss terms in the place of JOL's, as `loss.classification` and `loss.regression` ask (spec 4.12, 4.13)."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from cfg.schema import LossConfig
from modelR.losses.ghm import classification_norms, regression_norms
from modelR.losses.harmony import GapError, Harmonies, Norms
from modelR.losses.quality import LogitError, balanced_l1, logit_error
from utils.quads.glides import glides_to_quads

OF_LOGITS = ("objectness", "classes")  # histograms of GHM-C
OF_GAPS = ("glide", "ratio", "distance")  # of GHM-R


class Gaps(NamedTuple):
    """What positive cells predict less what they should."""

    glides: Tensor  # (P, 4)
    ratio: Tensor  # (P,)
    distances: Tensor  # (P, 4) in strides


class Logits(NamedTuple):
    """What the classification of a level is asked."""

    objectness: Tensor  # (B, H, W)
    mask: Tensor  # (B, H, W) objectness targets
    ignore: Tensor  # (B, H, W) bool
    classes: Tensor  # (P, C) of positive cells
    labels: Tensor  # (P,)

    @property
    def hot(self) -> Tensor:
        """1 where the class is the true one, else 0, (P, C)."""
        return torch.zeros_like(self.classes).scatter(-1, self.labels.unsqueeze(-1), 1.0)


class Harmony(Harmonies):
    """Histograms of GGHL's outputs."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__(config, OF_LOGITS, dict(zip(OF_GAPS, config.ghm_mu, strict=True)))

    @torch.no_grad()
    def look(self, levels: Iterable[tuple[Logits, Gaps]], objects: Tensor) -> None:
        """Move the histograms by all levels of a batch; `objects` (): positive cells of this process."""
        self.take([self._norms(*level) for level in levels], objects)

    def _norms(self, logits: Logits, gaps: Gaps) -> Norms:
        """Return the gradient norms of a level by histogram, and which of them count; None: all."""
        norms: dict[str, tuple[Tensor, Tensor | None]] = {}
        if "objectness" in self.densities:
            norms["objectness"] = classification_norms(logits.objectness, logits.mask), ~logits.ignore
            norms["classes"] = classification_norms(logits.classes, logits.hot), None
        if "glide" in self.densities:
            norms |= {
                n: (regression_norms(own, self.mu[n]), None) for n, own in zip(OF_GAPS, gaps, strict=True)
            }
        return norms


def logit_errors(config: LossConfig, harmony: Harmony) -> tuple[LogitError, LogitError]:
    """Return the errors of objectness and of classes."""
    match config.classification:
        case "jol":
            raise ValueError("JOL judges objectness and classes together")
        case "ghm":
            return harmony.logit_error("objectness"), harmony.logit_error("classes")
        case name:
            return logit_error(name), logit_error(name)


def gap_errors(config: LossConfig, harmony: Harmony) -> tuple[GapError, GapError, GapError]:
    """Return the errors of glides, area ratio and distances."""
    if config.regression == "ghm":
        return harmony.gap_error("glide"), harmony.gap_error("ratio"), harmony.gap_error("distance")
    return balanced_l1, balanced_l1, balanced_l1


def quads_of(hboxes: Tensor, glides: Tensor, is_horizontal: Tensor) -> Tensor:
    """Return the quads (P, 4, 2) of boxes and glides (P, 4), the boxes themselves where the truth is one.

    Whether the prediction calls itself horizontal does not matter, so that its glides always learn.
    Float64: rounding must not turn a side of no length around.
    """
    glides = torch.where(is_horizontal.unsqueeze(-1), 0.0, glides)
    return glides_to_quads(hboxes.double(), glides.double())


def objectness_sums(
    logits: Logits, mix: Tensor, rows: Tensor, error: LogitError, quality: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the sums of cells with an object and without, () each; fuzzy cells belong to both.

    Args:
        logits: of a level.
        mix: (B, H, W) weights.
        rows: positive cells.
        error: of each logit.
        quality: (P,) what the target of a positive cell is multiplied by; None: 1.
    """
    mask = wanted = logits.mask
    if quality is not None:
        flat = mask.flatten()
        wanted = flat.index_put((rows,), flat[rows] * quality).view_as(mask)
    errors = error(logits.objectness, wanted) * mix
    return (errors * mask).sum(), (errors * (1 - mask) * ~logits.ignore).sum()


def class_errors(
    logits: Logits, error: LogitError, quality: Tensor | None, smoothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the errors of the true class and of the others, and the score of the true class, (P,) each."""
    labels, classes = logits.labels.unsqueeze(-1), logits.classes.shape[-1]
    wanted = logits.hot
    if smoothing:
        wanted = (1 - smoothing) * wanted + smoothing / classes
    if quality is not None:
        wanted = wanted * quality.unsqueeze(-1)
    errors = error(logits.classes, wanted)
    positive = errors.gather(-1, labels).squeeze(-1)
    score = logits.classes.gather(-1, labels).squeeze(-1).sigmoid()
    return positive, errors.sum(dim=-1) - positive, score
