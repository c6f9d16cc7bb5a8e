"""Find objects in images, videos and rasters.

    python predict.py photo.jpg                                    with the newest run's best.pt
    python predict.py folder/ weights=runs/dota/best.pt out=results predict.score_threshold=0.5
    python predict.py 'flights/**/*.tif' clip.mp4 list.txt weights=runs/dota formats=geojson,csv
    python predict.py folder/ predict.classes=ship,plane data.on_error=skip

SOURCE is an image, a raster, a video, a folder of them, a pattern, or a .txt with one path a line.
formats: any of dota, yolo, coco, csv, geojson, geopackage, pictures, crops (docs/outputs.md); without it
dota (a text file: x1 y1 x2 y2 x3 y3 x4 y4 class score, in pixels) and pictures, and geojson for rasters
that are geo-referenced.  The same call again goes on with what is missing, inside a large image as well;
overwrite=true finds all anew.  Large images are cut into tiles (docs/prediction.md).  With torchrun several
processes share tiles and images:

    torchrun --standalone --nproc_per_node=2 predict.py scene.tif weights=runs/dota
"""

import utils.startup  # noqa: F401

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
from tqdm.contrib.logging import logging_redirect_tqdm

from cfg.schema import PredictConfig
from evalR.inference.load import Trained, join_device, load_detector, newest_weights
from evalR.inference.many import RASTERS, find_in_images
from evalR.inference.predict import ONE_LABEL, chosen_labels, find_in_source
from evalR.inference.scenes.journal import remove_journal
from evalR.inference.slicing import log_slicing
from evalR.inference.sources import count_tiles, find_sources, is_video, known_sizes, output_names
from evalR.outputs.earlier import earlier_line
from evalR.outputs.kept import FOLDER, is_newer, keep, kept_path, mark_of, read_kept
from evalR.outputs.pictures import class_legend
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
from utils import distributed
from utils.arrays import U8
from utils.cli import HelpFormatter, parse_words, run_script
from utils.counts import counted
from utils.errors import Faults, UserError
from utils.extras import find_extra
from utils.georeference import read_geo
from utils.notices import saying_few
from utils.progress import ProgressBar, units_bar
from utils.raster_files import Access
from utils.rasters import raster_info
from utils.records import Detections, SceneDetections
from utils.thresholds import threshold_text

logger = logging.getLogger("predict")


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

    def journal_of(self, source: Path) -> Path:
        """Return where the finished tiles of a large image are kept."""
        return self.out / FOLDER / f"{self.names[source]}.journal"


