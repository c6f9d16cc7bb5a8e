"""Proposed settings for data that come without a YAML: chosen by the images and the machine, and said."""

import logging
from collections.abc import Sequence, Set
from typing import Any

import numpy as np

from cfg.schema import SIZE_STEP, Config
from dataloadR.splits import sample_sizes
from utils.records import Annotation

logger = logging.getLogger(__name__)
LARGEST_INPUT = 1024  # px; larger inputs need more memory than most machines have
WITHOUT_GPU = {"model.size": "nano", "train.batch_size": 4}  # what a CPU trains in hours, not weeks


def propose(config: Config, free: Set[str], annotations: Sequence[Annotation], has_gpu: bool) -> Config:
    """Return the configuration with the free settings chosen, and say which and why.

    Args:
        free: `section.key` of those that nobody has set.
        annotations: of the training split.
        has_gpu: whether training runs on one.
    """
    chosen: dict[str, Any] = {}
    if "data.image_size" in free:
        height, width = (int(side) for side in np.median(sample_sizes(annotations), axis=0))
        longest = max(height, width)
        chosen["data.image_size"] = min(-(-longest // SIZE_STEP) * SIZE_STEP, LARGEST_INPUT)
        _say(chosen, ["data.image_size"], f"the images have about {width} x {height} px")
    if not has_gpu and not config.model.backbone.startswith("timm/"):
        small = {key: value for key, value in WITHOUT_GPU.items() if key in free}
        chosen |= small
        _say(chosen, list(small), "there is no GPU; the defaults would take weeks")
    return _changed(config, chosen)


def _say(chosen: dict[str, Any], keys: Sequence[str], why: str) -> None:
    if keys:
        settings = ", ".join(f"{key}={chosen[key]}" for key in keys)
        logger.info("no YAML is given: %s, as %s; name it to have another", settings, why)


def _changed(config: Config, chosen: dict[str, Any]) -> Config:
    for key, value in chosen.items():
        section, _, name = key.partition(".")
        part = getattr(config, section).model_copy(update={name: value})
        config = config.model_copy(update={section: part})
    return config
