"""A model over images: a split of a data set, or one picture of any size."""

import math
from collections.abc import Sequence
from importlib import import_module
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from cfg.schema import SIZE_STEP, Config, EvalConfig
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import Ahead, eval_loader, to_device
from dataloadR.samplers import EvalBatches
from dataloadR.splits import far_larger
from evalR.inference import evaluating
from evalR.load import Trained, load_detector
from evalR.postprocess import postprocess
from evalR.scenes.engine import find_in_scene
from evalR.scenes.journal import Journal, scene_meaning
from utils.cli import pick_device
from utils.distributed import gather, interleave, is_main, own_rows
from utils.errors import UserError
from utils.images import ImageError, image_size, letterbox_matrix, read_image, warp_image
from utils.precision import mixed_precision
from utils.quad_nms import quad_nms
from utils.rasters import Raster, Window, array_raster
from utils.records import Annotation, Detections, Frame, SceneDetections
from utils.scene_rasters import Reading, open_scene

Image = NDArray[np.uint8]
ONE_LABEL = "eval.multi_label=false"  # second guesses help average precision; people want one answer
MERGE_IOU = 0.3  # of NMS over the detections of all tiles (spec 8.2)


def predict_split(
    model: nn.Module, annotations: Sequence[Annotation], config: Config, device: torch.device
) -> list[Detections]:
    """Return the detections of every annotated image, in its own pixels and in the order of the annotations.

    Images far larger than the network input are read tile by tile at their own scale; the others in batches.
    """
    far = [far_larger(image_size(a.image_path), config.data) for a in annotations]
    near = [a for a, is_far in zip(annotations, far, strict=True) if not is_far]
    found = iter(_predict_batches(model, near, config, device) if near else [])
    progress = tqdm(annotations, desc="predict tiles", unit="image", leave=False, disable=not any(far))
    return [
        predict_tiles(model, read_image(a.image_path), config, device) if is_far else next(found)
        for a, is_far in zip(progress, far, strict=True)
    ]


def predict_shared(
    model: nn.Module, annotations: Sequence[Annotation], config: Config, device: torch.device
) -> list[Detections]:
    """Return what `predict_split` does, each process having predicted its share of the batches."""
    block = config.eval.batch_size
    own = [annotations[row] for row in own_rows(len(annotations), block)]
    return interleave(gather(predict_split(model, own, config, device)), block, len(annotations))


def _predict_batches(
    model: nn.Module, annotations: Sequence[Annotation], config: Config, device: torch.device
) -> list[Detections]:
    order = EvalBatches(len(annotations), config.eval.batch_size, config.data.input_size)
    bare = [
        a._replace(quads=a.quads[:0], labels=a.labels[:0], difficult=a.difficult[:0]) for a in annotations
    ]
    dataset = RotatedDataset(bare, data=config.data.model_copy(update={"cache_gb": 0.0}))  # each is read once
    loader = eval_loader(dataset, order, config.data.workers, None, device, Ahead(config.data.prefetch, 1))
    found: list[Detections] = []
    with evaluating(model):
        for batch in tqdm(
            loader, desc="predict", unit="batch", leave=False, dynamic_ncols=True, disable=not is_main()
        ):
            with mixed_precision(device, config.train.amp):
                predictions = model(to_device(batch, device).images)
            found += postprocess(predictions, batch.frames, config.eval)
    return found


def predict_any(model: nn.Module, image: Image, config: Config, device: torch.device) -> Detections:
    """Return the detections of an image: whole, or in tiles where it is far larger than the network input."""
    predictor = predict_tiles if far_larger((image.shape[0], image.shape[1]), config.data) else predict_image
    return predictor(model, image, config, device)


def predict_image(
    model: nn.Module, image: Image, config: Config, device: torch.device, scale: float | None = None
) -> Detections:
    """Return the detections of one (H, W, 3) uint8 RGB image.

    The image is scaled by `scale`, by default to fit the input size, and padded right and bottom to
    multiples of 32.
    """
    source = (image.shape[0], image.shape[1])
    if scale is None:
        scale = min(side / length for side, length in zip(config.data.input_size, source, strict=True))
    height, width = (math.ceil(round(length * scale, 3) / SIZE_STEP) * SIZE_STEP for length in source)
    fitted = (max(1, round(source[0] * scale)), max(1, round(source[1] * scale)))
    matrix = letterbox_matrix(source, fitted, centred=False)
    frame = Frame(matrix.astype(np.float32), source, (height, width))
    pixels = torch.from_numpy(warp_image(image, matrix, frame.input_size)).permute(2, 0, 1)
    with evaluating(model):
        with mixed_precision(device, config.train.amp):
            predictions = model(pixels.unsqueeze(0).contiguous().to(device))
        return postprocess(predictions, [frame], config.eval)[0]


def predict_tiles(model: nn.Module, image: Image, config: Config, device: torch.device) -> Detections:
    """Return the detections of a large image, found on overlapping tiles and merged."""
    found = find_in_scene(model, array_raster(image), config, device)
    return Detections(*(field[: config.eval.max_detections] for field in found))


def merge(parts: Sequence[Detections], config: EvalConfig) -> Detections:
    """Return the detections of several views of one image as one set, doubles suppressed class by class."""
    everything = Detections(*(torch.cat(fields) for fields in zip(*parts, strict=True)))
    kept = quad_nms(*everything, MERGE_IOU, config.max_detections)
    return Detections(*(field[kept] for field in everything))


class SceneFound(SceneDetections):
    """What was found in one image or raster, by name."""

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
            f"{key if '.' in key else f'predict.{key}'}={dumps(value)}" for key, value in settings.items()
        ]
        trained = load_detector(Path(weights), [ONE_LABEL, f"train.device={device}", *words], pick_device)
        self.trained = trained
        self._labels = chosen_labels(trained)

    def __call__(
        self, source: str | Path | Image, journal: Path | None = None, shared: bool = False
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
        if isinstance(source, np.ndarray):
            return self._find(array_raster(checked_image(source)), "image in memory", None, shared)
        predict = self.trained.config.predict
        with open_scene(source, Reading(predict.bands, predict.stretch)) as raster:
            kept = Journal(journal, scene_meaning(Path(source), self.trained)) if journal else None
            return self._find(raster, str(source), kept, shared)

    def _find(self, raster: Raster, name: str, journal: Journal | None, shared: bool) -> SceneFound:
        model, classes, config, device, _ = self.trained
        if far_larger(raster.size, config.data) or config.predict.slices:
            # what would not be shown is not looked at either: it never suppresses what is
            wanted = config.eval.model_copy(update={"score_threshold": config.predict.score_threshold})
            config = config.model_copy(update={"eval": wanted})
            found = find_in_scene(model, raster, config, device, journal, shared)
        else:
            height, width = raster.size
            found = predict_image(model, raster.read(Window(0, 0, width, height)), config, device)
        keep = (found.scores >= config.predict.score_threshold) & torch.isin(found.labels, self._labels)
        quads, scores, labels = (field[keep] for field in found)
        return SceneFound(name, raster.size, Detections(quads.double(), scores, labels), classes, raster.geo)


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
