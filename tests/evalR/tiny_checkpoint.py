"""A checkpoint that costs nothing: it finds something everywhere, and differs for every pixel."""

from pathlib import Path

import torch

from cfg.load import load_config
from modelR.build import build_model
from utils.checkpoint import save_checkpoint

CLASSES = ["plane", "ship"]
SETTINGS = {
    "train.amp": False,
    "score_threshold": 0.004,
    "batch_size": 4,
    "eval.pre_nms": 9,
}  # that find some


def write_tiny_checkpoint(folder: Path, sure: bool = False) -> Path:
    """Write best.pt, an untrained network for 64 px, and return its path; if sure, scores are high."""
    torch.manual_seed(0)
    config = load_config(None, ["model.size=nano", "data.image_size=64"])
    path = folder / "best.pt"
    model = build_model(config, len(CLASSES))
    for name, value in model.named_parameters():
        if sure and name.endswith("location.1.bias"):
            value.data[-1] += 6.0  # objectness, which begins at ln(0.01 / 0.99)
    state = model.state_dict()
    save_checkpoint(path, {"config": config.model_dump_json(), "classes": CLASSES, "model": state})
    return path
