"""Score a trained model, or result files, on a labelled split.

    python test.py                                        the newest run's best.pt on its own data
    python test.py runs/demo/best.pt eval.split=train
    python test.py cfg/dota.yaml weights=runs/dota out=scores data.root=/data/DOTA data.split=val
    python test.py results=DIR data.root=/data/DOTA data.images=val.txt out=scores
    python test.py compare=runs/a,runs/b data.root=/data/DOTA data.split=val out=a-b
    torchrun --standalone --nproc_per_node=2 test.py runs/dota      the same numbers on two GPUs
    python test.py runs/dota eval.flips=both eval.scales=0.8,1,1.25    test-time augmentation
    python test.py runs/dota eval.turns=0,1 eval.merge=fuse eval.merge_iou=0.55    turned views, averaged
    python test.py runs/dota sweep=0.1,0.2,0.3,0.45,0.6              thresholds of NMS, from one pass
    python test.py runs/dota sweep=score                             thresholds of the score alone

A model leaves metrics.json, metrics.csv, metrics.txt, report/index.html (all figures, curves and pictures of
the worst errors, to be opened in any browser), speed.json, Task1/ (DOTA result files) and predictions.jpg in
`out`, by default RUN/eval-SPLIT.  A split without labels gets the result files alone, and protocol.json.  A
folder holds one evaluation: where eval-SPLIT has another, of other weights or settings, the next goes to
eval-SPLIT-2, and an `out` that has another is refused.

`sweep` adds sweep.csv and sweep.png, and prints what is in them: AP for each NMS IoU (those named, and
eval.nms_iou, which all other files are of), and precision, recall and F1 at scores from 0.05 to 0.95.

`results` is a folder of Task1_CLASS.txt or Task2_CLASS.txt, whole images; neither a model nor images are
needed then, and `out` (by default DIR/eval-SPLIT) gets the metrics and the report, with
pictures where the split has its images.  `data.images` is a list of image names, one a line; without it the
images of the split count.  Class names are those of the labels, or `data.classes`.

`compare` takes two folders: of Task1_CLASS.txt, of an earlier evaluation, or of a run.  Both are scored on
the same labels; `bootstrap` resamples of the images (1000) say how much of the difference may be chance.
What metrics.json beside both says alike need not be given.  `out` (by default B/compare) gets compare.json,
compare.csv and compare.html.
"""

import utils.startup  # noqa: F401

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cfg.load import file_words, load_config
from cfg.schema import Config
from dataloadR.annotations import split_is_labelled
from dataloadR.splits import load_split
from evalR.inference.exported import check_sweep
from evalR.inference.load import DETECTOR, Trained, join_device, load_detector, newest_weights
from evalR.inference.predictor import Predictor
from evalR.inference.slicing import log_slicing
from evalR.inference.splits import predict_settings
from evalR.inference.stopwatch import Stopwatch, write_speed
from evalR.pictures.grid import prediction_grid
from evalR.report.comparison import comparison_table, write_comparison
from evalR.report.console import write_metrics_text
from evalR.report.page import PAGE, write_report
from evalR.scoring.columns import to_found, to_truth
from evalR.scoring.compare import compare, find_sides, known_data, named_sides, resampling
from evalR.scoring.dota_results import can_be_written, write_task1
from evalR.scoring.evaluate import check_labels
from evalR.scoring.folders import COMPARISON, evaluation_folder
from evalR.scoring.metrics import Evaluation, measure, write_metrics
from evalR.scoring.protocol import model_protocol, named_data, protocol_of, results_protocol
from evalR.scoring.result_sets import Results, read_labels, read_results, split_of_images
from evalR.scoring.sweep import SCORE_ALONE, Swept, parse_sweep, score_sweep, write_sweep
from utils import distributed
from utils.cli import HelpFormatter, parse_words, run_script
from utils.errors import UserError
from utils.files import check_folder, write_json
from utils.images import image_size
from utils.records import Annotation, Detections

SOURCES = ("weights", "results", "compare")  # what is scored: one of them
OPTIONS = {  # words of this script alone
    "weights": "best.pt, last.pt or a run's folder; the same as the plain word",
    "results": "a folder of result files to score instead",
    "compare": "two folders, A,B, to set side by side",
    "sweep": "IoU thresholds of NMS, 0.1,0.2, or score",
    "bootstrap": "resamples of the images for compare; default: 1000",
    "out": "folder for what is written",
    "data.images": "a list of image names, for results and compare",
    "data.split": "the same as eval.split",
}
MOST_DRAWS = 1_000_000  # hours
SECTIONS = ("data", "eval", "predict")  # of a YAML that matter to a trained model


