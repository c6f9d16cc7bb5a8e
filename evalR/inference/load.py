"""Loading of a trained detector from its checkpoint, ready to predict."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from cfg.load import load_config, load_config_text
from cfg.schema import Config
from evalR.inference.exported import (
    CPU,
    ExportedFile,
    ExportedNetwork,
    check_settings,
    open_exported,
    usual_settings,
)
from evalR.inference.predictor import Peak
from evalR.inference.thresholds import with_thresholds
from evalR.runtime.engines import is_exported
from modelR.build import build_model
from modelR.network import Network
from utils import distributed
from utils.checkpoint import CheckpointError, averaged_weights, find_weights, load_checkpoint, load_state
from utils.checkpoint_values import check_usable
from utils.cli import pick_device
from utils.counts import counted

logger = logging.getLogger(__name__)
DETECTOR = "model.detector"  # the setting: a checkpoint knows its own
UNFILLED = {"weights": None, "pretrained": False, "freeze": 0}  # the checkpoint holds all weights


class Trained(NamedTuple):
    """A trained detector: what a checkpoint becomes."""

    model: Network  # in evaluation mode, on `device`
    classes: tuple[str, ...]
    config: Config  # of the training, with the overrides of the command line
    device: torch.device
    path: Path
    peak: Peak | None = None  # of what was not shown, for who asks why nothing was found
    thresholds: Mapping[str, float] | None = None  # of the best F1, as the checkpoint has them
    count_tiles: Callable[[int], object] | None = None  # that are done; None: each scene has a bar


def join_device(device: str) -> torch.device:
    """Join the other processes, if there are any, and return the device of this one."""
    picked = pick_device(distributed.join(device))
    if not distributed.is_main():
        logging.getLogger().setLevel(logging.ERROR)  # one process speaks for all
    return picked


def newest_weights(runs: Path) -> Path:
    """Return the `best.pt` that was written last, and say which it is.

    Raises:
        CheckpointError: no run has one.
    """
    found = sorted(runs.glob("*/best.pt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise CheckpointError(f"{runs}/*/best.pt: no trained model yet; train one: python train_GGHL.py")
    logger.info("using %s", found[-1])
    return found[-1]


def _best_of(folder: Path) -> Path:
    """Return the best checkpoint of a run.

    Raises:
        CheckpointError: it has none yet, or the folder is no run.
    """
    best, last = folder / "best.pt", folder / "last.pt"
    if not best.is_file() and last.is_file():
        raise CheckpointError(
            f"{folder}: no best.pt before the first evaluation; go on with train.resume={folder}, "
            f"or take {last} as it is"
        )
    if not best.is_file():
        raise CheckpointError(
            f"{folder}: no run, expected best.pt in it; data are named by data.root={folder}"
        )
    return best


def load_detector(
    path: Path, overrides: Sequence[str], pick_device: Callable[[str], torch.device]
) -> Trained:
    """Load `best.pt` or `last.pt` (its averaged weights), the best of a run's folder, or an exported file.

    Raises:
        CheckpointError: no checkpoint, a damaged one, one of other classes than `data.classes`, or of
            another detector than `model.detector`.
        ConfigError: an override that is not valid.
        UserError: an exported file that cannot be used, or an override against what is in its graph.
    """
    file = _best_of(path) if path.is_dir() else find_weights(path)
    if is_exported(file):
        return _load_exported(open_exported(file), overrides, pick_device)
    checkpoint = load_checkpoint(file)
    check_usable(checkpoint, file)
    classes, thresholds = tuple(checkpoint["classes"]), checkpoint.get("thresholds")
    config = _configured(checkpoint["config"], file, classes, thresholds, overrides)
    device = pick_device(config.train.device)
    model = build_model(
        config.model_copy(update={"model": config.model.model_copy(update=UNFILLED)}), len(classes)
    )
    load_state(model, averaged_weights(checkpoint), file)
    model.to(device).to(memory_format=torch.channels_last).eval()
    return Trained(model, classes, config, device, file, Peak(), thresholds)


def _load_exported(
    file: ExportedFile, overrides: Sequence[str], pick_device: Callable[[str], torch.device]
) -> Trained:
    text, classes, thresholds = file.contract.config, file.contract.classes, file.contract.thresholds
    usual = usual_settings(file)
    config = _configured(text, file.path, classes, thresholds, [*usual, *overrides])
    check_settings(file, config, load_config_text(text, str(file.path), usual))
    model = ExportedNetwork(file, config).eval()
    return Trained(model, classes, config, pick_device(CPU), file.path, Peak(), thresholds)


def _configured(
    text: str,
    file: Path,
    classes: tuple[str, ...],
    thresholds: Mapping[str, float] | None,
    overrides: Sequence[str],
) -> Config:
    """Return the settings of a training with overrides, and with a threshold for each class."""
    _check_detector(text, file, overrides)
    config = load_config_text(text, str(file), overrides)
    wanted = config.data.classes
    if wanted and wanted != classes:
        raise CheckpointError(
            f"{file}: trained on {counted(len(classes), 'class')} ({', '.join(classes)}), "
            f"data.classes names {len(wanted)} ({', '.join(wanted)})"
        )
    predict = with_thresholds(config.predict, thresholds, classes)
    return config.model_copy(update={"predict": predict})


def _check_detector(text: str, file: Path, overrides: Sequence[str]) -> None:
    """Raise where a word or a YAML asks for another detector than that of a checkpoint."""
    asked = [word for word in overrides if word.partition("=")[0] == DETECTOR]
    if not asked:
        return
    wanted, own = load_config(None, asked).model.detector, load_config_text(text, str(file)).model.detector
    if wanted != own:
        raise CheckpointError(
            f"{file}: trained as {own}, got {DETECTOR}={wanted}; leave it out, or the YAML that says it: a "
            "checkpoint knows its detector"
        )
