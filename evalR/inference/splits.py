"""Inference over images: a split of a data set, or one picture of any size."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import cycle

import numpy as np
import torch

from cfg.schema import SIZE_STEP, Config
from dataloadR.dataset import RotatedDataset
from dataloadR.geometric import place_image
from dataloadR.loader import Ahead, collate, eval_loader
from dataloadR.samplers import EvalBatches
from dataloadR.splits import fitting_scale
from evalR.inference.predictor import Look, Predictor, evaluating
from evalR.inference.slicing import shrink_of, whole_scale
from evalR.inference.views import scaled_input
from modelR.network import Network
from utils.arrays import U8
from utils.distributed import gather, interleave, is_main, own_rows
from utils.images import Matrix, Size, image_size, letterbox_matrix, read_image, warp_image
from utils.progress import counting
from utils.records import Annotation, Batch, Detections, Frame
from utils.threads import read_ahead

NOTHING = Annotation("", np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int8))


def predict_split(
    model: Network, annotations: Sequence[Annotation], config: Config, device: torch.device
) -> list[Detections]:
    """Return the detections of every annotated image, in its own pixels and in the order of the annotations.

    Images that `evalR.inference.slicing` cuts are read tile by tile; the others in batches.
    """
    return [found for (found,) in _predict_all(Predictor(model, config, device), annotations)]


def predict_shared(
    model: Network, annotations: Sequence[Annotation], config: Config, device: torch.device
) -> list[Detections]:
    """Return what `predict_split` does, each process having predicted its share of the batches."""
    return predict_settings(Predictor(model, config, device), annotations)[0]


def predict_images(
    model: Network, images: Sequence[U8], config: Config, device: torch.device
) -> list[Detections]:
    """Return what `predict_split` does for files of these images (H, W, 3) RGB, none of them far larger."""
    predictor = Predictor(model, config, device)
    order = _order(predictor, len(images))
    shrinks = [shrink_of((image.shape[0], image.shape[1]), config) for image in images]
    batches = _to_batches(images, shrinks, order)
    return [found for (found,) in _predict_batches(predictor, batches, len(order))]


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
    whole = [whole_scale(size, config) is not None for size in sizes]
    near = [a for a, is_whole in zip(annotations, whole, strict=True) if is_whole]
    shrinks = [shrink_of(size, config) for size, is_whole in zip(sizes, whole, strict=True) if is_whole]
    found = iter(_predict_files(predictor, near, shrinks) if near else [])
    hidden = config.predict.quiet or all(whole) or not is_main()
    everything = []
    with counting("predict tiles", len(annotations), "image", hidden) as count:
        for annotation, is_whole in zip(annotations, whole, strict=True):
            path = annotation.image_path
            everything.append(next(found) if is_whole else _predict_tiles(predictor, read_image(path)))
            count(1)
    return everything


def _order(predictor: Predictor, images: int) -> EvalBatches:
    """Return the batches of so many images, each in every scale."""
    config = predictor.config
    first, *others = (scaled_input(config.data.input_size, scale) for scale, _ in predictor.scales)
    return EvalBatches(images, config.eval.batch_size, first, more_sizes=tuple(others))


def _predict_files(
    predictor: Predictor, annotations: Sequence[Annotation], shrinks: Sequence[float]
) -> list[list[Detections]]:
    order = _order(predictor, len(annotations))
    bare = [NOTHING._replace(image_path=a.image_path) for a in annotations]
    # each is read once a scale, and then done with
    data = predictor.config.data.model_copy(update={"cache_gb": 0.0})
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
    if data.workers:
        return _predict_batches(predictor, loader, len(order))
    with closing(read_ahead(loader)) as batches:
        return _predict_batches(predictor, batches, len(order))


def _to_batches(images: Sequence[U8], shrinks: Sequence[float], order: EvalBatches) -> Iterator[Batch]:
    """Yield images in memory as a loader yields those of files."""
    for keys in order:
        matrices = (
            letterbox_matrix(images[row].shape[:2], size, shrink=shrinks[row]) for _, _, row, size in keys
        )
        samples = (
            place_image(images[row], NOTHING, matrix, size, 0.0)
            for (_, _, row, size), matrix in zip(keys, matrices, strict=True)
        )
        yield collate(samples, len(keys))


def _predict_batches(predictor: Predictor, batches: Iterable[Batch], total: int) -> list[list[Detections]]:
    """Return what is found in batches that come in each scale, one after the other."""
    scales = predictor.scales
    found: list[list[Detections]] = []
    looks: list[Look] = []
    hidden = predictor.config.predict.quiet or not is_main()
    with counting("predict", total, "batch", hidden) as count, evaluating(predictor.model):
        for batch, (scale, views) in zip(batches, cycle(scales), strict=False):
            looks += predictor.look(batch.images, batch.frames, views)
            if scale == scales[-1][0]:
                found += predictor.detect(looks)
                looks.clear()
                predictor.turn(len(batch.frames))
            count(1)
    return found


def predict_any(model: Network, image: U8, config: Config, device: torch.device) -> Detections:
    """Return the detections of an image: whole, or in tiles where `evalR.inference.slicing` cuts it."""
    is_whole = whole_scale((image.shape[0], image.shape[1]), config) is not None
    return (predict_image if is_whole else predict_tiles)(model, image, config, device)


def predict_image(
    model: Network, image: U8, config: Config, device: torch.device, scale: float | None = None
) -> Detections:
    """Return the detections of one (H, W, 3) uint8 RGB image, in all views of `eval`.

    The image is scaled by `scale`, by default that of `whole_scale`, else to fit the input
    size, and padded right and bottom to multiples of 32.
    """
    return _predict_image(Predictor(model, config, device), image, scale)[0]


def predict_tiles(model: Network, image: U8, config: Config, device: torch.device) -> Detections:
    """Return the detections of a large image, found on overlapping tiles and merged."""
    return _predict_tiles(Predictor(model, config, device), image)[0]


def _predict_image(predictor: Predictor, image: U8, scale: float | None) -> list[Detections]:
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


def _predict_tiles(predictor: Predictor, image: U8) -> list[Detections]:
    from evalR.inference.scenes.engine import find_in_scene  # training seldom cuts
    from utils.rasters import array_raster

    most = predictor.config.eval.max_detections
    found = find_in_scene(predictor, array_raster(image))
    predictor.turn(1)
    return [Detections(*(field[:most] for field in own)) for own in found]
