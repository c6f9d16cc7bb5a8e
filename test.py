"""Score a trained model, or result files, on a labelled split.

    python test.py                                        the newest run's best.pt on its own data
    python test.py runs/demo/best.pt eval.split=train
    python test.py cfg/dota.yaml weights=runs/dota out=scores data.root=/data/DOTA data.split=val
    python test.py results=DIR data.root=/data/DOTA data.images=val.txt out=scores
    torchrun --standalone --nproc_per_node=2 test.py runs/dota      the same numbers on two GPUs

A model leaves metrics.json, metrics.csv, metrics.txt, speed.json, Task1/ (DOTA result files) and
predictions.jpg in `out`, by default RUN/eval-SPLIT.  A split without labels gets the result files alone.

`results` is a folder of Task1_CLASS.txt or Task2_CLASS.txt, whole images; neither a model nor images are
needed then, and `out` (by default DIR/eval-SPLIT) gets the metrics.  `data.images` is a list of image names,
one a line; without it the images of the split count.  Class names are those of the labels, or `data.classes`.
"""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cfg.load import file_words, load_config
from cfg.schema import Config
from dataloadR.annotations import read_named, read_split, split_is_labelled
from dataloadR.splits import load_split
from evalR.columns import to_found, to_truth
from evalR.dota_results import check_names, write_task1
from evalR.evaluate import BOX_IOU, QUAD_IOU, check_labels, format_table
from evalR.load import Trained, load_detector, newest_weights
from evalR.metrics import SLANTED, Evaluation, measure, write_metrics
from evalR.predict import predict_shared
from evalR.protocol import model_protocol, protocol_of
from evalR.report.grid import prediction_grid
from evalR.result_sets import Results, image_names, read_results
from utils import distributed
from utils.cli import HelpFormatter, parse_words, pick_device, run_script
from utils.errors import UserError
from utils.files import replacing
from utils.records import Annotation, Detections

logger = logging.getLogger("test")
OPTIONS = ("weights", "results", "out", "data.images", "data.split")  # words of this script alone
SECTIONS = ("data", "eval", "predict")  # of a YAML that matter to a trained model


def main(words: Sequence[str]) -> None:
    """Evaluate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        "files",
        nargs="*",
        help="a YAML of cfg/, and best.pt, last.pt or a run's folder; default: the newest run",
    )
    arguments, overrides = parse_words(parser, words)
    options, overrides = take_options(overrides)
    yaml, weights = sort_files(arguments.files)
    if weights:
        options["weights"] = weights
    try:
        if "results" in options:
            score_results(options, load_config(yaml, overrides))
        else:
            score_model(options, [*(file_words(yaml, SECTIONS) if yaml else []), *overrides])
    finally:
        distributed.leave()


def take_options(overrides: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Return the words of this script, and the settings; `data.split` is `eval.split` by another name."""
    pairs = [word.partition("=") for word in overrides]
    options = {key: value for key, _, value in pairs if key in OPTIONS}
    rest = ["=".join((key, value)) for key, _, value in pairs if key not in OPTIONS]
    if "data.split" in options:
        rest.append(f"eval.split={options['data.split']}")
    if "data.images" in options and "results" not in options:
        raise UserError("data.images: expected with results=DIR alone; a model takes the images of a split")
    if "weights" in options and "results" in options:
        raise UserError("weights, results: expected one of the two")
    return options, rest


