"""Weights of the public GGHL code ("the reference") under the names of this network.

Its network is `model.size=large` tensor by tensor; names, order and heads (coarse, middle, fine; ours begin
with the finest) differ.  `best.pt` is a plain state dict, `last.pt` and `backup_*.pt` hold it under `model`,
beside an optimiser and numpy numbers; training on several GPUs puts `module.` before each name.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cfg.model import ModelConfig
from cfg.schema import Config
from modelR.backbones.darknet import STAGES
from modelR.build import build_model
from utils.checkpoint import CheckpointError, read_tensors

BACKBONE, NECK = "_GGHL__backnone._Darknet53__", "_GGHL__fpn._Neck__"
LEVELS = ("coarse", "middle", "fine")  # as the reference counts them
BLOCK = 7  # places of a level of the neck, some without tensors
PARTS = {"conv": "_Convolutional__conv", "norm": "_Convolutional__norm", "mix": "_SPP__outconv"}
KEY = re.compile(r"(?P<unit>.+?)(?:\.(?P<part>conv|norm|mix))?\.(?P<tensor>\w+)")
CLASS_BIAS = f"{NECK}cls0.1.bias"
SHOWN_CLASSES = 3


class Unread:
    """Stands for a number of numpy in a file: nothing is computed from what the file says about it."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


NAMES = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")  # of numpy 1 and 2


def read_reference_weights(path: str | Path, classes: Sequence[str]) -> dict[str, Tensor]:
    """Return the state dict for `model.size=large` and these classes, float32, from a file of the reference.

    Raises:
        CheckpointError: a file that cannot be read or needs code; names the first tensor that does not fit.
    """
    with torch.serialization.safe_globals([(Unread, name) for name in NAMES]):
        content = read_tensors(path)
    found = _state_dict(content, path)
    bias = found.get(CLASS_BIAS)
    count = bias.numel() if isinstance(bias, Tensor) and bias.numel() else len(classes)
    expected = expected_tensors(count)
    fault = first_misfit(found, {reference_name(key): tensor for key, tensor in expected.items()})
    if fault:
        raise CheckpointError(f"{path}: not the network of the public GGHL code: {fault}")
    if count != len(classes):
        some = ", ".join(classes[:SHOWN_CLASSES]) + (", .." if len(classes) > SHOWN_CLASSES else "")
        raise CheckpointError(
            f"{path}: expected a name for each of {count} classes, got {len(classes)} ({some})"
        )
    return {key: _own(found[reference_name(key)], tensor) for key, tensor in expected.items()}


def _state_dict(content: object, path: str | Path) -> dict[str, Any]:
    """Return the tensors of any of the published forms by their names, without `module.`."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: expected a state dict, found {type(content).__name__}")
    if "format" in content and "config" in content:
        raise CheckpointError(f"{path}: a checkpoint of this project already, to be used as it is")
    inner = content.get("model")
    state = inner if isinstance(inner, Mapping) else content
    prefix = "module." if all(str(key).startswith("module.") for key in state) else ""
    return {str(key).removeprefix(prefix): value for key, value in state.items()}


def expected_tensors(num_classes: int) -> dict[str, Tensor]:
    """Return the tensors of our network by name, without memory for their values."""
    with torch.device("meta"):
        return build_model(Config(model=ModelConfig(size="large")), num_classes).state_dict()


def reference_name(key: str) -> str:
    """Return what the reference calls a tensor of ours.

    >>> reference_name("heads.2.location.1.bias"), reference_name("neck.coarse.1.mix.weight")
    ('_GGHL__fpn._Neck__loc0.1.bias', '_GGHL__fpn._Neck__conv_set_0.1._SPP__outconv.weight')
    """
    match = KEY.fullmatch(key)
    assert match is not None
    parts = (UNITS[match["unit"]], PARTS.get(match["part"]), match["tensor"])
    return ".".join(part for part in parts if part)


def _units() -> dict[str, str]:
    """Return what the reference calls our conv units and output convolutions."""
    units = {"backbone.stem": f"{BACKBONE}conv"}
    for stage, (_, repeats) in enumerate(STAGES):
        units[f"backbone.stages.{stage}.0"] = f"{BACKBONE}conv_5_{stage}"
        for repeat in range(repeats):
            block = f"{BACKBONE}rb_5_{stage}" + (f"_{repeat}" if repeats > 1 else "")
            for part, theirs in (("reduce", "conv1"), ("expand", "conv2")):
                units[f"backbone.stages.{stage}.{repeat + 1}.{part}"] = f"{block}._Residual_block__{theirs}"
    for number, level in enumerate(LEVELS):
        units |= {f"neck.{level}.{place}": f"{NECK}conv_set_{number}.{place}" for place in range(BLOCK)}
        for branch, theirs in (("location", "loc"), ("classes", "cls")):
            head = f"heads.{len(LEVELS) - 1 - number}.{branch}"
            units |= {f"{head}.{place}": f"{NECK}{theirs}{number}.{place}" for place in (0, 1)}
    return units | {
        "neck.coarse_to_middle": f"{NECK}conv01up",
        "neck.middle_to_fine": f"{NECK}conv12up",
    }


UNITS = _units()


def first_misfit(found: Mapping[str, Any], expected: Mapping[str, Tensor]) -> str | None:
    """Return what is wrong with the first tensor that does not fit or is not known; None: all fit."""
    for name, tensor in expected.items():
        if name not in found:
            other = next((other for other in found if other not in expected), None)
            return f"{name} {tuple(tensor.shape)} is missing" + (f", found {other}" if other else "")
        if _kind(found[name]) != _kind(tensor):
            return f"{name}: expected {_kind(tensor)}, found {_kind(found[name])}"
    unknown = [name for name in found if name not in expected]
    return f"expected {len(expected)} tensors, found {unknown[0]} besides" if unknown else None


def _kind(value: object) -> str:
    """Return the shape and kind of numbers of a tensor in words, for comparison and messages."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    kind = "floats" if value.is_floating_point() else str(value.dtype).removeprefix("torch.")
    dense = "" if value.layout == torch.strided else f" {value.layout}"
    return f"{tuple(value.shape)} {kind}{dense}"


def _own(tensor: Tensor, expected: Tensor) -> Tensor:
    """Return a copy in the kind of numbers that we keep, without the storage that it may be a part of."""
    return tensor.detach().to(expected.dtype).clone(memory_format=torch.contiguous_format)
