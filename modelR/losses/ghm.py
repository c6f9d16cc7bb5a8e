"""Gradient harmonising mechanism, GHM-C and GHM-R: rare gradients count as much as common ones (spec 4.13).

Examples are counted by the size of their gradient, and each is weighted by how few are like it
(arXiv:1811.05181).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from utils.distributed import sum_over_ranks
from utils.selection import on_device

MAX_WEIGHT = 10.0  # of an example; the mean is about 1


class GradientDensity(nn.Module):
    """Moving histogram of gradient norms in [0, 1], and the weight of an example in each of its bins.

    A module, because the histogram lies in the checkpoint.
    """

    average: Tensor  # (bins,) moving sum of the counts, from 0
    steps: Tensor  # () how often they were counted
    counts: Tensor  # (bins,) the last counts, of all processes

    def __init__(self, bins: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        for name, shape in (("average", (bins,)), ("steps", ()), ("counts", (bins,))):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    @torch.no_grad()
    def count(self, norms: Tensor, valid: Tensor | None = None) -> Tensor:
        """Return how many norms lie in each bin, (bins,); the last bin holds all above it, too.

        Args:
            norms: of any shape.
            valid: bool of that shape, which of them count.
        """
        places = self._bins(norms.flatten())
        ones = torch.ones_like(places) if valid is None else valid.flatten().to(places.dtype)
        return torch.zeros_like(self.counts).long().scatter_add(0, places, ones).to(self.counts.dtype)

    @torch.no_grad()
    def take(self, counts: Tensor) -> None:
        """Move the histogram by the counts of all processes."""
        self.counts.copy_(counts)
        self.average.mul_(self.momentum).add_(counts, alpha=1 - self.momentum)
        self.steps.add_(1)

    @torch.no_grad()
    def weights(self, norms: Tensor) -> Tensor:
        """Return the weights of examples like those of the last counts, in the shape of the norms.

        An example weighs the number of all over that of its like, over the number of bins that hold any, so
        that each of these bins has as much to say and the mean over all examples is 1; at most `MAX_WEIGHT`.
        """
        density = self.average / (1 - self.momentum**self.steps)  # an average from its first step on
        is_full = self.counts > 0
        total = self.counts.sum().clamp(min=1)
        each = torch.where(is_full, total / torch.where(is_full, density, 1.0), 0.0)
        each = (each / is_full.sum().clamp(min=1)).clamp(max=MAX_WEIGHT)
        return each[self._bins(norms)].to(norms.dtype)

    def _bins(self, norms: Tensor) -> Tensor:
        """Return the bin of each norm: 0 from 0, the last one up to any size."""
        inner = on_device([k / len(self.counts) for k in range(1, len(self.counts))], norms, norms.dtype)
        return torch.bucketize(norms, inner, right=True)


def take_shared(densities: Sequence[GradientDensity], counts: Sequence[Tensor], more: Tensor) -> Tensor:
    """Move histograms by the counts of all processes and return the sum of `more`, (), in one exchange."""
    sizes = [len(own) for own in counts]
    every = sum_over_ranks(torch.cat([*counts, more.double().view(1)]))
    *summed, rest = torch.split(every, [*sizes, 1])
    for density, own in zip(densities, summed, strict=True):
        density.take(own)
    return rest.squeeze(0)


def classification_norms(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the size of the gradients of binary cross-entropies by their logits, in [0, 1]."""
    return (logits.detach().sigmoid() - targets).abs()


def smooth_gap(gaps: Tensor, mu: float) -> Tensor:
    """Return sqrt(d^2 + mu^2) - mu of differences (ASL1 of the paper, eq. 12)."""
    return (gaps.square() + mu * mu).sqrt() - mu


def regression_norms(gaps: Tensor, mu: float) -> Tensor:
    """Return the size of the gradients of `smooth_gap`, in [0, 1)."""
    gaps = gaps.detach()
    return gaps.abs() / (gaps.square() + mu * mu).sqrt()
