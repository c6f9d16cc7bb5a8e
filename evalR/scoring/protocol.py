"""Protocol of an evaluation: how its figures were made, in words and numbers that stand beside them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cfg.harmless import ALLOWED, SHOWS_ONLY, SPEED
from cfg.schema import Config, DataConfig
from evalR.scoring.columns import Truth
from evalR.scoring.differences import RANKING
from evalR.scoring.dota_results import find_results
from evalR.scoring.evaluate import BOX_IOU, COCO_THRESHOLDS, QUAD_IOU
from utils.environment import ROOT, git_commit
from utils.files import file_hash
from utils.precision import precision_name

RULES = {
    "iou": {"task1": QUAD_IOU, "task2": BOX_IOU, "threshold": "strictly above"},
    "ap": {
        "voc07": "11-point",
        "voc12": "all-point",
        "sizes": "101-point, IoU at least the threshold, matching of COCO and AI-TOD",
        "errors": "all-point",
    },
    "difficult": "neither true nor false, not counted as objects",
    "mean": "over the classes with ground truth",
}
SECTIONS = ("data", "eval", "predict")  # all their settings are recorded but these, each with the reason:
LEFT_OUT = {
    **SPEED,
    **SHOWS_ONLY,
    **ALLOWED,
    "data.root": "stands in `data.root`",
    "data.train": "a name of a split; the one that is scored stands in `data.split`",
    "data.val": "as data.train",
    "data.test": "as data.train",
    "data.classes": "stands in `classes`",
    "data.repeat_threshold": "of training",
}


def protocol_of(
    truth: Truth, names: Sequence[str], data: dict[str, Any], classes: Sequence[str]
) -> dict[str, Any]:
    """Return what is to be said about any evaluation of `named_data`; what a model alone has is None.

    Args:
        names: of the images, without folder and suffix.
    """
    return {
        "data": data,
        "split": data["images"] or data["split"],
        "images": len(names),
        "objects": int((~truth.difficult).sum()),
        "difficult_objects": int(truth.difficult.sum()),
        "classes": list(classes),
        "labels_sha256": labels_hash(truth, names),
        "settings": {},
        "plan": {},
        "thresholds": {"iou": list(COCO_THRESHOLDS), "score": None},
        "scales": None,
        "flips": None,
        "turns": None,
        "nms": None,
        "rules": RULES,
        "commit": git_commit(ROOT),
        "weights": None,
        "checkpoint_sha256": None,
        "results": None,
    }


def settings_of(config: Config) -> dict[str, Any]:
    """Return every setting that evaluation and prediction read as plain values by `section.key`.

    A new setting of `SECTIONS` is among them unless `LEFT_OUT` names it.
    """
    sections = {name: getattr(config, name).model_dump(mode="json") for name in SECTIONS}
    flat = {f"{name}.{key}": value for name, values in sections.items() for key, value in values.items()}
    flat["data.image_size"] = list(config.data.input_size)  # 640 and [640, 640] are the same
    flat["train.amp"] = config.train.amp
    return {key: value for key, value in flat.items() if key not in LEFT_OUT}


def labels_hash(truth: Truth, names: Sequence[str]) -> str:
    """Return the SHA-256 of the ground truth and of the names of its images, in their order."""
    digest = hashlib.sha256("\n".join(names).encode())
    for values, kind in zip(truth, ("<i8", "<i8", "<i1", "<f8"), strict=True):
        digest.update(np.ascontiguousarray(values, kind).tobytes())
    return digest.hexdigest()


def named_data(data: DataConfig, split: str, images: str | None = None) -> dict[str, Any]:
    """Return which data are scored, in the words that name them; `images`: a list of image names."""
    return {"root": data.root, "split": split, "images": images}


def model_protocol(
    protocol: dict[str, Any], config: Config, device: torch.device, weights: Path, plan: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the protocol with what a model and its settings add.

    Args:
        plan: plain values of how the images are read that no setting says alone, such as what was decided
            from their sizes or stands in the checkpoint; compared like settings.
    """
    own = config.eval
    ranking = {key: getattr(own, key) for key in RANKING}
    return protocol | {
        "settings": settings_of(config),
        "plan": dict(plan),
        "thresholds": protocol["thresholds"] | {"score": own.score_threshold},
        "scales": list(own.scales),
        "flips": own.flips,
        "turns": list(own.turns),
        "nms": {"iou": own.nms_iou, "merge": own.merge, "merge_iou": own.merge_iou, **ranking},
        "device": device.type,
        "precision": precision_name(device, config.train.amp),
        "weights": str(weights),
        "checkpoint_sha256": file_hash(weights),
    }


def results_protocol(protocol: dict[str, Any], folder: Path, config: Config) -> dict[str, Any]:
    """Return the protocol with what result files add; how they were made, they do not say.

    Raises:
        UserError: no such folder, or no result file in it.
    """
    settings = settings_of(config)
    own = {key: settings[key] for key in ("eval.split", "eval.metric")}
    return protocol | {"settings": own, "results": str(folder), "results_sha256": results_hash(folder)}


def results_hash(folder: Path) -> str:
    """Return the SHA-256 of the names and the contents of the result files of a folder.

    Raises:
        UserError: no such folder, or no result file in it.
    """
    lines = [f"{file.path.name} {file_hash(file.path)}\n" for file in find_results(folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
