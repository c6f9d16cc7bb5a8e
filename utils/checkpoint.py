"""Checkpoints: written whole or not at all, read without running any code from them."""

import errno
import logging
import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from utils.errors import UserError, first_line
from utils.exhaustion import exhaustion
from utils.files import EXPORTED_SUFFIXES, replacing

logger = logging.getLogger(__name__)
FORMAT = 1  # of the dictionary; raised when its keys change their meaning
REQUIRED = ("format", "config", "classes", "model")
WEIGHT_FOLDER = Path(__file__).parents[1] / "weight"
DAMAGE = (  # what torch.load raises for bytes that are no checkpoint
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    ArithmeticError,
    AssertionError,
    struct.error,
)
TENSORS_SHOWN = 5  # differing keys named in one message


class CheckpointError(UserError):
    """A weight file that cannot be used: the message names it, what was found and what was expected."""


def save_checkpoint(path: str | Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint; `format` is added, and an older file stays until the new one is complete on disk.

    Tensors, numbers, strings, and lists and dicts of them can be read back; other objects cannot.

    Raises:
        CheckpointError: it cannot be written, for want of space for instance.
    """
    try:
        with replacing(path) as temporary:
            torch.save({"format": FORMAT, **checkpoint}, temporary)
    except (OSError, RuntimeError) as error:  # torch's writer raises the latter
        left = "; the one before it is whole" if Path(path).exists() else ""
        raise CheckpointError(
            f"{path}: the checkpoint could not be written{left}: {exhaustion(error) or first_line(error)}"
        ) from None


def load_checkpoint(
    path: str | Path,
    map_location: str | torch.device = "cpu",
    required: Sequence[str] = REQUIRED,
) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote: a strange file cannot run code.

    Raises:
        CheckpointError: no such file, no checkpoint, one that needs code, another format, missing keys.
    """
    path = Path(path)
    return _checked(read_tensors(path, map_location), path, required)


def read_tensors(path: str | Path, map_location: str | torch.device = "cpu") -> object:
    """Read any file of `torch.save`, with `weights_only=True`: what would run code is refused.

    Raises:
        CheckpointError: no such file, none of torch, a damaged one, or one that needs code.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise CheckpointError(f"{path}: expected a checkpoint file, found {found}")
    if path.suffix.lower() in EXPORTED_SUFFIXES:
        raise CheckpointError(f"{path}: an exported file finds objects alone, expected a checkpoint (.pt)")
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, OSError, *DAMAGE) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the disk; in a file that was cut off torch looks for places before its start
        lack = None if isinstance(error, OSError) else exhaustion(error)
        raise CheckpointError(f"{path}: {lack or read_fault(path, error)}") from None


def _checked(checkpoint: object, path: Path, required: Sequence[str]) -> dict[str, Any]:
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{path}: expected a dictionary, found {type(checkpoint).__name__}")
    if "format" not in checkpoint:
        keys = ", ".join(map(str, list(checkpoint)[:TENSORS_SHOWN])) or "no keys"
        raise CheckpointError(f"{path}: expected the key 'format' of a GGHL checkpoint, found {keys}")
    if type(checkpoint["format"]) is not int or checkpoint["format"] != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT}, found {repr(checkpoint['format'])[:20]}")
    missing = [key for key in required if key not in checkpoint]
    if missing:
        raise CheckpointError(
            f"{path}: expected the keys {', '.join(required)}, missing {', '.join(missing)}"
        )
    return checkpoint


def read_fault(path: Path, error: BaseException) -> str:
    """Say in one line why a weight file could not be read; libraries wrap the error of pickle."""
    cause = error.__cause__ or error
    if isinstance(cause, pickle.UnpicklingError):
        return _pickle_fault(cause)
    return f"expected a checkpoint, found {_kind(path)} ({first_line(error)})"


def _pickle_fault(error: Exception) -> str:
    name = re.search(r"GLOBAL ([\w.]+)", str(error))
    if name:
        return f"expected tensors, numbers and text only, found {name[1]}, which needs code to be run"
    return "expected a checkpoint, found no readable one (a text, a Darknet or a damaged file)"


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        return "an empty file"
    return "a damaged or truncated zip archive" if head.startswith(b"PK") else "another kind of file"


def find_weights(name: str | Path) -> Path:
    """Return the file `name` stands for: a path, the best of a run's folder, or a file in weight/.

    Raises:
        CheckpointError: it is in neither place.
    """
    direct, pretrained = Path(name).expanduser(), WEIGHT_FOLDER / name
    for path in (direct, direct / "best.pt", pretrained):
        if path.is_file():
            return path
    places = " nor ".join(dict.fromkeys((str(direct.absolute()), str(pretrained))))
    raise CheckpointError(f"{name}: no such file, {'neither ' * (' nor ' in places)}{places}")


def load_state(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy weights into a model of the same keys and shapes; the model is unchanged after an error.

    Raises:
        CheckpointError: names the first keys that are missing, unknown or of another shape.
    """
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    faults = [f"{key} missing" for key in expected if key not in found]
    faults += [f"{key} unknown" for key in found if key not in expected]
    faults += [
        f"{key} {found[key]} instead of {shape}"
        for key, shape in expected.items()
        if key in found and found[key] != shape
    ]
    if faults:
        raise CheckpointError(f"{source}: does not fit the model: {listed_faults(faults)}")
    model.load_state_dict(dict(state))


def listed_faults(faults: Sequence[str]) -> str:
    """Return the first faults in one line, and how many more there are."""
    more = f" and {len(faults) - TENSORS_SHOWN} more" if len(faults) > TENSORS_SHOWN else ""
    return "; ".join(faults[:TENSORS_SHOWN]) + more


class Fit(NamedTuple):
    """What became of the keys of a checkpoint and of a model."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]  # keys of the model that the checkpoint lacks
    unknown: tuple[str, ...]  # keys of the checkpoint that the model lacks
    misfits: tuple[str, ...]  # "key (2, 3) instead of (2, 4)": the checkpoint's shape, the model's


def load_fitting(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> Fit:
    """Copy what has the same key and shape, log what has not, and return both.

    Raises:
        CheckpointError: nothing fits but counters.
    """
    own = model.state_dict()
    shared = {key: value for key, value in state.items() if key in own}
    fitting = {key: value for key, value in shared.items() if value.shape == own[key].shape}
    fit = Fit(
        loaded=tuple(fitting),
        missing=tuple(key for key in own if key not in state),
        unknown=tuple(key for key in state if key not in own),
        misfits=tuple(
            f"{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}"
            for key, value in shared.items()
            if key not in fitting
        ),
    )
    others = [f"{key} missing" for key in fit.missing] + [f"{key} unknown" for key in fit.unknown]
    faults = [*fit.misfits, *others]
    if not any(value.is_floating_point() for value in fitting.values()):
        raise CheckpointError(
            f"{source}: nothing fits the model: {listed_faults(faults) or 'both are empty'}"
        )
    model.load_state_dict(fitting, strict=False)
    logger.info("%s: loaded %d of %d tensors%s", source, len(fitting), len(own), _after(faults))
    return fit


def _after(faults: Sequence[str]) -> str:
    return f", not {listed_faults(faults)}" if faults else ""


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any], source: str | Path) -> None:
    """Continue an optimiser from `state_dict()` of one like it; it is unchanged after an error.

    torch compares only how many tensors there are: a moment of another shape would fail at the next step.

    Raises:
        CheckpointError: names the first groups, settings and moments that differ.
    """
    faults = _group_faults(optimizer, state.get("param_groups", [])) or _moment_faults(optimizer, state)
    if faults:
        raise CheckpointError(f"{source}: does not fit the optimizer: {listed_faults(faults)}")
    optimizer.load_state_dict(dict(state))


def _group_faults(optimizer: Optimizer, found: Sequence[Mapping[str, Any]]) -> list[str]:
    own = optimizer.param_groups
    if len(found) != len(own):
        return [f"{len(found)} groups instead of {len(own)}"]
    faults = []
    for number, (group, expected) in enumerate(zip(found, own, strict=True)):
        faults += [f"group {number} {key} missing" for key in expected if key not in group]
        faults += [f"group {number} {key} unknown" for key in group if key not in expected]
        sizes = len(group.get("params", [])), len(expected["params"])
        if sizes[0] != sizes[1]:
            faults.append(f"group {number} {sizes[0]} tensors instead of {sizes[1]}")
    return faults


def _moment_faults(optimizer: Optimizer, state: Mapping[str, Any]) -> list[str]:
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    tensors = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    moments = state.get("state", {})
    return [
        f"tensor {number} {key} {tuple(value.shape)} instead of {tuple(tensor.shape)}"
        for number, tensor in zip(numbers, tensors, strict=True)
        for key, value in moments.get(number, {}).items()
        if isinstance(value, Tensor) and value.ndim > 0 and value.shape != tensor.shape  # else a step count
    ]


def averaged_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights to predict with: of `last.pt` the moving average, of `best.pt` the only ones."""
    if "ema" not in checkpoint:
        weights: dict[str, Tensor] = checkpoint["model"]
        return weights
    prefix = "module."
    ema: dict[str, Tensor] = checkpoint["ema"]
    return {key.removeprefix(prefix): value for key, value in ema.items() if key.startswith(prefix)}
