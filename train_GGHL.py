"""Train GGHL.

    python train_GGHL.py                                            the demo on synthetic scenes
    python train_GGHL.py cfg/dota.yaml data.root=/data/DOTA_800     DOTA
    python train_GGHL.py cfg/dota.yaml model.size=small train.epochs=36

Every setting, its default and its unit stands in cfg/schema.py; section.key=value overrides it.
Results go to runs/NAME: config.yaml, results.csv, last.pt, best.pt, curves.png, predictions.jpg.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from tqdm import tqdm

from cfg.load import config_text, load_config, save_config
from cfg.schema import Config
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import to_device, train_loader
from dataloadR.samplers import TrainBatches
from dataloadR.splits import check_objects, check_sizes, load_split
from dataloadR.targets import Grid, build_targets
from evalR.evaluate import EvalResult, evaluate, format_table, summary
from evalR.predict import predict_split
from evalR.report.grid import prediction_grid
from modelR.build import build_model
from modelR.gghl import GGHL
from modelR.losses.joint import JointLoss, Losses
from utils.checkpoint import FORMAT, save_checkpoint
from utils.cli import parse_words, pick_device, run_script
from utils.errors import UserError
from utils.optim import ModelEma, build_optimizer, build_scheduler
from utils.precision import half_type, mixed_precision
from utils.records import Annotation, Batch, Detections
from utils.runlog import RunLog, new_run_folder, save_curves
from utils.seeding import seed_everything

logger = logging.getLogger("train")
DEMO_CONFIG = Path(__file__).parent / "cfg" / "demo.yaml"


class Run(NamedTuple):
    """Everything that one training run moves on."""

    config: Config
    classes: tuple[str, ...]
    folder: Path
    device: torch.device
    model: GGHL
    ema: ModelEma
    optimizer: Optimizer
    scheduler: LRScheduler
    scaler: torch.amp.GradScaler
    log: RunLog


def main(words: Sequence[str]) -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "config", nargs="?", default=DEMO_CONFIG, help="a YAML file of cfg/; default: the demo"
    )
    arguments, overrides = parse_words(parser, words)
    config = load_config(arguments.config, overrides)
    train(config, config.train.name or Path(arguments.config).stem)


def train(config: Config, name: str) -> EvalResult:
    """Train, evaluate every few epochs, save after each, and return the last evaluation."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("WORLD_SIZE > 1: this version trains in one process, without torchrun")
    seed_everything(config.train.seed)
    device = pick_device(config.train.device)
    annotations, classes = load_split(config.data, config.data.train, config.data.classes)
    check_objects(annotations, config.data)
    check_sizes(annotations, config.data)
    val_annotations, _ = load_split(config.data, config.data.val, classes)
    sampler = training_order(len(annotations), config)
    dataset = RotatedDataset(annotations, config.augment, config.assign.min_side, config.train.seed)
    batches = train_loader(dataset, sampler, config.data.workers)
    run = start(config, classes, name, device, steps_per_epoch=len(sampler))

    best = -1.0
    for epoch in range(config.train.epochs):
        sampler.set_epoch(epoch)
        row = train_epoch(run, batches, epoch)
        if (epoch + 1) % config.train.eval_every == 0 or epoch + 1 == config.train.epochs:
            detections = predict_split(run.ema.module, val_annotations, config, device)
            result = evaluate(detections, val_annotations, classes)
            row |= summary(result, config.eval.metric)
            if not row["AP50"] <= best:  # NaN, where val has no truth, counts as better
                best = row["AP50"]
                save_checkpoint(run.folder / "best.pt", inference_state(run))
            logger.info("epoch %d: AP50 %.4f, AP75 %.4f", epoch + 1, row["AP50"], row["AP75"])
        run.log.write(row)
        save_checkpoint(run.folder / "last.pt", training_state(run, epoch, best))

    sys.stdout.write(format_table(result, config.eval.metric) + "\n")
    finish(run, val_annotations, detections)
    return result


def training_order(images: int, config: Config) -> TrainBatches:
    """Return the batches of the epochs: shuffled, each of one input size."""
    return TrainBatches(
        count=images,
        batch_size=config.train.batch_size,
        size=config.data.input_size,
        seed=config.train.seed,
        steps=config.augment.multi_scale_steps,
        every=config.augment.multi_scale_every,
    )


