"""A model over images: batches of a data set, or one picture of any size."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from cfg.schema import SIZE_STEP, EvalConfig
from dataloadR.loader import to_device
from evalR.postprocess import postprocess
from utils.images import letterbox_matrix, warp_image
from utils.records import Batch, Detections, Frame


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


def predict_batches(
    model: nn.Module, batches: Iterable[Batch], config: EvalConfig, device: torch.device, *, amp: bool = False
) -> list[Detections]:
    """Return the detections of every image of the batches, in data set order.

    `amp` runs the network in half precision on a GPU; post-processing is float32 always.
    """
    found: dict[int, Detections] = {}
    with evaluating(model):
        for batch in tqdm(batches, desc="predict", unit="batch", leave=False, dynamic_ncols=True):
            images = to_device(batch, device).images
            with torch.autocast(device.type, enabled=amp and device.type == "cuda"):
                predictions = model(images)
            detections = postprocess(predictions, batch.frames, config)
            found.update(zip(batch.indices.tolist(), detections, strict=True))
    return [found[index] for index in sorted(found)]


def predict_image(
    model: nn.Module,
    image: NDArray[np.uint8],
    input_size: tuple[int, int],
    config: EvalConfig,
    device: torch.device,
) -> Detections:
    """Return the detections of one (H, W, 3) uint8 RGB image.

    The image is scaled to fit the input size (height, width) and padded right and bottom to a multiple of 32.
    """
    source_size = (image.shape[0], image.shape[1])
    scale = min(side / length for side, length in zip(input_size, source_size, strict=True))
    fitted = [SIZE_STEP * max(1, -(-round(length * scale) // SIZE_STEP)) for length in source_size]
    matrix = letterbox_matrix(source_size, input_size, centred=False)
    frame = Frame(matrix, source_size, (fitted[0], fitted[1]))
    network_input = torch.from_numpy(warp_image(image, matrix, frame.input_size)).permute(2, 0, 1)[None]
    with evaluating(model):
        predictions = model(network_input.contiguous().to(device))
        return postprocess(predictions, [frame], config)[0]
