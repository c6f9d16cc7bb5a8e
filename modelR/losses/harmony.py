"""Gradient harmonising of several outputs of a network, each with a histogram of its own (spec 4.13)."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from cfg.schema import LossConfig
from modelR.losses.ghm import (
    GradientDensity,
    classification_norms,
    regression_norms,
    smooth_gap,
    take_shared,
)
from modelR.losses.quality import LogitError, cross_entropy

GapError = Callable[[Tensor], Tensor]  # differences -> errors of their shape
Norms = Mapping[str, tuple[Tensor, Tensor | None]]  # by histogram: gradient norms, which count; None: all


class Harmonies(nn.Module):
    """Histograms of GHM-C and GHM-R, those that the settings ask for, by name.

    Args:
        config: settings of the loss.
        logits: names of the histograms of GHM-C.
        gaps: names of those of GHM-R, and at which error a square becomes a line.
    """

    def __init__(self, config: LossConfig, logits: Sequence[str], gaps: Mapping[str, float]) -> None:
        super().__init__()
        self.densities = nn.ModuleDict()
        for name in logits if config.classification == "ghm" else ():
            self.densities[name] = GradientDensity(config.ghm_class_bins, config.ghm_class_momentum)
        for name in gaps if config.regression == "ghm" else ():
            self.densities[name] = GradientDensity(config.ghm_box_bins, config.ghm_box_momentum)
        self.mu = dict(gaps)
        self.objects = torch.ones(())  # of the last batch, in all processes

    @torch.no_grad()
    def take(self, levels: Iterable[Norms], objects: Tensor) -> None:
        """Move the histograms by all levels of a batch; `objects` (): what learns in this process."""
        kept = list(levels)
        densities = {name: self._of(name) for name in self.densities}
        counts = [
            torch.stack([own.count(*norms[name]) for norms in kept]).sum(dim=0)
            for name, own in densities.items()
        ]
        self.objects = take_shared(list(densities.values()), counts, objects).clamp(min=1)

    def _of(self, name: str) -> GradientDensity:
        density = self.densities[name]
        assert isinstance(density, GradientDensity)
        return density

    def logit_error(self, name: str) -> LogitError:
        """Return GHM-C of the histogram `name`."""

        def error(logits: Tensor, targets: Tensor) -> Tensor:
            return self._weights(name, classification_norms(logits, targets)) * cross_entropy(logits, targets)

        return error

    def gap_error(self, name: str) -> GapError:
        """Return GHM-R of the histogram `name`."""
        mu = self.mu[name]
        return lambda gaps: self._weights(name, regression_norms(gaps, mu)) * smooth_gap(gaps, mu)

    def _weights(self, name: str, norms: Tensor) -> Tensor:
        """Return weights that add up to the number of objects: what all terms are divided by afterwards.

        The loss of the paper is a mean over the examples of a batch, whose size no normaliser of ours counts.
        """
        density = self._of(name)
        return density.weights(norms) * (self.objects / density.counts.sum().clamp(min=1)).to(norms.dtype)

    def histograms(self) -> dict[str, Tensor]:
        """Return the last counts by name, (bins,) each, of all processes."""
        return {name: self._of(name).counts for name in self.densities}