def sort_files(files: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the YAML and the weights among the words without `=`."""
    yamls = [file for file in files if file.endswith((".yaml", ".yml"))]
    weights = [file for file in files if file not in yamls]
    if len(yamls) > 1 or len(weights) > 1:
        raise UserError(f"expected one YAML and one checkpoint at most, got {' '.join(files)}")
    return (yamls or [None])[0], (weights or [None])[0]


def score_results(options: dict[str, str], config: Config) -> None:
    """Score the result files of a folder."""
    source, data = Path(options["results"]), config.data
    split = data.split(config.eval.split)
    if "data.images" in options:
        names = image_names(Path(options["data.images"]))
        annotations, classes = read_named(data.root, names, split, data.classes)
    else:
        annotations, classes = read_split(data.root, split, data.classes)
        names = [Path(annotation.image_path).stem for annotation in annotations]
    check_names(names, classes)
    truth = to_truth(annotations)
    protocol = protocol_of(truth, len(names), options.get("data.images", split)) | {"results": str(source)}
    evaluation = measure(classes, truth, read_results(source, classes, names), protocol)
    folder = Path(options.get("out", source / f"eval-{Path(split).stem}"))
    write_metrics(folder, evaluation.metrics)
    report(folder, evaluation, config)
    sys.stdout.write(f"results: {folder}\n")


def score_model(options: dict[str, str], overrides: Sequence[str]) -> None:
    """Predict a split, each process its share of the images, and score it."""
    weights = Path(options["weights"]) if "weights" in options else newest_weights(Path("runs"))
    detector = load_detector(weights, overrides, join)
    config = detector.config
    folder = Path(options.get("out", detector.path.parent / f"eval-{Path(config.eval.split).stem}"))
    split = config.data.split(config.eval.split)
    with distributed.main_first():
        annotations, _ = load_split(config.data, split, detector.classes)
    names = [Path(annotation.image_path).stem for annotation in annotations]
    writable = can_be_written(names, detector.classes)
    began = time.perf_counter()
    detections = predict_shared(detector.model, annotations, config, detector.device)
    seconds = time.perf_counter() - began
    if not distributed.is_main():
        return
    if writable:
        write_task1(folder / "Task1", detections, names, detector.classes)
    write_json(folder / "speed.json", speed(len(annotations), seconds, detector.device))
    if split_is_labelled(config.data.root, split):
        score_detections(folder, detector, annotations, detections)
    else:
        sys.stdout.write(f"split {config.eval.split} has no labels: there are result files, but no metrics\n")
    sys.stdout.write(f"results: {folder}\n")


def join(device: str) -> torch.device:
    """Join the other processes, if there are any, and return the device of this one."""
    picked = pick_device(distributed.join(device))
    if not distributed.is_main():
        logging.getLogger().setLevel(logging.ERROR)  # one process speaks for all
    return picked


def can_be_written(names: Sequence[str], classes: Sequence[str]) -> bool:
    """Return whether these names can stand in result files; say it once if not."""
    try:
        check_names(names, classes)
    except UserError as error:
        logger.warning("no Task1 files, for they could not be read again: %s", error)
        return False
    return True


def speed(images: int, seconds: float, device: torch.device) -> dict[str, Any]:
    """Return how fast the images were read and predicted; apart from the metrics, which never vary."""
    return {
        "images": images,
        "seconds": seconds,
        "images_per_second": images / max(seconds, 1e-9),
        "device": device.type,
        "processes": distributed.world_size(),
    }


def score_detections(
    folder: Path, detector: Trained, annotations: Sequence[Annotation], detections: Sequence[Detections]
) -> None:
    """Write and print the metrics of a model, with a picture grid."""
    config = detector.config
    check_labels(detections, annotations, len(detector.classes))
    truth = to_truth(annotations)
    protocol = protocol_of(truth, len(annotations), config.eval.split)
    protocol = model_protocol(protocol, detector.path, config.eval)
    evaluation = measure(detector.classes, truth, Results(to_found(detections), None), protocol)
    write_metrics(folder, evaluation.metrics)
    report(folder, evaluation, config)
    rows = list(zip(annotations, detections, strict=True))
    prediction_grid(rows, detector.classes, folder / "predictions.jpg", config.predict.score_threshold)


def report(folder: Path, evaluation: Evaluation, config: Config) -> None:
    """Print the table of task 1, or of task 2 where there is nothing else, and its means; keep the text."""
    metric = config.eval.metric
    name, scored, overlap = "task1", evaluation.task1, QUAD_IOU
    if scored is None:
        name, scored, overlap = "task2", evaluation.task2, BOX_IOU
    assert scored  # a folder of results has files of one of the two
    values = evaluation.metrics[name]
    lines = [format_table(scored.result, metric, overlap)]
    if values["slanted"]:
        slanted = values["slanted"][metric]["AP50"]["mean"]
        lines.append(f"slanted objects (area ratio <= {SLANTED}): AP50 {number(slanted)}")
    lines += [f"m{column} {number(values[metric][column]['mean'])}" for column in ("AP50:95", "AP50", "AP75")]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    with replacing(folder / "metrics.txt") as temporary:
        temporary.write_text(text, encoding="utf-8")


def number(value: float | None) -> str:
    """Return a figure with three decimals, or nan."""
    return f"{float('nan') if value is None else value:.3f}"


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write plain values."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_script(main))
