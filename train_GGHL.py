"""Train GGHL.

    python train_GGHL.py                                            the demo on synthetic scenes
    python train_GGHL.py cfg/dota.yaml data.root=/data/DOTA_800     DOTA
    python train_GGHL.py cfg/dota.yaml model.size=small train.epochs=36
    python train_GGHL.py cfg/dota.yaml cfg/detectors/fcos_r.yaml    another detector
    python train_GGHL.py data.root=mydata                           your data, with the defaults
    python train_GGHL.py cfg/dota.yaml train.resume=auto            go on where the last run was interrupted
    python train_GGHL.py cfg/mine.yaml weights=runs/dota            start from a trained network
    python train_GGHL.py --settings                                 every setting, its default and meaning
    sh train_GGHL_dist.sh cfg/dota.yaml                             on every GPU of the machine

A YAML states what differs from the defaults; settings in the line win over both (docs/settings.md).
Results go to runs/NAME: config.yaml, results.csv, last.pt, best.pt, curves.png, predictions.jpg.
Ctrl-C and SIGTERM save first and say how to go on.
"""

import utils.startup  # noqa: F401

import argparse
import logging
import signal
import sys
import time
from collections.abc import Sequence, Set
from itertools import islice
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader

from cfg.schema import Config
from dataloadR.data_hash import data_hash
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import to_device, training_data
from dataloadR.proposal import propose
from dataloadR.samplers import TrainBatches
from dataloadR.splits import check_objects, check_sizes, load_split, with_training_scale
from evalR.inference.slicing import log_slicing
from evalR.inference.splits import predict_shared
from evalR.inference.thresholds import with_thresholds
from evalR.pictures.cells import assigned_cells, targets_of
from evalR.pictures.grid import prediction_grid
from evalR.scoring.best_f1 import best_thresholds
from evalR.scoring.evaluate import EvalResult, ap_table, class_summary, mean_aps, score_all
from modelR.build import check_buildable
from modelR.training import run as runs
from modelR.training.last_epochs import keep_epoch, write_mean
from utils import distributed
from utils.checkpoint import save_checkpoint
from utils.cli import HelpFormatter, parse_words, pick_device, run_script
from utils.errors import UserError
from utils.images import image_size
from utils.interrupts import Interrupted, Interrupts, noting_interrupts
from utils.progress import progress_text, steps_bar
from utils.records import Annotation, Batch
from utils.resume import LAST, CompleteError, Position, check_data, continued, resume_command
from utils.run_settings import run_settings
from utils.runlog import save_curves
from utils.seeding import seed_everything

logger = logging.getLogger("train")


class Data(NamedTuple):
    """What is learned from, and the settings that follow from it."""

    config: Config
    classes: tuple[str, ...]
    train: Sequence[Annotation]
    val: Sequence[Annotation]


def main(words: Sequence[str]) -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        "config",
        nargs="*",
        help="YAMLs of cfg/ and cfg/detectors/, later ones win; default: the demo, or data.root=...",
    )
    parser.add_argument(
        "--weights", metavar="PATH", help="the same as train.init: a checkpoint to start from"
    )
    arguments, overrides = parse_words(parser, words)
    if arguments.weights:
        overrides.append(f"train.init={arguments.weights}")
    settings = run_settings(arguments.config, overrides, runs.RUNS, distributed.restarted())
    with noting_interrupts() as interrupts:
        try:
            train(settings.config, settings.name, interrupts, settings.said, settings.free)
        except CompleteError as error:
            if not settings.auto:
                raise
            if distributed.is_main():
                sys.stdout.write(f"{error}\n")
        finally:
            distributed.leave()


def train(
    config: Config,
    name: str,
    interrupts: Interrupts | None = None,
    said: Sequence[str] = (),
    free: Set[str] = frozenset(),
) -> EvalResult:
    """Train, evaluate every few epochs, save after each, and return the last evaluation.

    Args:
        name: of the folder in runs/.
        interrupts: who asks for an end; None: nobody.
        said: keys that the command line has set.
        free: keys that nobody has set: see `dataloadR.proposal`.
    """
    device = pick_device(distributed.join(config.train.device))
    if not distributed.is_main():
        logging.getLogger().setLevel(logging.ERROR)  # one process speaks for all
    earlier = runs.find_earlier(config.train.resume, name)
    config = continued(earlier, config) if earlier else config
    check_buildable(config)  # said before data are read
    seed_everything(config.train.seed)
    data = load_data(config, free, device)
    config, origin = data.config, runs.Origin(data_hash([*data.train, *data.val]), tuple(said))
    if earlier:
        check_data(earlier, origin.data_hash, data.classes, config.data.root)
    recipe = (config.data, config.augment, config.train)
    sampler, batches = training_data(data.train, *recipe, config.assign.min_side, device)
    run, position = runs.start(config, data.classes, name, sampler.steps_per_epoch, earlier, device)
    run = run._replace(origin=origin, interrupts=interrupts or runs.NOBODY)
    try:
        if run.log:
            runs.save_origin(run, earlier)
        runs.save(run, position)  # from now on a restart finds this run, not an older one of its name
        last = run_epochs(run, position, batches, data.val)
    except Interrupted as error:
        sys.stderr.write(f"{error}: saved {run.folder / LAST}; to go on:\n{resume_command(run.folder)}\n")
        raise
    except Exception:
        runs.forget_failed_start(run, earlier)
        raise
    report_training(run, last)
    return last


