"""Any feature extractor of timm as backbone: taps, weights from a local file, normalisation."""

import difflib
import logging
import pickle
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.models import load_state_dict
from torch import Tensor, nn

from utils.checkpoint import DAMAGE, TENSORS_SHOWN, listed_faults, read_fault
from utils.errors import UserError, first_line

logger = logging.getLogger(__name__)
PROBE_SIDE = 64  # pixels; two cells at the coarsest stride, so that a wrong padding shows
MISMATCH = re.compile(r"size mismatch for (\S+): .*?Size\(\[(.*?)\]\).*?Size\(\[(.*?)\]\)")  # torch's words
NOT_BUILT = (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, LookupError)  # by timm


class BackboneError(UserError):
    """A backbone that is not there, has no fitting features, or whose weights do not fit."""


class TimmFeatures(nn.Module):
    """Maps images in [0, 1] to features at the strides it was built for, by a network of timm.

    The mean and deviation that its weights were trained with are taken off here, and are part of the
    checkpoint: outside, images stay bytes or [0, 1].  `channels` are those of the outputs.
    """

    mean: Tensor  # (1, 3, 1, 1) of RGB in [0, 1]
    std: Tensor  # (1, 3, 1, 1)

    def __init__(self, name: str, body: Any) -> None:
        super().__init__()
        self.name = name
        self.body = body
        self.channels: tuple[int, ...] = tuple(body.feature_info.channels())
        for key in ("mean", "std"):
            self.register_buffer(key, torch.tensor(body.pretrained_cfg[key]).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (B, C, H / stride, W / stride), finest first."""
        features: list[Tensor] = self.body((images - self.mean) / self.std)
        return features

    def early_parameters(self, stages: int) -> list[str]:
        """Return the names of the parameters behind the features at strides up to 2**stages.

        Asked of the gradient, because networks name their stages in many ways.

        Raises:
            BackboneError: the first features of the network are coarser.
        """
        if stages == 0:
            return []
        strides = feature_strides(self.name)
        taps = [tap for tap, stride in enumerate(strides) if stride <= 2**stages]
        if not taps:
            first = strides[0].bit_length() - 1
            raise BackboneError(
                f"model.freeze={stages}: expected 0 or {first} to 5, "
                f"the first features of timm/{self.name} are at stride {strides[0]}"
            )
        with torch.enable_grad():
            probe, (feature,) = probe_features(self.name, taps[-1:])
            torch.autograd.backward(feature.sum())
        return [f"body.{key}" for key, value in probe.named_parameters() if value.grad is not None]


def timm_features(
    name: str, strides: tuple[int, ...], weights: Path | None = None, pretrained: bool = False
) -> TimmFeatures:
    """Return timm's network `name` up to its last feature, from a local file or timm's hub where asked.

    Raises:
        BackboneError: no such network, no features at these strides, weights that cannot be had,
            read or fitted.
    """
    check_name(name)
    taps = find_taps(name, strides)
    if weights is not None:
        with quiet_timm():
            body = load_body(name, taps, weights)
        logger.info("%s: all %d tensors of timm/%s", weights, len(body.state_dict()), name)
        return TimmFeatures(name, body)
    if not pretrained:
        return TimmFeatures(name, timm.create_model(name, features_only=True, out_indices=taps))
    try:
        body = timm.create_model(name, features_only=True, out_indices=taps, pretrained=True)
    except (OSError, *NOT_BUILT) as error:
        fault = f"model.pretrained: no weights of timm/{name} ({first_line(error)})"
        raise BackboneError(f"{fault}; model.weights=FILE takes a local file") from None
    return TimmFeatures(name, body)


def check_name(name: str) -> None:
    """Raise a `BackboneError` with the nearest names where timm has no network of this one."""
    if timm.is_model(name):
        return
    close = difflib.get_close_matches(name, timm.list_models(), n=3)
    hint = f"; the nearest: {', '.join(f'timm/{other}' for other in close)}" if close else ""
    raise BackboneError(f"model.backbone: timm has no network '{name}'{hint}")


def feature_strides(name: str) -> list[int]:
    """Return the strides of all features of a network, finest first.

    Raises:
        BackboneError: timm cannot make a feature extractor of it.
    """
    try:
        with torch.device("meta"):  # shapes alone: no memory, no time
            extractor: Any = timm.create_model(name, features_only=True)
    except NOT_BUILT as error:
        raise BackboneError(
            f"model.backbone: timm/{name} has no feature extractor ({first_line(error)})"
        ) from None
    return [feature["reduction"] for feature in extractor.feature_info.info]


def find_taps(name: str, strides: tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers of the last features at some strides, checked on a small image.

    Raises:
        BackboneError: a stride is missing, or the network takes images of its own size only.
    """
    last = {stride: tap for tap, stride in enumerate(feature_strides(name))}
    if not set(strides) <= set(last):
        expected, found = (", ".join(map(str, own)) for own in (strides, last))
        raise BackboneError(
            f"model.backbone: expected features at strides {expected}, timm/{name} has {found}"
        )
    taps = tuple(last[stride] for stride in strides)
    try:
        probe, features = probe_features(name, taps)
    except NOT_BUILT as error:
        raise BackboneError(
            f"model.backbone: timm/{name} does not take images of any size ({first_line(error)})"
        ) from None
    sides = [PROBE_SIDE // stride for stride in strides]
    shapes_due = [(1, c, side, side) for c, side in zip(probe.feature_info.channels(), sides, strict=True)]
    shapes = [tuple(feature.shape) for feature in features]
    if shapes != shapes_due:
        raise BackboneError(
            f"model.backbone: expected features {shapes_due} of {PROBE_SIDE} px, timm/{name} gives {shapes}"
        )
    return taps


def probe_features(name: str, taps: Sequence[int]) -> tuple[Any, list[Tensor]]:
    """Return the extractor with these taps and its features of a small image, both without data."""
    with torch.device("meta"):
        probe = timm.create_model(name, features_only=True, out_indices=tuple(taps)).eval()
        return probe, probe(torch.zeros(1, 3, PROBE_SIDE, PROBE_SIDE))


@contextmanager
def quiet_timm() -> Iterator[None]:
    """Keep back what timm says of keys that it passes over: the classifier always is, the rest we check."""
    log = logging.getLogger("timm")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def load_body(name: str, taps: Sequence[int], path: Path) -> nn.Module:
    """Return the extractor filled from a file of the whole network or of the extractor alone.

    Raises:
        BackboneError: the file is no weight file, or leaves a tensor of the extractor unset.
    """
    state = read_backbone_weights(path)
    # timm takes what it finds and stays silent about the rest: a file of NaN shows what it finds.
    marked = {key: torch.full_like(t, torch.nan) if t.is_floating_point() else t for key, t in state.items()}
    try:
        probe = filled(name, taps, marked).state_dict()
        unset = [k for k, t in probe.items() if t.is_floating_point() and not t.isnan().all()]
        if not unset:
            return filled(name, taps, state)
        faults = [f"{key} missing" for key in unset]
    except NOT_BUILT as error:
        shapes = MISMATCH.findall(str(error))
        faults = [f"{key} ({found}) instead of ({expected})" for key, found, expected in shapes]
        faults = faults or [first_line(error)]
    raise BackboneError(f"{path}: does not fit timm/{name}: {listed_faults(faults)}")


def filled(name: str, taps: Sequence[int], state: dict[str, Tensor]) -> nn.Module:
    """Return the extractor with what timm takes from `state`, after its own conversion of old formats."""
    body: nn.Module = timm.create_model(
        name,
        features_only=True,
        out_indices=tuple(taps),
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": dict(state)},
    )
    return body


def read_backbone_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .pth or .safetensors file; of a training checkpoint, the averaged ones.

    Raises:
        BackboneError: no such content, or content that needs code to be read.
    """
    try:
        state = load_state_dict(str(path), weights_only=True)
    except (OSError, pickle.UnpicklingError, SafetensorError, *DAMAGE) as error:
        raise BackboneError(f"{path}: {read_fault(path, error)}") from None
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise BackboneError(
            f"{path}: expected tensors, found {', '.join(list(state)[:TENSORS_SHOWN]) or 'nothing'}"
        )
    return tensors
