"""A model over images: a split of a data set, or one picture of any size."""

import math
from collections.abc import Sequence
from itertools import cycle
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from cfg.schema import SIZE_STEP, Config
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import Ahead, eval_loader
from dataloadR.samplers import EvalBatches
from dataloadR.splits import far_larger
from evalR.inference import evaluating
from evalR.load import Trained, load_detector
from evalR.outputs.geojson import to_geojson
from evalR.predictor import Look, Predictor
from evalR.scenes.engine import find_for_settings, find_in_scene
from evalR.scenes.journal import Journal, scene_meaning
from evalR.views import scaled_size
from utils.cli import pick_device
from utils.distributed import gather, interleave, is_main, own_rows
from utils.errors import UserError
from utils.images import ImageError, Matrix, Size, image_size, letterbox_matrix, read_image, warp_image
from utils.rasters import Raster, Window, array_raster
from utils.records import Annotation, Detections, Frame, SceneDetections
from utils.scene_rasters import Reading, open_scene

Image = NDArray[np.uint8]
ONE_LABEL = "eval.multi_label=false"  # second guesses help average precision; people want one answer


def predict_split(
    model: nn.Module, annotations: Sequence[Annotation], config: Config, device: torch.device
) -> list[Detections]:
    """Return the detections of every annotated image, in its own pixels and in the order of the annotations.

    Images far larger than the network input are read tile by tile at their own scale; the others in batches.
    """
    return [found for (found,) in _predict_all(Predictor(model, config, device), annotations)]


def predict_shared(
    model: nn.Module, annotations: Sequence[Annotation], config: Config, device: torch.device
) -> list[Detections]:
    """Return what `predict_split` does, each process having predicted its share of the batches."""
    return predict_settings(Predictor(model, config, device), annotations)[0]


def predict_settings(predictor: Predictor, annotations: Sequence[Annotation]) -> list[list[Detections]]:
    """Return what `predict_shared` does for each setting of the predictor, from one pass of the network."""
    block = predictor.config.eval.batch_size
    own = [annotations[row] for row in own_rows(len(annotations), block)]
    found = interleave(gather(_predict_all(predictor, own)), block, len(annotations))
    return [[image[k] for image in found] for k in range(len(predictor.settings))]


def _predict_all(predictor: Predictor, annotations: Sequence[Annotation]) -> list[list[Detections]]:
    """Return the detections of every image, one for each setting."""
    far = [far_larger(image_size(a.image_path), predictor.config.data) for a in annotations]
    near = [a for a, is_far in zip(annotations, far, strict=True) if not is_far]
    found = iter(_predict_batches(predictor, near) if near else [])
    progress = tqdm(annotations, desc="predict tiles", unit="image", leave=False, disable=not any(far))
    return [
        _predict_tiles(predictor, read_image(a.image_path)) if is_far else next(found)
        for a, is_far in zip(progress, far, strict=True)
    ]


def _predict_batches(predictor: Predictor, annotations: Sequence[Annotation]) -> list[list[Detections]]:
    config, scales = predictor.config, predictor.scales
    sizes = tuple(scaled_size(config.data.input_size, scale) for scale, _ in scales)
    order = EvalBatches(len(annotations), config.eval.batch_size, sizes[0], more_sizes=sizes[1:])
    bare = [
        a._replace(quads=a.quads[:0], labels=a.labels[:0], difficult=a.difficult[:0]) for a in annotations
    ]
    data = config.data.model_copy(update={"cache_gb": 0.0})  # each is read once a scale, and then done with
    loader = eval_loader(
        RotatedDataset(bare, data=data), order, data.workers, None, predictor.device, Ahead(data.prefetch, 1)
    )
    batches = tqdm(
        loader, desc="predict", unit="batch", leave=False, dynamic_ncols=True, disable=not is_main()
    )
    found: list[list[Detections]] = []
    looks: list[Look] = []
    with evaluating(predictor.model):
        for batch, (scale, views) in zip(batches, cycle(scales), strict=False):
            looks += predictor.look(batch.images, batch.frames, views)
            if scale == scales[-1][0]:
                found += predictor.detect(looks)
                looks.clear()
                predictor.turn(len(batch.frames))
    return found


