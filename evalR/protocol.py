"""How figures were made, in words and numbers that stand beside them."""

from pathlib import Path
from typing import Any

from cfg.schema import DataConfig, EvalConfig
from evalR.columns import Truth
from evalR.evaluate import BOX_IOU, COCO_THRESHOLDS, QUAD_IOU
from utils.environment import ROOT, git_commit
from utils.files import file_hash

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


def protocol_of(truth: Truth, images: int, data: dict[str, Any]) -> dict[str, Any]:
    """Return what is to be said about any evaluation of `named_data`; what a model alone has is None."""
    return {
        "data": data,
        "split": data["images"] or data["split"],
        "images": images,
        "objects": int((~truth.difficult).sum()),
        "difficult_objects": int(truth.difficult.sum()),
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


def named_data(data: DataConfig, split: str, images: str | None = None) -> dict[str, Any]:
    """Return which data are scored, in the words that name them; `images`: a list of image names."""
    return {"root": data.root, "split": split, "images": images}


def model_protocol(protocol: dict[str, Any], weights: Path, config: EvalConfig) -> dict[str, Any]:
    """Return the protocol with what a model and its settings add."""
    keys = ("class_weight", "multi_label", "ratio_check", "pre_nms", "vote_iou", "support", "max_detections")
    ranking = {key: getattr(config, key) for key in keys}
    return protocol | {
        "thresholds": protocol["thresholds"] | {"score": config.score_threshold},
        "scales": list(config.scales),
        "flips": config.flips,
        "turns": list(config.turns),
        "nms": {"iou": config.nms_iou, "merge": config.merge, "merge_iou": config.merge_iou, **ranking},
        "weights": str(weights),
        "checkpoint_sha256": file_hash(weights),
    }
