"""The methods of detectors with their default settings, for networks that tests make up."""

from cfg.schema import AssignConfig, Config
from dataloadR.assign.engine import build_targets
from dataloadR.assign.gaussian import gaussian_rule
from dataloadR.assign.shapes import Pyramid
from modelR.build import build_method
from utils.records import LevelTargets, Objects

STRIDES = (8, 16, 32)
GGHL = build_method(Config(), 1)


def gaussian_targets(
    objects: Objects, size: tuple[int, int, int], config: AssignConfig, strides: tuple[int, ...] = STRIDES
) -> list[LevelTargets]:
    """Return the targets of GGHL for so many images of this height and width."""
    return build_targets(objects, Pyramid(*size, strides), gaussian_rule(config))