def main(words: Sequence[str]) -> None:
    """Predict as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("source", nargs="+", help="image, raster, video, folder, pattern or list of paths")
    add = parser.add_argument
    add("--weights", metavar="PATH", help="best.pt, last.pt or a run's folder; default: the newest run")
    add("--out", metavar="DIR", default="runs/predict", help="folder for the results; default: runs/predict")
    add("--formats", metavar="A,B", help="what is written, the same as predict.formats")
    add("--overwrite", action="store_true", help="find everything anew")
    be_silent()
    arguments, settings = parse_words(parser, words)
    if arguments.formats is not None:
        settings.append(f"predict.formats={arguments.formats}")
    sources = find_sources(arguments.source)
    weights = Path(arguments.weights) if arguments.weights else newest_weights(Path("runs"))
    trained = load_detector(weights, [ONE_LABEL, *settings], join_device)
    if trained.config.predict.quiet:
        logging.getLogger().setLevel(logging.ERROR)
    out = Path(results_folder(arguments.out))
    job = Job(sources, output_names(sources), out, arguments.overwrite, trained)
    try:
        check_job(job)
        # lines of the log above the progress bars, not behind them
        with saying_few("utils.scene_rasters"), logging_redirect_tqdm():
            everything = predict(job)
        if distributed.is_main():
            report(everything, job)
    finally:
        distributed.leave()


def predict(job: Job) -> list[SceneDetections]:
    """Return what is found in each source, all outputs written; the processes of a launch share the work."""
    skip = job.trained.config.data.on_error == "skip"
    faults = Faults(skip=skip and not distributed.launched())  # who skips alone leaves the others waiting
    everything: list[SceneDetections] = []
    hidden = job.predict.quiet or not distributed.is_main()
    bar = units_bar("predict", len(job.sources), "file", hidden)
    try:
        with bar as progress:
            for found in run(job, faults, progress):
                everything.append(found)  # one by one: what is there when something fails counts
    finally:  # whatever happens, what was finished stays
        images = [found for found in everything if not is_video(Path(found.source))]
        if distributed.is_main():
            write_shared(job.out, images, job.predict.formats, job.trained.classes)
    faults.report("predict")
    if distributed.is_main():
        line = earlier_line(job.out, [name for path, name in job.names.items() if not is_video(path)])
        if line:
            logger.warning("%s", line)
    placeless = sum(found.geo is None for found in images)
    if placeless and {"geojson", "geopackage"} & set(job.predict.formats):
        logger.warning(
            "%d of %d images are not geo-referenced: their coordinates are pixels", placeless, len(images)
        )
    return everything


def be_silent() -> None:
    """Keep libraries from adding lines of their own to what is said about a file."""
    for name in ("pyogrio", "rasterio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # nothing; of FFmpeg, which writes past the log
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def results_folder(text: str) -> str:
    """Return the folder of the results; nothing would be the working folder, with all that lies there."""
    if not text.strip():
        raise UserError("out: expected a folder for the results, got nothing")
    return text


def check_job(job: Job) -> None:
    """Raise a UserError where something cannot be done, or would destroy what is not ours."""
    config = job.predict
    chosen_labels(job.trained)
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


def run(job: Job, faults: Faults, progress: ProgressBar) -> Iterator[SceneDetections]:
    """Yield what is found in each source, its own outputs written; first what an earlier call has found.

    Of several processes the first alone writes, and looks at videos.

    Args:
        progress: a bar over the sources; over tiles, from when it is known that some will be cut.
    """
    is_main = distributed.is_main()
    marks = {source: mark_of(source, job.trained.path, job.trained.config) for source in job.sources}
    kept = {source: kept_of(job, source, marks[source]) for source in job.sources}
    if is_main:
        for source, found in kept.items():
            if job.overwrite:
                remove_journal(job.journal_of(source))
            if found is not None and not is_video(source):
                yield finish(job, source, found)
                progress.update()
    distributed.gather(None)  # nobody begins before the journals are gone
    images = [source for source in job.sources if kept[source] is None and not is_video(source)]
    sizes = known_sizes(images, Access.of(job.predict), job.predict.quiet) if is_main else {}
    log_slicing(sizes.values(), job.trained.config)
    cut = count_tiles(progress, sizes, job.trained.config)
    trained = job.trained._replace(count_tiles=progress.update)
    for source, scene in find_in_images(trained, images, faults, job.journal_of, distributed.launched()):
        progress.update(source not in cut)
        if is_main and isinstance(source, Path):
            keep(kept_path(job.out, job.names[source]), scene.detections, marks[source])
            remove_journal(job.journal_of(source))
            yield finish(job, source, scene.detections)
    share_peak(job.trained)
    for source in filter(is_video, job.sources if is_main else ()):
        yield from run_video(job, source, marks[source], faults, kept[source])
        progress.update()


def share_peak(trained: Trained) -> None:
    """Let every process know the highest score that any has not shown."""
    if trained.peak:
        for score in distributed.gather(trained.peak.score):
            trained.peak.note(score)


def kept_of(job: Job, source: Path, mark: str) -> Detections | None:
    """Return what an earlier call has found in a source, with the same settings."""
    return None if job.overwrite else read_kept(kept_path(job.out, job.names[source]), mark)


def finish(job: Job, source: Path, detections: Detections) -> SceneDetections:
    """Write the outputs of an image that are missing or older than what was kept."""
    name, access = job.names[source], Access.of(job.predict)
    size, geo = raster_info(source, access).size, read_geo(source, access)
    found = SceneDetections(str(source), size, detections, job.trained.classes, geo)
    for form in formats_of(found, job.predict):
        path = path_of(job.out, name, form)
        if path is None or not is_newer(path, kept_path(job.out, name)):
            write_format(job.out, name, form, found, job.predict)
    return found


def find_in_frame_of(trained: Trained, image: U8) -> Detections:
    """Return what is found in an image in memory."""
    return find_in_source(trained, image).detections


def run_video(
    job: Job, source: Path, mark: str, faults: Faults, kept: Detections | None
) -> Iterator[SceneDetections]:
    """Yield what is found in all frames of a video; one whose outputs are there is not read again."""
    name = job.names[source]
    paths = video_paths(job.out, name, job.predict.formats or DEFAULT)
    place = kept_path(job.out, name)
    if not paths:
        logger.warning("%s: left out, for videos are written as pictures, dota and csv alone", source)
    elif kept is not None and all(is_newer(path, place) for path in paths.values()):
        yield SceneDetections(str(source), (0, 0), kept, job.trained.classes, None)
    else:
        find_in_frame = partial(find_in_frame_of, job.trained)
        classes, config = job.trained.classes, job.predict
        legend = class_legend(classes, config.classes, config.threshold)
        found = faults.attempt(
            partial(predict_video, source, paths, find_in_frame, classes, legend, quiet=config.quiet)
        )
        if found is not None:
            keep(place, found.detections, mark)
            for path in paths.values():
                path.touch()
            yield found


def report(everything: Sequence[SceneDetections], job: Job) -> None:
    """Print how many objects of each class were found, or what was nearest to being one."""
    counts = Counter(found.classes[k] for found in everything for k in found.detections.labels.tolist())
    width = max(map(len, counts), default=0)
    lines = [f"{name:<{width}} {count:>8}" for name, count in counts.most_common()]
    what = "file" if any(is_video(Path(found.source)) for found in everything) else "image"
    lines += [f"{counted(counts.total(), 'object')} in {counted(len(everything), what)}"]
    lines += [nothing_found(job.trained)] * (not counts and len(everything) > 0)
    lines += [f"results: {job.out}"]
    sys.stdout.write("\n".join(lines) + "\n")


def nothing_found(trained: Trained) -> str:
    """Return what the thresholds are, and the highest score that stayed below."""
    threshold = threshold_text(trained.config.predict.threshold)
    peak = trained.peak.score if trained.peak else 0.0
    best = f"the highest score is {peak:.3f}" if peak else "no score is known: overwrite=true finds all anew"
    return f"shown is {threshold} (predict.score_threshold); {best}"


if __name__ == "__main__":
    sys.exit(run_script(main))
