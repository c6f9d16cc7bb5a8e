"""The detector as a Python call: an image or raster of any size goes in, quads come out."""

from collections import Counter
from importlib import import_module
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfg.schema import Config
from evalR.inference import Image, predict_image
from evalR.load import Trained, load_detector
from evalR.predictor import Predictor
from evalR.scenes.engine import find_in_scene
from evalR.scenes.journal import Journal, scene_meaning
from evalR.slicing import whole_scale
from utils.cli import pick_device
from utils.errors import UserError
from utils.images import ImageError
from utils.rasters import Raster, Window, array_raster
from utils.records import Detections, SceneDetections
from utils.scene_rasters import Reading, open_scene
from utils.thresholds import least_scores

ONE_LABEL = "eval.multi_label=false"  # second guesses help average precision; people want one answer


class SceneFound(SceneDetections):
    """What was found in one image or raster, by name."""

    def __repr__(self) -> str:
        """Return one line: thousands of coordinates say nothing at a prompt."""
        counts = ", ".join(f"{name} {count}" for name, count in Counter(self.names).most_common())
        return f"<{len(self.names)} objects in {self.source}{': ' if counts else ''}{counts}>"

    @property
    def quads(self) -> Tensor:
        """(K, 4, 2) float64 pixels of the source, highest score first."""
        return self.detections.quads

    @property
    def scores(self) -> Tensor:
        """(K,) in [0, 1]."""
        return self.detections.scores

    @property
    def labels(self) -> Tensor:
        """(K,) int64 index into `classes`."""
        return self.detections.labels

    @property
    def names(self) -> list[str]:
        """The class name of each object."""
        return [self.classes[label] for label in self.labels.tolist()]

    @property
    def transform(self) -> tuple[float, float, float, float, float, float] | None:
        """From pixels to the coordinates of the map: see `GeoReference`."""
        return self.geo.transform if self.geo else None

    @property
    def crs(self) -> str | None:
        """Reference system of the map, as WKT."""
        return self.geo.crs if self.geo else None

    def to_geojson(self) -> dict[str, Any]:
        """Return a FeatureCollection in WGS 84, or in pixels where the source has no geo-reference."""
        collection: dict[str, Any] = import_module("evalR.outputs.geojson").to_geojson(self)
        return collection


class Detector:
    """Finds objects in images and rasters of any size.

        found = Detector("runs/demo/best.pt", tile=800, score_threshold=0.5)("scene.tif")

    Args:
        weights: best.pt, last.pt or a run's folder; bare names are looked up in weight/.
        device: auto, cpu, cuda, cuda:1.
        settings: those of `predict` by their names, others by `**{"eval.nms_iou": 0.4}`.

    Raises:
        CheckpointError: no checkpoint.
        ConfigError: no such setting, or a value that it cannot have.
        UserError: no such class.
    """

    def __init__(self, weights: str | Path, device: str = "auto", **settings: object) -> None:
        words = [
            f"{key if '.' in key else f'predict.{key}'}={dumps(value, default=plain)}"
            for key, value in settings.items()
        ]
        self.trained = load_detector(
            Path(weights), [ONE_LABEL, f"train.device={device}", *words], pick_device
        )
        chosen_labels(self.trained)

    def __call__(
        self, source: str | Path | Image, journal: str | Path | None = None, shared: bool = False
    ) -> SceneFound:
        """Return what is in an image file, a raster or an image (H, W, 3) uint8 RGB.

        Args:
            source: of any size.
            journal: where the finished tiles of a large file are kept until `remove_journal` forgets them; a
                call after an interruption goes on there.
            shared: each process of a launch does its share of the tiles of a large file; all return the same.

        Raises:
            ImageError: no image, or one that cannot be read.
            UserError: a setting that does not fit the image.
        """
        return find_in_source(self.trained, source, Path(journal) if journal else None, shared)


def plain(value: object) -> object:
    """Return a number or an array of numpy as Python has it.

    Raises:
        UserError: anything else that no setting can be.
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise UserError(f"a setting: expected a number, a text or a list of them, got {type(value).__name__}")


def find_in_source(
    trained: Trained, source: str | Path | Image, journal: Path | None = None, shared: bool = False
) -> SceneFound:
    """Return what is in an image file, a raster or an image in memory; see `Detector`."""
    if isinstance(source, np.ndarray):
        return _find(trained, array_raster(checked_image(source)), "image in memory", None, shared)
    if not isinstance(source, str | Path):
        raise ImageError(f"expected a path or an image (H, W, 3) uint8 of numpy, got {type(source).__name__}")
    with open_scene(source, reading_of(trained.config)) as raster:
        kept = Journal(journal, scene_meaning(Path(source), trained)) if journal else None
        return _find(trained, raster, str(source), kept, shared)


def _find(trained: Trained, raster: Raster, name: str, journal: Journal | None, shared: bool) -> SceneFound:
    model, classes, config, device, _, peak = trained
    if whole_scale(raster.size, config) is None:
        # what would not be shown is not looked at either: it never suppresses what is
        least = float(least_scores(config.predict.threshold, classes)[chosen_labels(trained).numpy()].min())
        wanted = config.eval.model_copy(update={"score_threshold": least})
        config = config.model_copy(update={"eval": wanted})
        (found,) = find_in_scene(Predictor(model, config, device, peak=peak), raster, journal, shared)
    else:
        height, width = raster.size
        found = predict_image(model, raster.read(Window(0, 0, width, height)), config, device)
    return SceneFound(name, raster.size, shown(found, trained), classes, raster.geo)


def reading_of(config: Config) -> Reading:
    """Return how the settings want rasters to be read."""
    return Reading(config.predict.bands, config.predict.stretch)


def shown(found: Detections, trained: Trained) -> Detections:
    """Return the detections that `predict.score_threshold` and `predict.classes` leave, in float64."""
    wanted = torch.isin(found.labels, chosen_labels(trained))
    least = torch.from_numpy(least_scores(trained.config.predict.threshold, trained.classes)).float()
    keep = wanted & (found.scores >= least[found.labels])
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


def checked_image(image: Image) -> Image:
    """Return an image in memory if it is one.

    Raises:
        ImageError: another shape or type than (H, W, 3) uint8, or no pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ImageError(f"image in memory: expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
    return image
