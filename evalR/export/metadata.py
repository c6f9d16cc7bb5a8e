"""Metadata of an exported file: all that whoever runs it needs to know, as JSON by key."""

import datetime
import json
from typing import Any

from cfg.load import config_text
from cfg.schema import SIZE_STEP
from evalR.export.graph import OPSET, GraphPlan, Shaping
from evalR.inference.load import Trained
from evalR.runtime.metadata import FORMAT_NAME, MAJOR, PLACES
from utils.environment import ROOT, git_commit
from utils.files import file_hash
from utils.images import FILL

QUADS = "x1 y1 x2 y2 x3 y3 x4 y4, clockwise from the top vertex, px of the input, centre of pixel 0 at 0.5"


def file_metadata(trained: Trained, plan: GraphPlan, shaping: Shaping) -> dict[str, Any]:
    """Return the metadata of a detector, by key; those of the check are added by whoever makes it."""
    config = trained.config
    now = datetime.datetime.now(datetime.timezone.utc)
    values: dict[str, Any] = {
        "format": f"{FORMAT_NAME}/{MAJOR}",
        "task": "quad",
        "classes": list(trained.classes),
        "strides": list(trained.model.method.strides),
        "input": {
            "size": list(shaping.size),
            "dynamic": shaping.is_dynamic,
            "multiple": SIZE_STEP,
            "layout": "NCHW",
            "colour": "RGB",
            "range": [0, 255],
        },
        "letterbox": {
            "fill": FILL,
            "place": PLACES[0],
            "margin": "whole pixels, the smaller half left and above",
            "map_back": "x = (input_x - margin_x) / scale, y = (input_y - margin_y) / scale",
            "training_scale": config.data.training_scale,
        },
        "outputs": _output_meanings(plan),
        "score": {
            "class_weight": config.eval.class_weight,
            "threshold": config.eval.score_threshold,
            "multi_label": config.eval.multi_label,
        },
        "nms": {
            "in_graph": plan.ending == "full",
            "ending": plan.ending,
            "iou": config.eval.nms_iou,
            "class_aware": True,
            "max_detections": config.eval.max_detections if plan.ending != "full" else plan.rows,
            "candidates": plan.candidates if plan.ending == "full" else config.eval.pre_nms,
            "vote_iou": config.eval.vote_iou if plan.ending != "full" else 1.0,
            "support": config.eval.support if plan.ending != "full" else 0.0,
        },
        "precision": "float16" if shaping.half else "float32",
        "opset": OPSET,
        "config": config_text(config),
        "weights_sha256": file_hash(trained.path),
        "commit": git_commit(ROOT),
        "licence": "Apache-2.0",
        "created": now.isoformat(timespec="seconds"),
    }
    return values | ({"thresholds": dict(trained.thresholds)} if trained.thresholds else {})


def _output_meanings(plan: GraphPlan) -> dict[str, str]:
    every_class = plan.ending == "none" and plan.config.multi_label
    meanings = {
        "quads": QUADS,
        "scores": "0 to 1, of each class" if every_class else "0 to 1, of the class in labels",
        "labels": "number of the class, from 0",
        "count": "rows that are detections, the first; the others are 0",
    }
    return {name: meanings[name] for name in plan.outputs}


def as_texts(values: dict[str, Any]) -> dict[str, str]:
    """Return metadata as JSON by key."""
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