def main(words: Sequence[str]) -> None:
    """Evaluate as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument(
        "files",
        nargs="*",
        help="a YAML of cfg/, and best.pt, last.pt or a run's folder; default: the newest run",
    )
    for name, text in OPTIONS.items():
        parser.add_argument(f"--{name}", metavar="X", help=text)
    arguments, overrides = parse_words(parser, words)
    options = {key: value for key, value in vars(arguments).items() if key in OPTIONS and value is not None}
    overrides += split_setting(options, overrides)
    yaml, weights = sort_files(arguments.files)
    check_options(options, weights)
    if weights:
        options["weights"] = weights
    try:
        if "compare" in options:
            compare_results(options, [*file_words(yaml, SECTIONS), *overrides])
        elif "results" in options:
            score_results(options, load_config(yaml, overrides))
        else:
            detector = [word for word in file_words(yaml, ("model",)) if word.startswith(f"{DETECTOR}=")]
            score_model(options, [*file_words(yaml, SECTIONS), *detector, *overrides])
    finally:
        distributed.leave()


def split_setting(options: dict[str, str], overrides: Sequence[str]) -> list[str]:
    """Return `data.split` as the setting that it means, `eval.split`; a UserError if an option is empty."""
    empty = [key for key, value in options.items() if not value]
    if empty:
        raise UserError(f"{empty[0]}=: expected a value, got nothing")
    if "data.split" not in options:
        return []
    if any(word.startswith("eval.split=") for word in overrides):
        raise UserError("data.split, eval.split: expected one of them, they mean the same")
    return [f"eval.split={options['data.split']}"]


def sort_files(files: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the YAML and the weights among the words without `=`."""
    yamls = [file for file in files if file.endswith((".yaml", ".yml"))]
    weights = [file for file in files if file not in yamls]
    if len(yamls) > 1 or len(weights) > 1:
        raise UserError(f"expected one YAML and one checkpoint at most, got {' '.join(files)}")
    return next(iter(yamls), None), next(iter(weights), None)


def check_options(options: dict[str, str], weights: str | None) -> None:
    """Raise a UserError where options do not go together, before anything is read.

    Args:
        weights: the checkpoint without `weights=`.
    """
    sources = [f"checkpoint {weights}"] * bool(weights) + [key for key in SOURCES if key in options]
    if len(sources) > 1:
        raise UserError(f"{', '.join(sources)}: expected one of them")
    source = sources[0] if sources and not weights else "weights"
    if "data.images" in options and source == "weights":
        raise UserError("data.images: expected with results or compare; a model takes the images of a split")
    if "bootstrap" in options and source != "compare":
        raise UserError("bootstrap: expected with compare")
    if "sweep" in options and source == "compare":
        raise UserError("sweep: expected with a model or results")
    if parse_sweep(options.get("sweep", SCORE_ALONE)) and source == "results":
        raise UserError(
            f"sweep={options['sweep']}: result files are suppressed already, expected sweep=score"
        )


def out_folder(options: dict[str, str], default: Path) -> Path:
    """Return where everything goes; a UserError, before the work, if that cannot be written."""
    folder = Path(options.get("out", default))
    check_folder(folder, "out")
    return folder


def score_results(options: dict[str, str], config: Config) -> None:
    """Score the result files of a folder."""
    source, split = Path(options["results"]), config.data.split(config.eval.split)
    images = options.get("data.images")
    split = split_of_images(config.data.root, split, images)
    wanted = out_folder(options, source / f"eval-{Path(split).stem}")
    labels = read_labels(config.data, split, images)
    truth, names, classes = labels.truth, labels.names, labels.classes
    protocol = protocol_of(truth, names, named_data(config.data, split, images), classes)
    protocol = results_protocol(protocol, source, config)
    results = read_results(source, classes, names)
    with evaluation_folder(wanted, protocol, "out" in options) as (folder, draft):
        evaluation = measure(classes, truth, results, protocol)
        write_metrics(draft, evaluation.metrics)
        sys.stdout.write(write_metrics_text(draft, evaluation, config.eval.metric))
        scored = evaluation.task1 or evaluation.task2
        if "sweep" in options and scored:
            sys.stdout.write(write_sweep(draft, [Swept(None, scored)], config.eval.metric))
        write_report(draft, evaluation, labels.annotations, config.eval.metric)
    sys.stdout.write(f"results: {folder}\nreport: {folder / PAGE}\n")


