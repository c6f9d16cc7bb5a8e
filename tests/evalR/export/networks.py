"""Untrained networks that find something everywhere, each with a class of its own."""

from pathlib import Path

import torch

from cfg.load import load_config
from cfg.schema import Config
from modelR.build import build_model
from modelR.deformable import ShiftedConv
from modelR.detectors.npmmr import RefinedHead
from modelR.network import Network
from utils.checkpoint import save_checkpoint

ROOT = Path(__file__).parents[3]
CLASSES = ("court", "plane", "ship")


def config_of(detector: str, *words: str) -> Config:
    """Return the settings of a detector, small."""
    path = ROOT / "cfg/detectors" / f"{detector}.yaml"
    return load_config(path, ["model.size=nano", "data.image_size=64", *words])


def network_of(config: Config) -> Network:
    """Return a network whose classes are apart, so that no rounding chooses one, and whose taps are moved."""
    torch.manual_seed(0)
    network = build_model(config, len(CLASSES)).eval().requires_grad_(False)
    for name in network.class_outputs():
        values = network.get_parameter(name)
        values += (3 if values.ndim == 1 else 0.3) * torch.randn_like(values)
    for part in network.modules():
        if isinstance(part, ShiftedConv | RefinedHead):
            torch.nn.init.normal_(part.shifts.weight, std=0.05)
    return network


def write_checkpoint(folder: Path, detector: str = "gghl", *words: str) -> Path:
    """Write best.pt and return its path."""
    config = config_of(detector, *words)
    path = folder / "best.pt"
    values = {"classes": list(CLASSES), "model": network_of(config).state_dict()}
    thresholds = {"ship": 0.25, "*": 0.2}
    save_checkpoint(path, {"config": config.model_dump_json(), "thresholds": thresholds, **values})
    return path
