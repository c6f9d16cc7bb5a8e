"""The detector as a record of functions: what one method does differently from another.

Backbone, training step, suppression, tiles and reports are shared; they ask this record and know no method.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from cfg.schema import EvalConfig
from dataloadR.assign.shapes import Pyramid
from modelR.necks.top_down import TopDownNeck
from utils.records import Objects

FEATURES = (4, 8, 16, 32)  # strides at which a backbone has features
Predictions = Sequence[Any]  # one record of raw head outputs per level, of the method's own kind


class Assigned(Protocol):
    """What targets of a level have in every method; pictures of assigned cells read it."""

    @property
    def owner(self) -> Tensor:
        """Row in Objects that a cell learns, (B, H, W) int64, -1 without."""

    @property
    def heat(self) -> Tensor:
        """How well the owner suits its cell, (B, H, W) in [0, 1]."""

    @property
    def labels(self) -> Tensor:
        """Class of the owner, (B, H, W) int64."""

    @property
    def ignore(self) -> Tensor:
        """Cells that are no background though they have no owner, (B, H, W) bool."""

    @property
    def stride(self) -> int:
        """Pixels per cell."""


Targets = Sequence[Any]  # one record per level, finest first, of the method's own kind, each an `Assigned`


@dataclass(frozen=True)
class Method:
    """A detector as functions, plain torch on whatever device their input is.

    A head has `classes`, a Sequential whose last layer belongs to the classes.  A loss that is a module may
    hold a state in buffers: it goes into the checkpoint, and must be made equal in all processes by the loss.
    What its `histograms()` returns, where it has any, counts by name, is logged after each epoch.

    `loss` gets the normaliser of the global batch: the sum of `count` over all micro-batches and processes,
    at least 1, over the number of processes; of several counts one for each.  Of a dynamic method the count
    is known only after the last micro-batch: its loss gets 1, and the step divides the gradients by the
    normaliser instead, which is the same because all terms share it, so it has one.
    """

    name: str
    strides: tuple[int, ...]  # px per cell of its levels, finest first, each twice the one before
    terms: tuple[str, ...]  # names of its losses, columns of results.csv
    head: Callable[[int, int, int], nn.Module]  # channels, classes, stride -> features to one prediction
    # objects of a batch, its levels, predictions of a dynamic method (else None) -> targets
    targets: Callable[[Objects, Pyramid, Predictions | None], Targets]
    count: Callable[[Targets], Tensor]  # () what the losses are divided by, (N,) where by several numbers
    loss: Callable[[Predictions, Targets, Tensor], dict[str, Tensor]]  # terms, () each, gains included
    # every candidate: quads (B, K, 4, 2) px of the input, scores (B, K, C)
    candidates: Callable[[Predictions, EvalConfig], tuple[Tensor, Tensor]]
    # channels of `taps`, number of levels, dropblock -> features of the levels, with their `out_channels`
    neck: Callable[[Sequence[int], int, float], nn.Module] = TopDownNeck
    shared: tuple[str, ...] = ()  # modules of a head, by name, that all levels have in common
    is_dynamic: bool = False  # whether the targets look at predictions
    is_horizontal: bool = False  # whether all quads are horizontal boxes, which task 2 of DOTA judges

    @property
    def taps(self) -> tuple[int, ...]:
        """Strides of the features that the neck is given: from the finest level to the coarsest of all."""
        return FEATURES[FEATURES.index(self.strides[0]) :]


class Backbone(Protocol):
    """A network that maps images (B, 3, H, W) in [0, 1] to features at the `taps` of a method."""

    channels: tuple[int, ...]  # of the features

    def early_parameters(self, stages: int) -> list[str]:
        """Return the names of the parameters of all that leads up to stride 2**stages; of none for 0."""

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Return the features (B, C, H / stride, W / stride), finest first."""


class Teacher(Protocol):
    """Whoever adds terms to the loss of a step, such as a larger network that is imitated."""

    terms: tuple[str, ...]  # their names

    def __call__(
        self, images: Tensor, predictions: Predictions, targets: Targets, normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the terms, () each, gains included."""
