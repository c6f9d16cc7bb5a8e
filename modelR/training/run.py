"""Training run: what it moves on, its folder, and how it is begun, continued and saved."""

import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cfg.load import config_text
from cfg.schema import Config
from modelR.build import build_for_training
from modelR.training.stepper import Stepper
from utils import distributed
from utils.checkpoint import FORMAT, save_checkpoint
from utils.counts import counted
from utils.environment import environment_text
from utils.files import write_text
from utils.interrupts import Interrupts
from utils.resume import (
    LAST,
    Earlier,
    Position,
    changed_settings,
    find_run,
    read_run,
    restore,
    run_state,
)
from utils.resume_check import Expected
from utils.runlog import RunLog, new_run_folder

logger = logging.getLogger("train")
RUNS = Path("runs")
NOBODY = Interrupts()  # asks for an end


class Origin(NamedTuple):
    """What a run began with, besides its settings."""

    data_hash: str = ""
    said: tuple[str, ...] = ()  # keys that the command line has set


class Run(NamedTuple):
    """Everything that one training run moves on."""

    config: Config
    classes: tuple[str, ...]
    folder: Path
    device: torch.device
    stepper: Stepper
    log: RunLog | None  # of the main process
    origin: Origin = Origin()
    interrupts: Interrupts = NOBODY


def find_earlier(resume: str | None, name: str) -> Earlier | None:
    """Return the run to go on with, the same in all processes; None: a new one."""
    wanted = resume or ("auto" if distributed.restarted() else None)
    if not wanted:
        return None
    found = find_run(wanted, RUNS, name, unfinished=not resume) if distributed.is_main() else None
    folder = distributed.from_main(found)
    return read_run(folder) if folder else None


def forget_failed_start(run: Run, earlier: Earlier | None) -> None:
    """Remove the folder of a new run that failed before anything was saved: it holds nothing but a name."""
    if run.log is None or earlier:
        return
    run.log.close()
    saved = read_run(run.folder).position if (run.folder / LAST).is_file() else Position()
    if saved.epoch == saved.done == 0:
        shutil.rmtree(run.folder, ignore_errors=True)


def start(
    config: Config,
    classes: tuple[str, ...],
    name: str,
    steps_per_epoch: int,
    earlier: Earlier | None,
    device: torch.device,
) -> tuple[Run, Position]:
    """Build the network and what trains it, in a new folder or as an earlier run left it."""
    main = distributed.is_main()
    with distributed.main_first():  # one process downloads weights
        model = build_for_training(config, classes, device, resumed=earlier is not None)
    stepper = Stepper(model, config.train, device, steps_per_epoch)
    position = Position(sums={name: torch.zeros(()) for name in stepper.terms})
    if earlier:
        folder, expected = earlier.folder, Expected(stepper.terms, steps_per_epoch)
        position = restore(stepper.parts, earlier.checkpoint, expected, folder / LAST)
        logger.info("going on in %s at epoch %d, step %d", folder, position.epoch + 1, position.done)
    else:
        unfinished = find_run("auto", RUNS, name, unfinished=True) if main else None
        folder = distributed.from_main(new_run_folder(RUNS, name) if main else RUNS)
        if unfinished:
            logger.info("%s is unfinished; to go on there instead: train.resume=%s", unfinished, unfinished)
    log = RunLog(folder, position.epoch + 1 if earlier else None) if main else None
    logger.info("%s on %s, %s: %s", folder, device, counted(len(classes), "class"), ", ".join(classes))
    return Run(config, classes, folder, device, stepper, log), position


def save_origin(run: Run, earlier: Earlier | None) -> None:
    """Write what the run was made of: its settings, and the machine, the code and the data; at each start."""
    if earlier is None or changed_settings(earlier.config, run.config):
        # the scale follows from the data: who trains with this file on others must not inherit it
        data = run.config.data.model_copy(update={"training_scale": None})
        text = config_text(run.config.model_copy(update={"data": data}))
        write_text(run.folder / "config.yaml", text)
    place = run.folder / "environment.txt"
    known = place.read_text(encoding="utf-8", errors="replace") if earlier and place.is_file() else None
    before = "" if known is None else f"{known}\nresumed\n"
    write_text(place, before + environment_text(run.origin.data_hash))


def next_epoch(position: Position) -> Position:
    """Return where the epoch after this one begins."""
    fresh = Position(position.epoch + 1, sums={name: torch.zeros(()) for name in position.sums})
    return fresh._replace(best=position.best, stale=position.stale, thresholds=position.thresholds)


def inference_state(run: Run, thresholds: dict[str, float] | None) -> dict[str, Any]:
    """Return what `best.pt` holds: the averaged weights and what is needed to use them."""
    head = {"format": FORMAT, "config": config_text(run.config), "classes": list(run.classes)}
    origin = {"data_hash": run.origin.data_hash, "thresholds": thresholds}
    return head | origin | {"model": run.stepper.ema.module.state_dict()}


def log_histograms(run: Run, epoch: int) -> None:
    """Log the histograms of gradients of the last step as shares: GHM stands or falls with them."""
    for name, counts in run.stepper.histograms.items():
        shares = (counts / counts.sum().clamp(min=1)).tolist()
        text = " ".join(f"{100 * share:.3g}" for share in shares)
        logger.info("epoch %d: %s, gradients from easy to hard, %%: %s", epoch, name, text)
        if run.log:
            run.log.scalars({f"gradients {name}/{k:02d}": share for k, share in enumerate(shares)}, epoch)


def save(run: Run, position: Position, complete: bool = False) -> None:
    """Write `last.pt`: all that is needed to go on as if nothing had happened."""
    state = inference_state(run, position.thresholds) | run_state(run.stepper.parts, position)
    state |= {"complete": complete, "said": list(run.origin.said)}
    if distributed.is_main():
        save_checkpoint(run.folder / LAST, state)
