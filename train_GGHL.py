"""Train GGHL.

    python train_GGHL.py                                            the demo on synthetic scenes
    python train_GGHL.py cfg/dota.yaml data.root=/data/DOTA_800     DOTA
    python train_GGHL.py cfg/dota.yaml model.size=small train.epochs=36
    python train_GGHL.py cfg/dota.yaml train.resume=auto            go on where the last run was interrupted
    python train_GGHL.py cfg/mine.yaml weights=runs/dota            start from a trained network
    python train_GGHL.py --settings                                 every setting, its default and meaning
    sh train_GGHL_dist.sh cfg/dota.yaml                             on every GPU of the machine

A YAML states what differs from the defaults; settings in the line win over both (docs/settings.md).
Results go to runs/NAME: config.yaml, results.csv, last.pt, best.pt, curves.png, predictions.jpg.
Ctrl-C and SIGTERM save first and say how to go on.
"""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader

from cfg.load import config_text, load_config, load_config_text, save_config
from cfg.schema import Config
from dataloadR.data_hash import data_hash
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import to_device, training_data
from dataloadR.samplers import TrainBatches
from dataloadR.splits import check_objects, check_sizes, load_split
from dataloadR.targets import Grid, build_targets
from evalR.evaluate import EvalResult, class_summary, evaluate, format_table, summary
from evalR.inference import predict_shared
from evalR.report.cells import assigned_cells
from evalR.report.grid import prediction_grid
from modelR.build import build_for_training
from modelR.losses.joint import Losses
from modelR.stepper import Stepper
from utils import distributed
from utils.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from utils.cli import HelpFormatter, parse_words, pick_device, run_script
from utils.environment import environment_text
from utils.errors import UserError
from utils.files import replacing
from utils.interrupts import Interrupted, Interrupts, noting_interrupts
from utils.progress import progress_text, steps_bar
from utils.records import Annotation, Batch
from utils.resume import LAST, Position, check_continuation, find_run, restore, resume_command, run_state
from utils.runlog import RunLog, new_run_folder, save_curves
from utils.seeding import seed_everything

logger = logging.getLogger("train")
DEMO_CONFIG = Path(__file__).parent / "cfg" / "demo.yaml"
RUNS = Path("runs")


class Run(NamedTuple):
    """Everything that one training run moves on."""

    config: Config
    classes: tuple[str, ...]
    folder: Path
    device: torch.device
    stepper: Stepper
    log: RunLog | None  # of the main process
    interrupts: Interrupts


def main(words: Sequence[str]) -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("config", nargs="?", default=DEMO_CONFIG, help="a YAML of cfg/; default: the demo")
    parser.add_argument(
        "--weights", metavar="PATH", help="the same as train.init: a checkpoint to start from"
    )
    arguments, overrides = parse_words(parser, words)
    if arguments.weights:
        overrides.append(f"train.init={arguments.weights}")
    config = load_config(arguments.config, overrides)
    with noting_interrupts() as interrupts:
        try:
            train(config, config.train.name or Path(arguments.config).stem, interrupts)
        finally:
            distributed.leave()


def train(config: Config, name: str, interrupts: Interrupts | None = None) -> EvalResult:
    """Train, evaluate every few epochs, save after each, and return the last evaluation."""
    device = pick_device(distributed.join(config.train.device))
    interrupts = interrupts or Interrupts()  # nobody asks
    if not distributed.is_main():
        logging.getLogger().setLevel(logging.ERROR)  # one process speaks for all
    seed_everything(config.train.seed)
    with distributed.main_first():
        annotations, classes = load_split(config.data, config.data.train, config.data.classes)
    check_objects(annotations, config.data)
    check_sizes(annotations, config.data)
    val_annotations, _ = load_split(config.data, config.data.val, classes)
    recipe = (config.data, config.augment, config.train)
    sampler, batches = training_data(annotations, *recipe, config.assign.min_side, device)
    run, position = start(config, classes, name, device, sampler, interrupts)
    if run.log:
        save_origin(run.folder, config, [*annotations, *val_annotations])
    save(run, position)  # from now on a restart finds this run, not an older one of its name
    try:
        last = run_epochs(run, position, batches, val_annotations)
    except Interrupted as error:
        sys.stderr.write(f"{error}: saved {run.folder / LAST}; to go on:\n{resume_command(run.folder)}\n")
        raise
    finish(run, last)
    return last


