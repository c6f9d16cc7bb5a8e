"""Score a trained model on a labelled split.

    python test.py                                        the newest run's best.pt on its own data
    python test.py runs/demo/best.pt eval.split=train
    python test.py runs/dota/best.pt data.root=/data/DOTA_800 eval.metric=voc07

Leaves metrics.json, metrics.txt, Task1/ (DOTA result files) and predictions.jpg in RUN/eval-SPLIT.
A split without labels gets the result files alone.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from cfg.schema import Config
from dataloadR.annotations import split_is_labelled
from dataloadR.splits import load_split
from evalR.dota_results import check_names, write_task1
from evalR.evaluate import evaluate, format_table, summary, to_dict
from evalR.load import Detector, load_detector, newest_weights
from evalR.predict import predict_split
from evalR.report.grid import prediction_grid
from utils.cli import HelpFormatter, parse_words, pick_device, run_script
from utils.errors import UserError
from utils.files import replacing
from utils.records import Annotation, Detections

logger = logging.getLogger("test")
SLANTED = 0.9  # area ratio: objects above it are read as horizontal boxes, those below need their quad


def main(words: Sequence[str]) -> None:
    """Evaluate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        "weights", nargs="?", help="best.pt, last.pt or a run's folder; default: the newest run"
    )
    arguments, overrides = parse_words(parser, words)
    weights = newest_weights(Path("runs")) if arguments.weights is None else Path(arguments.weights)
    detector = load_detector(weights, overrides, pick_device)
    config = detector.config
    folder = detector.path.parent / f"eval-{Path(config.eval.split).stem}"
    split = config.data.split(config.eval.split)
    annotations, _ = load_split(config.data, split, detector.classes)
    names = [Path(annotation.image_path).stem for annotation in annotations]
    writable = can_be_written(names, detector.classes)
    detections = predict_split(detector.model, annotations, config, detector.device)
    if writable:
        write_task1(folder / "Task1", detections, names, detector.classes)
    if split_is_labelled(config.data.root, split):
        report(folder, detector, annotations, detections)
    else:
        sys.stdout.write(f"split {config.eval.split} has no labels: there are result files, but no metrics\n")
    sys.stdout.write(f"results: {folder}\n")


def can_be_written(names: Sequence[str], classes: Sequence[str]) -> bool:
    """Return whether these names can stand in result files; say it once if not."""
    try:
        check_names(names, classes)
    except UserError as error:
        logger.warning("no Task1 files, for they could not be read again: %s", error)
        return False
    return True


def report(
    folder: Path, detector: Detector, annotations: Sequence[Annotation], detections: Sequence[Detections]
) -> None:
    """Print the metrics and write them with a picture grid."""
    config: Config = detector.config
    metric = config.eval.metric
    result = evaluate(detections, annotations, detector.classes)
    slanted = evaluate(detections, annotations, detector.classes, max_area_ratio=SLANTED)
    means, slanted_means = summary(result, metric), summary(slanted, metric)
    table = format_table(result, metric)
    lines = [
        table,
        f"slanted objects (area ratio <= {SLANTED}): AP50 {slanted_means['AP50']:.3f}",
        f"mAP50:95 {means['AP50:95']:.3f}",
        f"mAP50 {means['AP50']:.3f}",
        f"mAP75 {means['AP75']:.3f}",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    numbers = {"weights": str(detector.path), "split": config.eval.split}
    numbers |= {"all": to_dict(result), "slanted": to_dict(slanted)}
    for name, text in (
        ("metrics.json", json.dumps(numbers, indent=1)),
        ("metrics.txt", "\n".join(lines) + "\n"),
    ):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    rows = list(zip(annotations, detections, strict=True))
    prediction_grid(rows, detector.classes, folder / "predictions.jpg", config.predict.score_threshold)


if __name__ == "__main__":
    sys.exit(run_script(main))
