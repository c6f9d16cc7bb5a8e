"""Prediction of one image or raster of any size, and what of it is shown."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cfg.schema import Config
from evalR.inference.load import Trained
from evalR.inference.predictor import Predictor
from evalR.inference.scenes.engine import find_in_scene
from evalR.inference.scenes.journal import Journal, scene_meaning
from evalR.inference.slicing import check_pixels, whole_scale
from evalR.inference.splits import predict_image
from utils.arrays import U8
from utils.errors import UserError
from utils.image_arrays import IN_MEMORY, checked_image
from utils.images import ImageError
from utils.rasters import Raster, array_raster
from utils.records import Detections, SceneDetections
from utils.scene_rasters import Reading, open_scene
from utils.thresholds import least_scores, reaches
from utils.tiles import Window

ONE_LABEL = "eval.multi_label=false"  # second guesses help average precision; people want one answer


def find_in_source(
    trained: Trained, source: str | Path | U8, journal: Path | None = None, shared: bool = False
) -> SceneDetections:
    """Return what is in an image file, a raster or an image in memory; see `evalR.inference.detector`."""
    if isinstance(source, np.ndarray):
        return _find(trained, array_raster(checked_image(source)), IN_MEMORY, None, shared)
    if not isinstance(source, str | Path):
        raise ImageError(f"expected a path or an image (H, W, 3) uint8 of numpy, got {type(source).__name__}")
    quiet = trained.config.predict.quiet
    with open_scene(source, reading_of(trained.config), warn=not quiet) as raster:
        seen = trained._replace(config=scene_config(trained))
        kept = Journal(journal, scene_meaning(Path(source), seen), quiet) if journal else None
        return _find(trained, raster, str(source), kept, shared)


def _find(
    trained: Trained, raster: Raster, name: str, journal: Journal | None, shared: bool
) -> SceneDetections:
    model, config, device = trained.model, trained.config, trained.device
    check_pixels(raster.size, config, name)
    if whole_scale(raster.size, config) is None:
        predictor = Predictor(model, scene_config(trained), device, peak=trained.peak)
        (found,) = find_in_scene(predictor, raster, journal, shared, trained.count_tiles)
    else:
        height, width = raster.size
        found = predict_image(model, raster.read(Window(0, 0, width, height)), config, device)
    return SceneDetections(name, raster.size, above_threshold(found, trained), trained.classes, raster.geo)


def scene_config(trained: Trained) -> Config:
    """Return the settings with which scenes are looked at: from the lowest threshold that is shown.

    What would not be shown never suppresses what is.
    """
    config = trained.config
    least = least_scores(config.predict.threshold, trained.classes)[chosen_labels(trained).numpy()].min()
    wanted = config.eval.model_copy(update={"score_threshold": float(least)})
    return config.model_copy(update={"eval": wanted})


def reading_of(config: Config) -> Reading:
    """Return how the settings want rasters to be read."""
    return Reading.of(config.predict)


def above_threshold(found: Detections, trained: Trained) -> Detections:
    """Return the detections that `predict.score_threshold` and `predict.classes` leave, in float64."""
    wanted = torch.isin(found.labels, chosen_labels(trained))
    least = least_scores(trained.config.predict.threshold, trained.classes)
    keep = wanted & torch.from_numpy(reaches(found.scores.numpy(), found.labels.numpy(), least))
    if trained.peak:
        trained.peak.note(max(found.scores[wanted & ~keep].tolist(), default=0.0))
    quads, scores, labels = (field[keep] for field in found)
    return Detections(quads.double(), scores, labels)


def chosen_labels(trained: Trained) -> Tensor:
    """Return the labels (N,) of the classes that `predict.classes` asks for.

    Raises:
        UserError: the model does not know one of them.
    """
    wanted = trained.config.predict.classes or trained.classes
    unknown = [name for name in wanted if name not in trained.classes]
    if unknown:
        raise UserError(f"predict.classes: {unknown[0]!r} is none of {', '.join(trained.classes)}")
    return torch.tensor([trained.classes.index(name) for name in wanted])
