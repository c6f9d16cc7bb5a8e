"""Find objects in images, videos and rasters.

    python predict.py photo.jpg                                    with the newest run's best.pt
    python predict.py folder/ weights=runs/dota/best.pt out=results predict.score_threshold=0.5
    python predict.py 'flights/**/*.tif' clip.mp4 list.txt weights=runs/dota formats=[geojson,csv]
    python predict.py folder/ predict.classes=[ship,plane] data.on_error=skip

SOURCE is an image, a raster, a video, a folder of them, a pattern, or a .txt with one path a line.
formats: any of dota, yolo, coco, csv, geojson, geopackage, pictures, crops (docs/outputs.md); without it
dota (a text file: x1 y1 x2 y2 x3 y3 x4 y4 class score, in pixels) and pictures, and geojson for rasters
that are geo-referenced.  The same call again goes on with what is missing; overwrite=true finds all anew.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from cfg.schema import Config, PredictConfig
from dataloadR.splits import far_larger
from evalR.load import Trained, load_detector, newest_weights
from evalR.outputs.kept import FOLDER, is_newer, keep, kept_path, mark_of, read_kept
from evalR.outputs.video import predict_video
from evalR.outputs.write import (
    DEFAULT,
    check_extras,
    files_of,
    formats_of,
    path_of,
    video_paths,
    write_format,
    write_shared,
)
from evalR.predict import Image, find_in_file, predict_any, predict_split
from evalR.scenes.journal import remove_journal
from evalR.sources import find_sources, is_video, output_names
from utils.cli import HelpFormatter, parse_words, pick_device, run_script, take_options
from utils.errors import Faults, UserError
from utils.extras import find_extra
from utils.georeference import read_geo
from utils.images import ImageError
from utils.rasters import raster_info
from utils.records import Annotation, Detections, SceneDetections

logger = logging.getLogger("predict")
RASTERS = (".tif", ".tiff", ".jp2", ".vrt")
OPTIONS = ("weights", "out", "formats", "overwrite")  # words of this script alone
ONE_LABEL = "eval.multi_label=false"  # second guesses help average precision; people want one answer
CHUNK = 64  # images that are predicted before their outputs are written


class Job(NamedTuple):
    """What is to be done."""

    sources: list[Path]
    names: dict[Path, str]  # of the outputs, without suffix
    out: Path
    overwrite: bool
    trained: Trained

    @property
    def predict(self) -> PredictConfig:
        """Return the settings of what is shown and written."""
        return self.trained.config.predict


def main(words: Sequence[str]) -> None:
    """Predict as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("source", nargs="+", help="image, raster, video, folder, pattern or list of paths")
    parser.add_argument("--weights", help="the same as weights=PATH: best.pt, last.pt or a run's folder")
    parser.add_argument("--out", default="runs/predict", help="the same as out=DIR: folder for the results")
    be_silent()
    arguments, overrides = parse_words(parser, words)
    options, settings = take_options(overrides, OPTIONS)
    if "formats" in options:
        settings.append(f"predict.formats=[{options['formats'].strip('[]')}]")
    sources = find_sources(arguments.source)
    weights = options.get("weights", arguments.weights)
    trained = load_detector(
        Path(weights) if weights else newest_weights(Path("runs")), [ONE_LABEL, *settings], pick_device
    )
    out = Path(options.get("out", arguments.out))
    job = Job(sources, output_names(sources), out, is_true(options.get("overwrite", "false")), trained)
    check_job(job)
    faults = Faults(skip=trained.config.data.on_error == "skip")
    everything: list[SceneDetections] = []
    try:
        for found in tqdm(run(job, faults), "predict", len(sources), unit="file", dynamic_ncols=True):
            everything.append(found)
    finally:  # whatever happens, what was finished stays
        images = [found for found in everything if not is_video(Path(found.source))]
        write_shared(out, images, job.predict.formats, trained.classes)
    faults.report("predict")
    placeless = sum(found.geo is None for found in images)
    if placeless and {"geojson", "geopackage"} & set(job.predict.formats):
        logger.warning(
            "%d of %d images are not geo-referenced: their coordinates are pixels", placeless, len(images)
        )
    report(everything, out)


