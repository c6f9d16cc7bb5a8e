"""A model over images: a split of a data set, or one picture of any size."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cfg.schema import SIZE_STEP, Config, EvalConfig
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import Ahead, eval_loader, to_device
from dataloadR.samplers import EvalBatches
from dataloadR.splits import far_larger
from evalR.postprocess import postprocess
from utils.distributed import gather, interleave, is_main, own_rows
from utils.images import image_size, letterbox_matrix, read_image, warp_image
from utils.precision import mixed_precision
from utils.quad_nms import quad_nms
from utils.records import Annotation, Detections, Frame

Image = NDArray[np.uint8]
TILE_OVERLAP = 0.25  # share of a tile; objects up to that size lie whole in one of them
MERGE_IOU = 0.3  # of NMS over the detections of all tiles (spec 8.2)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put the model into evaluation mode without gradients, and back into the mode it was in."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


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
    """Return the detections of a large image, found on overlapping tiles and merged by NMS."""
    found = []
    height, width = config.data.input_size
    for top in _tile_starts(image.shape[0], height):
        for left in _tile_starts(image.shape[1], width):
            tile = image[top : top + height, left : left + width]
            local = predict_image(model, tile, config, device, scale=1.0)
            found.append(
                local._replace(quads=local.quads + torch.tensor([left, top], dtype=local.quads.dtype))
            )
    return merge(found, config.eval)


def merge(parts: Sequence[Detections], config: EvalConfig) -> Detections:
    """Return the detections of several views of one image as one set, doubles suppressed class by class."""
    everything = Detections(*(torch.cat(fields) for fields in zip(*parts, strict=True)))
    kept = quad_nms(*everything, MERGE_IOU, config.max_detections)
    return Detections(*(field[kept] for field in everything))


def _tile_starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin: evenly spread, the last flush with the end, each pair overlapping enough."""
    if length <= tile:
        return [0]
    step = tile * (1 - TILE_OVERLAP)
    count = math.ceil((length - tile) / step) + 1
    return [round(n * (length - tile) / (count - 1)) for n in range(count)]