def compare_results(options: dict[str, str], words: Sequence[str]) -> None:
    """Score two folders of result files on the same labels and say how far the difference can be trusted."""
    draws = options.get("bootstrap", "1000")
    if not draws.isdecimal() or not 0 < int(draws) <= MOST_DRAWS:
        raise UserError(f"bootstrap: expected a whole number from 1 to {MOST_DRAWS}, got {draws!r}")
    sides = find_sides(options["compare"], Path(load_config(None, words).eval.split).stem)
    wanted = out_folder(options, Path(sides[1].word) / "compare")
    known, images = known_data(sides, words)
    config = load_config(None, [*known, *words])
    data, split = config.data, config.data.split(config.eval.split)
    images = options.get("data.images", images)
    split = split_of_images(data.root, split, images)
    labels = read_labels(data, split, images)
    protocol = protocol_of(labels.truth, labels.names, named_data(data, split, images), labels.classes)
    protocol |= resampling(config.eval.metric, int(draws), config.train.seed) | named_sides(sides)
    with evaluation_folder(wanted, protocol, "out" in options, COMPARISON) as (folder, draft):
        comparison = compare(sides, labels, config.eval.metric, int(draws), config.train.seed)
        write_comparison(draft, comparison, protocol)
    sys.stdout.write(comparison_table(comparison, protocol) + f"results: {folder}\n")


def score_model(options: dict[str, str], overrides: Sequence[str]) -> None:
    """Predict a split, each process its share of the images, and score it."""
    weights = Path(options["weights"]) if "weights" in options else newest_weights(Path("runs"))
    detector = load_detector(weights, overrides, join_device)
    config = detector.config
    wanted = out_folder(options, detector.path.parent / f"eval-{Path(config.eval.split).stem}")
    split = config.data.split(config.eval.split)
    with distributed.main_first():
        annotations, _ = load_split(config.data, split, detector.classes)
    names = [Path(annotation.image_path).stem for annotation in annotations]
    writable = can_be_written(names, detector.classes)
    labelled = split_is_labelled(config.data.root, split)
    if "sweep" in options and not labelled:
        raise UserError(f"sweep: expected a split with labels, {config.eval.split} has none")
    ious = tuple(x for x in parse_sweep(options.get("sweep", SCORE_ALONE)) if x != config.eval.nms_iou)
    check_sweep(detector.model, ious)
    protocol = recorded(detector, annotations, names)
    with evaluation_folder(wanted, protocol, "out" in options) as (folder, draft):
        watch, began = Stopwatch(detector.device), time.perf_counter()
        predictor = Predictor(detector.model, config, detector.device, ious, watch)
        detections, *others = predict_settings(predictor, annotations)
        seconds = time.perf_counter() - began
        if not distributed.is_main():
            return
        if writable:
            write_task1(draft / "Task1", detections, names, detector.classes)
        pace = write_speed(draft, len(annotations), seconds, watch)
        if labelled:
            evaluation = score_detections(draft, detector, annotations, detections, protocol)
            if "sweep" in options and evaluation.task1:
                own = Swept(config.eval.nms_iou, evaluation.task1)
                swept = score_sweep(own, dict(zip(ious, others, strict=True)))
                sys.stdout.write(write_sweep(draft, swept, config.eval.metric))
            write_report(draft, evaluation, annotations, config.eval.metric, pace)
        else:
            write_unlabelled(draft, config.eval.split, protocol, writable)
    sys.stdout.write(f"results: {folder}\n" + (f"report: {folder / PAGE}\n" if labelled else ""))


def recorded(detector: Trained, annotations: Sequence[Annotation], names: Sequence[str]) -> dict[str, Any]:
    """Return how the figures are made, and say how the images are shown."""
    data = named_data(detector.config.data, detector.config.data.split(detector.config.eval.split))
    protocol = protocol_of(to_truth(annotations), names, data, detector.classes)
    sizes = (image_size(annotation.image_path) for annotation in annotations)
    plan = {"slicing": log_slicing(sizes, detector.config)}
    return model_protocol(protocol, detector.config, detector.device, detector.path, plan)


def write_unlabelled(folder: Path, split: str, protocol: dict[str, Any], writable: bool) -> None:
    """Write how the result files were made, and say that there is nothing else."""
    write_json(folder / "protocol.json", {"protocol": protocol}, indent=1)
    left = "result files, but no metrics" if writable else "neither metrics nor result files"
    sys.stdout.write(f"split {split} has no labels: there are {left}\n")


def score_detections(
    folder: Path,
    detector: Trained,
    annotations: Sequence[Annotation],
    detections: Sequence[Detections],
    protocol: dict[str, Any],
) -> Evaluation:
    """Write, print and return the metrics of a model, with a picture grid."""
    config = detector.config
    check_labels(detections, annotations, len(detector.classes))
    truth = to_truth(annotations)
    evaluation = measure(detector.classes, truth, Results(to_found(detections), None), protocol)
    write_metrics(folder, evaluation.metrics)
    is_horizontal = detector.model.method.is_horizontal
    sys.stdout.write(write_metrics_text(folder, evaluation, config.eval.metric, is_horizontal))
    rows = list(zip(annotations, detections, strict=True))
    prediction_grid(rows, detector.classes, folder / "predictions.jpg", config.predict.threshold)
    return evaluation


if __name__ == "__main__":
    sys.exit(run_script(main))