def be_silent() -> None:
    """Keep libraries from adding lines of their own to what is said about a file."""
    for name in ("pyogrio", "rasterio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def is_true(text: str) -> bool:
    """Return a truth value of the command line."""
    if text.lower() not in ("true", "false"):
        raise UserError(f"overwrite: expected true or false, got {text!r}")
    return text.lower() == "true"


def check_job(job: Job) -> None:
    """Raise a UserError where something cannot be done, or would destroy what is not ours."""
    config, classes = job.predict, job.trained.classes
    unknown = [name for name in config.classes if name not in classes]
    if unknown:
        raise UserError(f"predict.classes: {unknown[0]!r} is none of {', '.join(classes)}")
    check_extras(config.formats)
    inputs = {path.resolve() for path in job.sources}
    is_ours = (job.out / FOLDER).is_dir()
    for path in files_of(job.out, job.names, config.formats or (*DEFAULT, "geojson")):
        if path.resolve() in inputs:
            raise UserError(f"out={job.out}: the results would overwrite {path}; name another folder")
        if not is_ours and path.exists():
            raise UserError(
                f"{path}: is there, and not of predict.py, which would overwrite it; name another out"
            )
    if find_extra("rasterio") is None and any(path.suffix.lower() in RASTERS for path in job.sources):
        logger.warning("no places on the map without rasterio: pip install rasterio (requirements-extra.txt)")
    (job.out / FOLDER).mkdir(parents=True, exist_ok=True)


def run(job: Job, faults: Faults) -> Iterator[SceneDetections]:
    """Yield what is found in each source, its own outputs written; first what an earlier call has found."""
    rest: dict[Path, str] = {}
    for source in job.sources:
        mark = mark_of(source, job.trained.path, job.trained.config)
        kept = None if job.overwrite else read_kept(kept_path(job.out, job.names[source]), mark)
        if kept is None:
            rest[source] = mark
        elif is_video(source):
            yield from run_videos(job, {source: mark}, faults, kept)
        else:
            yield finish(job, source, kept)
    for source, detections in find_in_images(job, [path for path in rest if not is_video(path)], faults):
        keep(kept_path(job.out, job.names[source]), detections, rest[source])
        remove_journal(journal_path(job, source))
        yield finish(job, source, detections)
    yield from run_videos(job, {path: mark for path, mark in rest.items() if is_video(path)}, faults)


def finish(job: Job, source: Path, detections: Detections) -> SceneDetections:
    """Write the outputs of an image that are missing or older than what was kept."""
    name = job.names[source]
    found = SceneDetections(
        str(source), raster_info(source).size, detections, job.trained.classes, read_geo(source)
    )
    for form in formats_of(found, job.predict):
        path = path_of(job.out, name, form)
        if path is None or not is_newer(path, kept_path(job.out, name)):
            write_format(job.out, name, form, found, job.predict)
    return found


def find_in_images(job: Job, paths: Sequence[Path], faults: Faults) -> Iterator[tuple[Path, Detections]]:
    """Yield the images with what is found in them, the small ones in batches; bad ones go to the faults."""
    chunk: list[Path] = []
    for path in paths:
        if is_scene(path, job.trained.config):
            yield from find_in_chunk(job, chunk, faults)
            yield from find_one_by_one(job, [path], faults)
            chunk = []
        else:
            chunk.append(path)
        if len(chunk) == CHUNK:
            yield from find_in_chunk(job, chunk, faults)
            chunk = []
    yield from find_in_chunk(job, chunk, faults)


def is_scene(path: Path, config: Config) -> bool:
    """Say whether an image is cut or its bands are chosen; what cannot be read is not, as its turn shows."""
    predict = config.predict
    if predict.slices or predict.bands or predict.stretch:
        return True
    try:
        return far_larger(raster_info(path).size, config.data)
    except ImageError:
        return False


def find_in_chunk(job: Job, paths: Sequence[Path], faults: Faults) -> Iterator[tuple[Path, Detections]]:
    """Yield small images, predicted in batches, or one by one where a file is bad."""
    if not paths:
        return
    bare = Annotation("", np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int8))
    annotations = [bare._replace(image_path=str(path)) for path in paths]
    trained = job.trained
    try:
        found = predict_split(trained.model, annotations, stopping(trained.config), trained.device)
    except ImageError:
        yield from find_one_by_one(job, paths, faults)
    else:
        yield from zip(paths, (select(detections, trained) for detections in found), strict=True)


def stopping(config: Config) -> Config:
    """Return the settings with which a bad image is an error, not a grey image."""
    return config.model_copy(update={"data": config.data.model_copy(update={"on_error": "stop"})})


def find_one_by_one(job: Job, paths: Sequence[Path], faults: Faults) -> Iterator[tuple[Path, Detections]]:
    """Yield images, each by itself."""
    for path in paths:
        found = faults.attempt(partial(find_in_file, job.trained, path, journal_path(job, path)))
        if found is not None:
            yield path, found.detections


def journal_path(job: Job, source: Path) -> Path:
    """Return where the finished tiles of a large image are kept until what is found in it is."""
    return job.out / f".{job.names[source]}.journal"


def find(image: Image, trained: Trained) -> Detections:
    """Return what is found in an image in memory."""
    return select(predict_any(trained.model, image, trained.config, trained.device), trained)


def select(detections: Detections, trained: Trained) -> Detections:
    """Return what the user wants to see: scores and classes of the configuration."""
    config = trained.config.predict
    keep = detections.scores >= config.score_threshold
    if config.classes:
        wanted = torch.tensor([trained.classes.index(name) for name in config.classes])
        keep &= torch.isin(detections.labels, wanted)
    quads, scores, labels = (field[keep] for field in detections)
    return Detections(quads.double(), scores, labels)


def run_videos(
    job: Job, marks: Mapping[Path, str], faults: Faults, kept: Detections | None = None
) -> Iterator[SceneDetections]:
    """Yield what is found in all frames of each video; one whose outputs are there is not read again."""
    formats = job.predict.formats or DEFAULT
    for source, mark in marks.items():
        name = job.names[source]
        paths, place = video_paths(job.out, name, formats), kept_path(job.out, name)
        if not paths:
            logger.warning("%s: left out, for videos are written as pictures, dota and csv alone", source)
            continue
        if kept is not None and all(is_newer(path, place) for path in paths.values()):
            yield SceneDetections(str(source), (0, 0), kept, job.trained.classes, None)
            continue
        find_in_frame = partial(find, trained=job.trained)
        found = faults.attempt(partial(predict_video, source, paths, find_in_frame, job.trained.classes))
        if found is not None:
            keep(place, found.detections, mark)
            for path in paths.values():
                path.touch()
            yield found


def report(everything: Sequence[SceneDetections], out: Path) -> None:
    """Print how many objects of each class were found."""
    counts = Counter(found.classes[k] for found in everything for k in found.detections.labels.tolist())
    width = max(map(len, counts), default=0)
    lines = [f"{name:<{width}} {count:>8}" for name, count in counts.most_common()]
    what = "files" if any(is_video(Path(found.source)) for found in everything) else "images"
    lines += [f"{counts.total()} objects in {len(everything)} {what}", f"results: {out}"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(run_script(main))