def load_data(config: Config, free: Set[str], device: torch.device) -> Data:
    """Load both splits and check them; the free settings and the training scale follow from them."""
    with distributed.main_first():
        annotations, classes = load_split(config.data, config.data.train, config.data.classes)
    check_objects(annotations, config.data)
    config = propose(config, free, annotations, device.type == "cuda")
    check_sizes(annotations, config.data)
    config = config.model_copy(update={"data": with_training_scale(config.data, annotations)})
    val_annotations, _ = load_split(config.data, config.data.val, classes)
    log_slicing((image_size(annotation.image_path) for annotation in val_annotations), config)
    return Data(config, classes, annotations, val_annotations)


def run_epochs(
    run: runs.Run, position: Position, batches: "DataLoader[Batch]", annotations: Sequence[Annotation]
) -> EvalResult:
    """Train from the position to the end and return the last evaluation."""
    config = run.config.train
    while True:
        position = train_epoch(run, batches, position)
        keep_epoch(run, position)
        runs.save(run, position)  # before the evaluation, which can then be interrupted at any point
        row = epoch_row(run, position)
        runs.log_histograms(run, position.epoch + 1)
        over = position.epoch + 1 >= config.epochs
        if over or (position.epoch + 1) % config.eval_every == 0:
            with run.interrupts.at_once():
                last, thresholds = evaluate_now(run, annotations, position.epoch)
            row |= mean_aps(last, run.config.eval.metric)
            better = not row["AP50"] <= position.best  # NaN, where val has no truth, counts as better
            if better and distributed.is_main():
                save_checkpoint(run.folder / "best.pt", runs.inference_state(run, thresholds))
            stale = 0 if better else position.stale + 1
            best = row["AP50"] if better else position.best
            position = position._replace(best=best, stale=stale, thresholds=thresholds)
            logger.info("epoch %d: AP50 %.4f, AP75 %.4f", position.epoch + 1, row["AP50"], row["AP75"])
            over |= 0 < config.patience <= stale
            if run.log:
                run.log.scalars(class_summary(last, run.config.eval.metric), position.epoch + 1)
        if run.log:
            run.log.write(row)
        if over:
            write_mean(run, position)
        position = runs.next_epoch(position)
        runs.save(run, position, complete=over)
        if over:
            return last


def train_epoch(run: runs.Run, batches: "DataLoader[Batch]", position: Position) -> Position:
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


def save_if_due(run: runs.Run, position: Position) -> None:
    """Save every `train.save_every` steps, and when any process was asked to end: then raise Interrupted."""
    stop = distributed.any_rank(run.interrupts.asked > 0, run.device)
    every, step = run.config.train.save_every, run.stepper.scheduler.last_epoch
    if stop or (every and step % every == 0):
        runs.save(run, position)
    if stop:
        raise Interrupted(run.interrupts.asked or signal.SIGTERM)


def train_step(
    run: runs.Run, group: Sequence[Batch], position: Position, dataset: RotatedDataset
) -> Position:
    """Move the weights by one batch, given in micro-batches; pass over one whose loss is not finite.

    Raises:
        UserError: too many such batches in a row.
    """
    moved = [to_device(batch, run.device) for batch in group]
    if run.log and position.done == 0:
        sheet = assigned_cells(group[0], targets_of(run.stepper.model, moved[0]))
        run.log.image("assigned cells", sheet, position.epoch + 1)
    losses = run.stepper.step(moved)
    if losses is not None:
        sums = {name: position.sums[name] + loss for name, loss in losses.items()}
        return position._replace(sums=sums, steps=position.steps + 1, bad_steps=0)
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


def epoch_row(run: runs.Run, position: Position) -> dict[str, float]:
    """Return the row of results of an epoch: mean losses, learning rate, speed and the share of waiting."""
    means = {name: float(loss / max(position.steps, 1)) for name, loss in position.sums.items()}
    seconds, images = max(position.seconds, 1e-9), position.steps * run.config.train.batch_size
    row = {"epoch": position.epoch + 1, "lr": run.stepper.lr, "images_per_second": images / seconds}
    return row | {"data_wait_share": position.waited / seconds} | means


def evaluate_now(
    run: runs.Run, annotations: Sequence[Annotation], epoch: int
) -> tuple[EvalResult, dict[str, float]]:
    """Score the averaged weights; return thresholds of the best F1 by class, too, and leave pictures."""
    distributed.share_buffers(run.stepper.ema.module)
    detections = predict_shared(run.stepper.ema.module, annotations, run.config, run.device)
    boxes = run.stepper.ema.module.method.is_horizontal
    scored = score_all(detections, annotations, run.classes, boxes=boxes)
    thresholds = best_thresholds(scored)
    if run.log:
        rows = list(zip(annotations, detections, strict=True))
        predict = with_thresholds(run.config.predict, thresholds, run.classes)
        sheet = prediction_grid(rows, run.classes, run.folder / "predictions.jpg", predict.threshold)
        run.log.image("predictions", sheet, epoch + 1)
    return scored.result, thresholds


def report_training(run: runs.Run, last: EvalResult) -> None:
    """Leave the curves, and say what was reached and where it is."""
    if run.log:
        run.log.close()
        save_curves(run.folder / "results.csv", run.folder / "curves.png")
        boxes = run.stepper.ema.module.method.is_horizontal
        sys.stdout.write(ap_table(last, run.config.eval.metric, boxes) + f"\nresults: {run.folder}\n")


if __name__ == "__main__":
    sys.exit(run_script(main))
