"""Mean of the weights of the last epochs (checkpoint averaging).  Source: spec 6.6.

The files of the epochs stay in the run's folder, so that neither a resume nor an early end changes the mean:
it is always that of the last epochs there were.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modelR.training.run import Run, inference_state
from utils import distributed
from utils.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from utils.counts import counted
from utils.resume import Position

logger = logging.getLogger("train")
FOLDER = "epochs"  # in that of the run; files 0001.pt and so on
MEAN = "mean.pt"


def keep_epoch(run: Run, position: Position) -> None:
    """Keep what `best.pt` would hold of an epoch that is over; every process must call it.

    Of epochs before the last `train.average_last`, and of such as are yet to come, the files are removed.
    """
    count, epoch = run.config.train.average_last, position.epoch + 1
    if not count:
        return
    distributed.share_buffers(run.stepper.ema.module)
    if not distributed.is_main():
        return
    folder = run.folder / FOLDER
    folder.mkdir(exist_ok=True)
    save_checkpoint(folder / f"{epoch:04}.pt", inference_state(run, None))
    for number, path in epoch_files(folder).items():
        if not epoch - count < number <= epoch:
            path.unlink()


def write_mean(run: Run, position: Position) -> None:
    """Write `mean.pt`, the mean of the epochs that are kept, with the thresholds of the last evaluation."""
    count = run.config.train.average_last
    if not count or not distributed.is_main():
        return
    kept = _readable(epoch_files(run.folder / FOLDER))
    if len(kept) < min(count, position.epoch + 1):
        there = counted(len(kept), "epoch")
        logger.warning("train.average_last=%d: the weights of %s are there", count, there)
    if kept:
        state = inference_state(run, position.thresholds) | {"epochs": list(kept)}
        save_checkpoint(run.folder / MEAN, state | {"model": mean_weights(list(kept.values()))})
        epochs = ", ".join(map(str, kept))
        logger.info("%s: the mean of the weights after epochs %s", run.folder / MEAN, epochs)


def epoch_files(folder: Path) -> dict[int, Path]:
    """Return the files of epochs by their number, rising."""
    paths = {int(path.stem): path for path in folder.glob("*.pt") if path.stem.isdecimal()}
    return dict(sorted(paths.items()))


def _readable(files: Mapping[int, Path]) -> dict[int, Path]:
    """Return the files that can be read; a damaged one is named and left out, lest it cost a training."""
    whole = {}
    for number, path in files.items():
        try:
            load_checkpoint(path)
            whole[number] = path
        except CheckpointError as error:
            logger.warning("left out of %s: %s", MEAN, error)
    return whole


def mean_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Return the mean of the weights of checkpoints of one network, summed in float64; one at a time is read.

    The running mean and variance of batch norm are averaged like weights, not measured anew; counters are
    those of the last file.
    """
    sums: dict[str, Tensor] = {}
    last: Mapping[str, Any] = {}
    for path in paths:
        last = load_checkpoint(path)["model"]
        for key, value in last.items():
            if value.is_floating_point():
                sums[key] = sums.get(key, torch.zeros_like(value, dtype=torch.float64)) + value
    return {
        key: (sums[key] / len(paths)).to(value.dtype) if key in sums else value for key, value in last.items()
    }
