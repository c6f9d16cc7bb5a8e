"""Find objects in images.

    python predict.py photo.jpg                                   with the newest run's best.pt
    python predict.py folder/ --weights runs/dota/best.pt predict.score_threshold=0.5
    python predict.py folder/ --out results/ predict.classes=[ship,plane]

Writes for each image an annotated picture and a DOTA text file, one line an object:
x1 y1 x2 y2 x3 y3 x4 y4 class score, in pixels of the image.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from cfg.schema import PredictConfig
from dataloadR.annotations import IMAGE_SUFFIXES, is_image
from evalR.load import Trained, load_detector, newest_weights
from evalR.predict import Image, predict_any
from utils.cli import HelpFormatter, parse_words, pick_device, run_script
from utils.drawing import draw_quads, save_image
from utils.errors import UserError
from utils.files import replacing
from utils.images import read_image
from utils.records import Detections

logger = logging.getLogger("predict")
ONE_LABEL = "eval.multi_label=false"  # second guesses help average precision; people want one answer


def main(words: Sequence[str]) -> None:
    """Predict as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("source", type=Path, help="an image, or a folder of images")
    parser.add_argument(
        "--weights", type=Path, help="best.pt, last.pt or a run's folder; default: the newest run"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/predict"), help="folder for the results")
    arguments, overrides = parse_words(parser, words)
    images = find_images(arguments.source)
    weights = arguments.weights or newest_weights(Path("runs"))
    detector = load_detector(weights, [ONE_LABEL, *overrides], pick_device)
    check_classes(detector)
    found, outputs = 0, output_names(images)
    check_outputs(arguments.out, images, outputs)
    for path in tqdm(images, desc="predict", unit="image", dynamic_ncols=True):
        image = read_image(path)
        detections = select(predict_any(detector.model, image, detector.config, detector.device), detector)
        found += len(detections.scores)
        save_result(arguments.out / outputs[path], image, detections, detector.classes)
    sys.stdout.write(f"{found} objects in {len(images)} images\nresults: {arguments.out}\n")


def find_images(source: Path) -> list[Path]:
    """Return the image files that `source` names.

    Raises:
        UserError: there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"{source}: no such image or folder")
    images = sorted(path for path in source.iterdir() if is_image(path))
    if not images:
        raise UserError(f"{source}: no images in this folder; looked for {', '.join(IMAGE_SUFFIXES)}")
    return images


def check_classes(detector: Trained) -> None:
    """Raise a UserError where `predict.classes` names a class that the model does not know."""
    unknown = [name for name in detector.config.predict.classes if name not in detector.classes]
    if unknown:
        raise UserError(f"predict.classes: {unknown[0]!r} is none of {', '.join(detector.classes)}")


def select(detections: Detections, detector: Trained) -> Detections:
    """Return what the user wants to see: scores and classes of the configuration."""
    config: PredictConfig = detector.config.predict
    keep = detections.scores >= config.score_threshold
    if config.classes:
        wanted = torch.tensor([detector.classes.index(name) for name in config.classes])
        keep &= torch.isin(detections.labels, wanted)
    return Detections(*(field[keep] for field in detections))


def output_names(images: Sequence[Path]) -> dict[Path, str]:
    """Return a name for each image's results: its stem, or its whole name where two images share a stem."""
    stems = Counter(path.stem for path in images)
    return {path: path.stem if stems[path.stem] == 1 else path.name for path in images}


def check_outputs(out: Path, images: Sequence[Path], names: Mapping[Path, str]) -> None:
    """Raise a UserError where a result would take the place of an input image."""
    inputs = {path.resolve() for path in images}
    for name in names.values():
        picture = (out / f"{name}.jpg").resolve()
        if picture in inputs:
            raise UserError(f"--out {out}: the result would overwrite {picture}; name another folder")


def save_result(place: Path, image: Image, detections: Detections, classes: Sequence[str]) -> None:
    """Write PLACE.jpg and PLACE.txt."""
    quads, scores, labels = (field.numpy() for field in detections)
    save_image(place.with_name(f"{place.name}.jpg"), draw_quads(image, quads, labels, classes, scores))
    lines = []
    for quad, score, label in zip(
        quads.reshape(-1, 8).tolist(), scores.tolist(), labels.tolist(), strict=True
    ):
        lines.append(" ".join(f"{value:.2f}" for value in quad) + f" {classes[label]} {score:.4f}\n")
    with replacing(place.with_name(f"{place.name}.txt")) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_script(main))
