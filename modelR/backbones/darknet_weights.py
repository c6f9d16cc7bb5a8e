"""Darknet ``.weights`` files read into the backbone (spec 5.6).

A file is a header, three int32 of version and a count of images seen, and float32 values: per convolution the
bias, weight, mean and variance of its batch norm, then its kernel (out, in, h, w).  Nothing in it has a name:
what it is follows from its length alone.
"""

import logging
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from modelR.layers import ConvUnit
from utils.errors import UserError

logger = logging.getLogger(__name__)
FLOAT_BYTES = 4
VERSION = struct.Struct("<iii")  # major, minor, revision
OLD_VERSION = 19  # 100 * major + 10 * minor + revision: up to this one the count has 4 bytes, then 8
DARKNET_53 = 40_620_640  # floats of the backbone, which these files begin with
CLASSIFIER = 41_645_640  # a 1x1 convolution for the 1000 classes of ImageNet behind it
COCO = 80  # classes
YOLO_PER_CLASS = 3 * (1025 + 513 + 257)  # floats of its outputs: three anchors at each of three levels
YOLO = {"yolov3.weights": 62_001_757, "yolov3-spp.weights": 63_052_381}  # of COCO's classes
KNOWN = {"darknet53.conv.74": DARKNET_53, "darknet53.weights": CLASSIFIER, **YOLO}


class DarknetWeightsError(UserError):
    """A file that does not begin with exactly the tensors of the network."""


class Layout(NamedTuple):
    """How long the parts of a file are."""

    header: int  # bytes
    floats: float  # a fraction where the file ends inside one


def load_darknet_weights(network: nn.Module, path: str | Path) -> int:
    """Copy the file into the conv units of `network`, in definition order; return the number of floats read.

    Darknet-53 takes the backbone out of its classifier and of YOLOv3 as well, and says so.

    Raises:
        DarknetWeightsError: the file is missing, or neither of these to the byte.
    """
    file = Path(path)
    if not file.is_file():
        raise DarknetWeightsError(f"{file}: no such weights file")
    tensors = darknet_tensors(network)
    needed = sum(tensor.numel() for tensor in tensors)
    layout = layout_of(file)
    content = "the backbone" if layout.floats == needed else known_content(layout.floats)
    if layout.floats != needed and (needed != DARKNET_53 or content is None):
        raise DarknetWeightsError(f"{file}: {_misfit(file, layout.header, needed)}")
    if layout.floats != needed:
        logger.info(
            "backbone of %s: %s of %s floats (%s)", file.name, f"{needed:,}", f"{layout.floats:,.0f}", content
        )
    data = np.fromfile(file, dtype="<f4", count=needed, offset=layout.header)
    values = torch.from_numpy(data.astype(np.float32))
    with torch.no_grad():
        for tensor, part in zip(tensors, torch.split(values, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))
    return needed


def layout_of(file: Path) -> Layout:
    """Return the length of the header, by the version in it, and the number of floats behind it."""
    with file.open("rb") as stream:
        head = stream.read(VERSION.size).ljust(VERSION.size, b"\0")
    major, minor, revision = VERSION.unpack(head)
    header = VERSION.size + (4 if 100 * major + 10 * minor + revision <= OLD_VERSION else 8)
    return Layout(header, (file.stat().st_size - header) / FLOAT_BYTES)


def known_content(floats: float) -> str | None:
    """Return what begins with Darknet-53 and has so many floats; None: nothing that is known.

    >>> known_content(62_001_757), known_content(62_001_757 - 79 * 5385), known_content(62_001_758)
    ('YOLOv3, 80 classes', 'YOLOv3, 1 class', None)
    """
    if floats == CLASSIFIER:
        return "with its classifier"
    for name, total in YOLO.items():
        classes, rest = divmod(floats - total + COCO * YOLO_PER_CLASS, YOLO_PER_CLASS)
        if rest == 0 and classes >= 1:
            kind = name.removesuffix(".weights").replace("yolo", "YOLO").replace("-spp", "-SPP")
            return f"{kind}, {classes:.0f} class{'es' * (classes > 1)}"
    return None


def _misfit(file: Path, header: int, needed: int) -> str:
    """Return in words what length was expected and found."""
    expected = header + FLOAT_BYTES * needed
    if needed == DARKNET_53:
        sizes = [f"{name} {header + FLOAT_BYTES * floats}" for name, floats in KNOWN.items()]
        others = f"known with this header are {', '.join(sizes)}, and YOLOv3 of other classes"
    else:
        others = "a file with a classifier or detection head does not fit"
    return (
        f"expected {expected} bytes (a header of {header} and {needed} floats) "
        f"for this backbone, found {file.stat().st_size}; {others}"
    )


def darknet_tensors(network: nn.Module) -> list[Tensor]:
    """Return the parameters and running statistics of all conv units in the order of the file."""
    tensors: list[Tensor] = []
    for unit in network.modules():
        if isinstance(unit, ConvUnit):
            norm = unit.norm
            assert norm.running_mean is not None
            assert norm.running_var is not None
            tensors += [norm.bias, norm.weight, norm.running_mean, norm.running_var, unit.conv.weight]
    return tensors
