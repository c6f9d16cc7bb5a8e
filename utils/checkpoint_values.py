"""Values of a checkpoint: what they should be, and how a wrong one is said."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from utils.checkpoint import CheckpointError

SHOWN = 60  # characters of a value


class Fault(NamedTuple):
    """What is wrong with a value."""

    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Return it as part of a line."""
        return f"{self.key}: expected {self.expected}, found {self.found}"


def check_usable(checkpoint: Mapping[str, Any], source: Path) -> None:
    """Raise where the weights of a checkpoint, or what is needed to use them, are nothing that can be used.

    Raises:
        CheckpointError: names the first key.
    """
    fault = next(_faults(checkpoint), None)
    if fault:
        raise CheckpointError(f"{source}: damaged, or of another program: {fault}")


def _faults(state: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(state["config"], str):
        yield Fault("config", "a text", show_value(state["config"]))
    if not _are_names(state["classes"]):
        yield Fault("classes", "a list of names, each once", show_value(state["classes"]))
    if not are_thresholds(state.get("thresholds")):
        yield Fault("thresholds", "a score from 0 to 1 by class", show_value(state["thresholds"]))
    for part in ("model", "ema"):
        weights = state.get(part, {})
        if not isinstance(weights, Mapping):
            yield Fault(part, "a dictionary", show_value(weights))
            continue
        for key, value in weights.items():
            if not isinstance(key, str) or not isinstance(value, Tensor) or not is_sound(value):
                yield Fault(f"{part}.{key}", "a tensor of finite numbers", show_value(value))


def _are_names(found: object) -> bool:
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) and name for name in found):
        return False
    return 0 < len(found) == len({*found})


def are_thresholds(found: object) -> bool:
    """Say whether a value holds scores by class, or is None."""
    if found is None:
        return True
    return isinstance(found, Mapping) and all(
        isinstance(name, str) and is_number(value) and 0 <= value <= 1 for name, value in found.items()
    )


def is_sound(value: Tensor) -> bool:
    """Say whether a tensor is an ordinary one, of finite real numbers."""
    is_plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
    return is_plain and not value.is_complex() and bool(value.isfinite().all())


def is_number(value: Any) -> bool:
    """Say whether a value is a number that float64 counts with exactly."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and abs(value) < 1 << 53 and math.isfinite(value)


def show_value(value: object) -> str:
    """Return a value in few words."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Mapping | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{type(value).__name__} {str(value)[:SHOWN]!r}" if value is not None else "nothing"