def start(
    config: Config,
    classes: tuple[str, ...],
    name: str,
    device: torch.device,
    sampler: TrainBatches,
    interrupts: Interrupts,
) -> tuple[Run, Position]:
    """Build the network and what trains it, in a new folder or as an earlier run left it."""
    main = distributed.is_main()
    resume = config.train.resume or ("auto" if distributed.restarted() else None)
    old = distributed.from_main(find_run(resume, RUNS, name) if resume and main else None)
    folder = old or distributed.from_main(new_run_folder(RUNS, name) if main else RUNS)
    with distributed.main_first():  # one process downloads weights
        model = build_for_training(config.model, config.train, classes, device, resumed=old is not None)
    stepper = Stepper(model, config.train, config.loss, device, sampler.steps_per_epoch)
    position = Position(sums=torch.zeros(len(Losses._fields)))
    if old:
        checkpoint = load_checkpoint(old / LAST)
        position = restore(stepper.parts, checkpoint, old / LAST)
        before = load_config_text(checkpoint["config"], str(old / LAST))
        check_continuation(config.train, before.train, position)
        logger.info("going on in %s at epoch %d, step %d", old, position.epoch + 1, position.done)
    log = RunLog(folder, position.epoch + 1 if old else None) if main else None
    logger.info("%s on %s, %d classes: %s", folder, device, len(classes), ", ".join(classes))
    return Run(config, classes, folder, device, stepper, log, interrupts), position


def save_origin(folder: Path, config: Config, annotations: Sequence[Annotation]) -> None:
    """Write what the run was made of: its settings, and the machine, the code and the data."""
    save_config(config, folder / "config.yaml")
    with replacing(folder / "environment.txt") as path:
        path.write_text(environment_text(data_hash(annotations)), encoding="utf-8")


def run_epochs(
    run: Run, position: Position, batches: "DataLoader[Batch]", annotations: Sequence[Annotation]
) -> EvalResult:
    """Train from the position to the end and return the last evaluation."""
    config = run.config.train
    while True:
        position = train_epoch(run, batches, position)
        save(run, position)  # before the evaluation, which can then be interrupted at any point
        row = epoch_row(run, position)
        over = position.epoch + 1 >= config.epochs
        if over or (position.epoch + 1) % config.eval_every == 0:
            with run.interrupts.at_once():
                last = evaluate_now(run, annotations, position.epoch)
            row |= summary(last, run.config.eval.metric)
            better = not row["AP50"] <= position.best  # NaN, where val has no truth, counts as better
            if better and distributed.is_main():
                save_checkpoint(run.folder / "best.pt", inference_state(run))
            stale = 0 if better else position.stale + 1
            position = position._replace(best=row["AP50"] if better else position.best, stale=stale)
            logger.info("epoch %d: AP50 %.4f, AP75 %.4f", position.epoch + 1, row["AP50"], row["AP75"])
            over |= 0 < config.patience <= stale
            if run.log:
                run.log.scalars(class_summary(last, run.config.eval.metric), position.epoch + 1)
        if run.log:
            run.log.write(row)
        sums = torch.zeros_like(position.sums)
        position = Position(position.epoch + 1, sums=sums, best=position.best, stale=position.stale)
        save(run, position, complete=over)
        if over:
            return last


def train_epoch(run: Run, batches: "DataLoader[Batch]", position: Position) -> Position:
    """Train from the position to the end of its epoch; interrupted, save and raise Interrupted."""
    config = run.config.train
    sampler: TrainBatches = batches.sampler  # type: ignore[assignment]
    sampler.set_epoch(position.epoch, position.done * config.accumulate)
    run.stepper.train_mode()
    rest = iter(batches) if len(sampler) else iter(())
    name, hidden = f"epoch {position.epoch + 1}/{config.epochs}", not distributed.is_main()
    with steps_bar(name, sampler.steps_per_epoch, position.done, hidden) as progress:
        began = time.perf_counter()
        while group := list(islice(rest, config.accumulate)):
            loaded = time.perf_counter()
            position = train_step(run, group, position, batches.dataset.samples)  # type: ignore[attr-defined]
            done = time.perf_counter()
            position = position._replace(
                done=position.done + 1,
                seconds=position.seconds + done - began,
                waited=position.waited + loaded - began,
            )
            began = done
            progress.update()
            text = progress_text(position, config.batch_size, run.device)
            progress.set_postfix_str(text, refresh=False)
            save_if_due(run, position)
    return position


