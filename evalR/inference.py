"""A model over images: a split of a data set, or one picture of any size."""

import math
from collections.abc import Sequence
from itertools import cycle

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cfg.schema import SIZE_STEP, Config
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import Ahead, eval_loader
from dataloadR.samplers import EvalBatches
from dataloadR.splits import fitting_scale
from evalR.predictor import Look, Predictor, evaluating
from evalR.scenes.engine import find_in_scene
from evalR.slicing import whole_scale
from evalR.views import scaled_size
from utils.distributed import gather, interleave, is_main, own_rows
from utils.images import Matrix, Size, image_size, letterbox_matrix, read_image, warp_image
from utils.rasters import array_raster
from utils.records import Annotation, Detections, Frame

Image = NDArray[np.uint8]


def predict_split(
    model: nn.Module, annotations: Sequence[Annotation], config: Config, device: torch.device
) -> list[Detections]:
    """Return the detections of every annotated image, in its own pixels and in the order of the annotations.

    Images that `evalR.slicing` cuts are read tile by tile; the others in batches.
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
    config = predictor.config
    sizes = [image_size(a.image_path) for a in annotations]
    scales = [whole_scale(size, config) for size in sizes]
    whole = [k for k, scale in enumerate(scales) if scale is not None]
    shrinks = [(scales[k] or 0.0) / fitting_scale(sizes[k], config.data) for k in whole]
    found = iter(_predict_batches(predictor, [annotations[k] for k in whole], shrinks) if whole else [])
    hidden = len(whole) == len(annotations)
    progress = tqdm(annotations, desc="predict tiles", unit="image", leave=False, disable=hidden)
    return [
        _predict_tiles(predictor, read_image(a.image_path)) if scale is None else next(found)
        for a, scale in zip(progress, scales, strict=True)
    ]


def _predict_batches(
    predictor: Predictor, annotations: Sequence[Annotation], shrinks: Sequence[float]
) -> list[list[Detections]]:
    config, scales = predictor.config, predictor.scales
    sizes = tuple(scaled_size(config.data.input_size, scale) for scale, _ in scales)
    order = EvalBatches(len(annotations), config.eval.batch_size, sizes[0], more_sizes=sizes[1:])
    bare = [
        a._replace(quads=a.quads[:0], labels=a.labels[:0], difficult=a.difficult[:0]) for a in annotations
    ]
    data = config.data.model_copy(update={"cache_gb": 0.0})  # each is read once a scale, and then done with
    dataset = RotatedDataset(bare, data=data)
    dataset.shrinks = shrinks
    loader = eval_loader(
        dataset,
        order,
        data.workers,
        None,
        predictor.device,
        Ahead(data.prefetch, 1),
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
    """Return the detections of an image: whole, or in tiles where `evalR.slicing` cuts it."""
    is_whole = whole_scale((image.shape[0], image.shape[1]), config) is not None
    return (predict_image if is_whole else predict_tiles)(model, image, config, device)


def predict_image(
    model: nn.Module, image: Image, config: Config, device: torch.device, scale: float | None = None
) -> Detections:
    """Return the detections of one (H, W, 3) uint8 RGB image, in all views of `eval`.

    The image is scaled by `scale`, by default that of `evalR.slicing.whole_scale`, else to fit the input
    size, and padded right and bottom to multiples of 32.
    """
    return _predict_image(Predictor(model, config, device), image, scale)[0]


def predict_tiles(model: nn.Module, image: Image, config: Config, device: torch.device) -> Detections:
    """Return the detections of a large image, found on overlapping tiles and merged."""
    return _predict_tiles(Predictor(model, config, device), image)[0]


def _predict_image(predictor: Predictor, image: Image, scale: float | None) -> list[Detections]:
    source = (image.shape[0], image.shape[1])
    if scale is None:
        scale = whole_scale(source, predictor.config) or fitting_scale(source, predictor.config.data)
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
    most = predictor.config.eval.max_detections
    found = find_in_scene(predictor, array_raster(image))
    predictor.turn(1)
    return [Detections(*(field[:most] for field in own)) for own in found]