def predict_any(model: nn.Module, image: Image, config: Config, device: torch.device) -> Detections:
    """Return the detections of an image: whole, or in tiles where it is far larger than the network input."""
    predictor = predict_tiles if far_larger((image.shape[0], image.shape[1]), config.data) else predict_image
    return predictor(model, image, config, device)


def predict_image(
    model: nn.Module, image: Image, config: Config, device: torch.device, scale: float | None = None
) -> Detections:
    """Return the detections of one (H, W, 3) uint8 RGB image, in all views of `eval`.

    The image is scaled by `scale`, by default to fit the input size, and padded right and bottom to
    multiples of 32.
    """
    return _predict_image(Predictor(model, config, device), image, scale)[0]


def predict_tiles(model: nn.Module, image: Image, config: Config, device: torch.device) -> Detections:
    """Return the detections of a large image, found on overlapping tiles and merged."""
    return _predict_tiles(Predictor(model, config, device), image)[0]


def _predict_image(predictor: Predictor, image: Image, scale: float | None) -> list[Detections]:
    source = (image.shape[0], image.shape[1])
    if scale is None:
        limits = zip(predictor.config.data.input_size, source, strict=True)
        scale = min(side / length for side, length in limits)
    looks: list[Look] = []
    with evaluating(predictor.model):
        for factor, views in predictor.scales:
            matrix, size = _fit(source, scale * factor)
            pixels = torch.from_numpy(warp_image(image, matrix, size)).permute(2, 0, 1)
            frame = Frame(matrix.astype(np.float32), source, size)
            looks += predictor.look(pixels.unsqueeze(0).contiguous(), [frame], views)
        return predictor.detect(looks)[0]


def _fit(source: Size, scale: float) -> tuple[Matrix, Size]:
    """Return how an image is scaled, and the size to pad it to, right and bottom: multiples of 32."""
    height, width = (max(1, math.ceil(round(side * scale, 3) / SIZE_STEP)) * SIZE_STEP for side in source)
    fitted = (max(1, round(source[0] * scale)), max(1, round(source[1] * scale)))
    return letterbox_matrix(source, fitted, centred=False), (height, width)


def _predict_tiles(predictor: Predictor, image: Image) -> list[Detections]:
    found = zip(find_for_settings(predictor, array_raster(image)), predictor.settings, strict=True)
    most = [Detections(*(field[: setting.max_detections] for field in one)) for one, setting in found]
    predictor.lap("network")  # reading and suppression run beside it
    predictor.turn(1)
    return most


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
        return to_geojson(self)


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
        self.trained = load_detector(
            Path(weights), [ONE_LABEL, f"train.device={device}", *words], pick_device
        )
        chosen_labels(self.trained)

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
            return _find(self.trained, array_raster(checked_image(source)), "image in memory", None, shared)
        return find_in_file(self.trained, Path(source), journal, shared)


def find_in_file(
    trained: Trained, path: Path, journal: Path | None = None, shared: bool = False
) -> SceneFound:
    """Return what is shown of an image or raster of any size: see `Detector`."""
    predict = trained.config.predict
    with open_scene(path, Reading(predict.bands, predict.stretch)) as raster:
        is_kept = journal and _is_cut(raster.size, trained.config)  # others take no time
        kept = Journal(journal, scene_meaning(path, trained)) if journal and is_kept else None
        return _find(trained, raster, str(path), kept, shared)


def _is_cut(size: Size, config: Config) -> bool:
    return far_larger(size, config.data) or config.predict.slices


def _find(trained: Trained, raster: Raster, name: str, journal: Journal | None, shared: bool) -> SceneFound:
    model, classes, config, device, _ = trained
    labels = chosen_labels(trained)
    if _is_cut(raster.size, config):
        # what would not be shown is not looked at either: it never suppresses what is
        wanted = config.eval.model_copy(update={"score_threshold": config.predict.score_threshold})
        config = config.model_copy(update={"eval": wanted})
        found = find_in_scene(model, raster, config, device, journal, shared)
    else:
        height, width = raster.size
        found = predict_image(model, raster.read(Window(0, 0, width, height)), config, device)
    keep = (found.scores >= config.predict.score_threshold) & torch.isin(found.labels, labels)
    shown = Detections(*(field[keep] for field in found))
    return SceneFound(name, raster.size, shown._replace(quads=shown.quads.double()), classes, raster.geo)


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
