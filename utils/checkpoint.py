"""Checkpoints: written whole or not at all, read without running any code from them."""

import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.files import replacing

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
SHOWN = 5  # differing keys named in one message


class CheckpointError(UserError):
    """A weight file that cannot be used: the message names it, what was found and what was expected."""


def save_checkpoint(path: str | Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint; `format` is added, and an older file stays until the new one is complete on disk.

    Tensors, numbers, strings, and lists and dicts of them can be read back; other objects cannot.
    """
    with replacing(path) as temporary:
        torch.save({"format": FORMAT, **checkpoint}, temporary)


def load_checkpoint(
    path: str | Path,
    map_location: str | torch.device = "cpu",
    required: Sequence[str] = REQUIRED,
) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, with `weights_only=True`: a strange file cannot run code.

    Raises:
        CheckpointError: no such file, no checkpoint, one that needs code, another format, missing keys.
    """
    path = Path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise CheckpointError(f"{path}: expected a checkpoint file, found {found}")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: {_pickle_fault(error)}") from None
    except DAMAGE as error:
        raise CheckpointError(
            f"{path}: expected a checkpoint, found {_kind(path)} ({_line(error)})"
        ) from None
    return _checked(checkpoint, path, required)


def _checked(checkpoint: object, path: Path, required: Sequence[str]) -> dict[str, Any]:
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{path}: expected a dictionary, found {type(checkpoint).__name__}")
    if "format" not in checkpoint:
        keys = ", ".join(map(str, list(checkpoint)[:SHOWN])) or "no keys"
        raise CheckpointError(f"{path}: expected the key 'format' of a GGHL checkpoint, found {keys}")
    if checkpoint["format"] != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT}, found {checkpoint['format']!r}")
    missing = [key for key in required if key not in checkpoint]
    if missing:
        raise CheckpointError(
            f"{path}: expected the keys {', '.join(required)}, missing {', '.join(missing)}"
        )
    return checkpoint


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]


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
    """Return the file `name` stands for: a path, else a file of that name in weight/.

    Raises:
        CheckpointError: it is in neither place.
    """
    direct, pretrained = Path(name).expanduser(), WEIGHT_FOLDER / name
    for path in (direct, pretrained):
        if path.is_file():
            return path
    raise CheckpointError(f"{name}: no such file, neither {direct.absolute()} nor {pretrained}")


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
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise CheckpointError(f"{source}: does not fit the model: {'; '.join(faults[:SHOWN])}{more}")
    model.load_state_dict(dict(state))