def start(
    config: Config, classes: tuple[str, ...], name: str, device: torch.device, steps_per_epoch: int
) -> Run:
    """Build the network and what trains it, and open the run's folder."""
    model = build_model(config.model, len(classes)).to(device, memory_format=torch.channels_last)
    optimizer = build_optimizer(model, config.train)
    folder = new_run_folder(Path("runs"), name)
    save_config(config, folder / "config.yaml")
    logger.info("%s on %s, %d classes: %s", folder, device, len(classes), ", ".join(classes))
    return Run(
        config=config,
        classes=classes,
        folder=folder,
        device=device,
        model=model,
        ema=ModelEma(model, config.train.ema_decay, config.train.ema_tau),
        optimizer=optimizer,
        scheduler=build_scheduler(optimizer, config.train, steps_per_epoch),
        scaler=torch.amp.GradScaler(
            device.type, enabled=config.train.amp and half_type(device) == torch.float16
        ),
        log=RunLog(folder),
    )


def train_epoch(run: Run, batches: "DataLoader[Batch]", epoch: int) -> dict[str, float]:
    """Run one epoch and return its row of results: mean losses, learning rate, images per second."""
    run.model.train()
    criterion = JointLoss(run.config.loss)
    sums = torch.zeros(len(Losses._fields))
    images, began = 0, time.perf_counter()
    epochs = run.config.train.epochs
    progress = tqdm(
        batches, desc=f"epoch {epoch + 1}/{epochs}", unit="batch", dynamic_ncols=True, mininterval=1
    )
    for count, batch in enumerate(progress, start=1):
        losses = train_step(run, criterion, to_device(batch, run.device))
        sums += torch.stack(losses).detach().cpu()
        images += len(batch.frames)
        progress.set_postfix(loss=f"{sums[0].item() / count:.3f}", refresh=False)
    means = dict(zip(Losses._fields, (sums / len(batches)).tolist(), strict=True))
    lr = run.optimizer.param_groups[0]["lr"]
    speed = images / (time.perf_counter() - began)
    return {"epoch": epoch + 1, "lr": lr, "images_per_second": speed} | means


def train_step(run: Run, criterion: JointLoss, batch: Batch) -> Losses:
    """Move the weights by one batch and return its losses."""
    config = run.config
    with mixed_precision(run.device, config.train.amp):
        predictions = run.model(batch.images)
    targets = build_targets(batch.objects, Grid.of(batch.images), config.assign)
    losses = criterion(predictions, targets)
    run.optimizer.zero_grad(set_to_none=True)
    run.scaler.scale(losses.total).backward()
    run.scaler.unscale_(run.optimizer)
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.train.clip_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.scheduler.step()
    run.ema.update_parameters(run.model)
    return losses


def inference_state(run: Run) -> dict[str, Any]:
    """Return what `best.pt` holds: the averaged weights and what is needed to use them."""
    return {
        "format": FORMAT,
        "config": config_text(run.config),
        "classes": list(run.classes),
        "model": run.ema.module.state_dict(),
    }


def training_state(run: Run, epoch: int, best: float) -> dict[str, Any]:
    """Return what `last.pt` holds: the whole run after an epoch."""
    return inference_state(run) | {
        "model": run.model.state_dict(),
        "ema": run.ema.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict(),
        "scaler": run.scaler.state_dict(),
        "epoch": epoch,
        "step": run.scheduler.last_epoch,
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all(),
        "best": best,
    }


def finish(run: Run, annotations: Sequence[Annotation], detections: Sequence[Detections]) -> None:
    """Leave the curves and the picture grid, and say where they are."""
    run.log.close()
    save_curves(run.folder / "results.csv", run.folder / "curves.png")
    rows = list(zip(annotations, detections, strict=True))
    prediction_grid(rows, run.classes, run.folder / "predictions.jpg", run.config.predict.score_threshold)
    sys.stdout.write(f"results: {run.folder}\n")


if __name__ == "__main__":
    sys.exit(run_script(main))