def save_if_due(run: Run, position: Position) -> None:
    """Save every `train.save_every` steps, and when any process was asked to end: then raise Interrupted."""
    stop = distributed.any_rank(run.interrupts.asked > 0, run.device)
    every, step = run.config.train.save_every, run.stepper.scheduler.last_epoch
    if stop or (every and step % every == 0):
        save(run, position)
    if stop:
        raise Interrupted(run.interrupts.asked or signal.SIGTERM)


def train_step(run: Run, group: Sequence[Batch], position: Position, dataset: RotatedDataset) -> Position:
    """Move the weights by one batch, given in micro-batches; pass over one whose loss is not finite.

    Raises:
        UserError: too many such batches in a row.
    """
    moved = [to_device(batch, run.device) for batch in group]
    assign = run.config.assign
    targets = [build_targets(batch.objects, Grid.of(batch.images), assign) for batch in moved]
    if run.log and position.done == 0:
        run.log.image("assigned cells", assigned_cells(group[0], targets[0]), position.epoch + 1)
    losses = run.stepper.step([batch.images for batch in moved], targets)
    if losses is not None:
        return position._replace(sums=position.sums + losses, steps=position.steps + 1, bad_steps=0)
    rows = [int(row) for batch in group for row in batch.indices]
    files = ", ".join(str(dataset.annotations[row].image_path) for row in rows)
    bad, most = position.bad_steps + 1, run.config.train.max_bad_steps
    logger.error(
        "epoch %d, step %d: no finite loss, step left out: %s", position.epoch + 1, position.done, files
    )
    if bad >= most:
        raise UserError(
            f"train.max_bad_steps={most}: so many steps in a row without a finite loss or gradient, the last "
            f"on {files}; try a lower train.lr or train.amp=false"
        )
    return position._replace(bad_steps=bad)


def epoch_row(run: Run, position: Position) -> dict[str, float]:
    """Return the row of results of an epoch: mean losses, learning rate, speed and the share of waiting."""
    means = (position.sums / max(position.steps, 1)).tolist()
    seconds, images = max(position.seconds, 1e-9), position.steps * run.config.train.batch_size
    row = {"epoch": position.epoch + 1, "lr": run.stepper.lr, "images_per_second": images / seconds}
    row |= {"data_wait_share": position.waited / seconds}
    return row | dict(zip(Losses._fields, means, strict=True))


def evaluate_now(run: Run, annotations: Sequence[Annotation], epoch: int) -> EvalResult:
    """Score the averaged weights, each process its share of the images; leave a picture grid."""
    distributed.share_buffers(run.stepper.ema.module)
    detections = predict_shared(run.stepper.ema.module, annotations, run.config, run.device)
    if run.log:
        rows = list(zip(annotations, detections, strict=True))
        threshold = run.config.predict.score_threshold
        sheet = prediction_grid(rows, run.classes, run.folder / "predictions.jpg", threshold)
        run.log.image("predictions", sheet, epoch + 1)
    return evaluate(detections, annotations, run.classes)


def inference_state(run: Run) -> dict[str, Any]:
    """Return what `best.pt` holds: the averaged weights and what is needed to use them."""
    head = {"format": FORMAT, "config": config_text(run.config), "classes": list(run.classes)}
    return head | {"model": run.stepper.ema.module.state_dict()}


def save(run: Run, position: Position, complete: bool = False) -> None:
    """Write `last.pt`: all that is needed to go on as if nothing had happened."""
    state = inference_state(run) | run_state(run.stepper.parts, position) | {"complete": complete}
    if distributed.is_main():
        save_checkpoint(run.folder / LAST, state)


def finish(run: Run, last: EvalResult) -> None:
    """Leave the curves, and say what was reached and where it is."""
    if run.log:
        run.log.close()
        save_curves(run.folder / "results.csv", run.folder / "curves.png")
        sys.stdout.write(format_table(last, run.config.eval.metric) + f"\nresults: {run.folder}\n")


if __name__ == "__main__":
    sys.exit(run_script(main))
