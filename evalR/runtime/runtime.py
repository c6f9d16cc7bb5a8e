"""Inference with an exported file alone: no torch, no settings, quads in image pixels out."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from evalR.runtime.decisions import FoundQuads, detections_of, rules_of
from evalR.runtime.engines import open_engine
from evalR.runtime.metadata import read_contract
from utils.arrays import U8
from utils.errors import UserError
from utils.image_arrays import IN_MEMORY, checked_image
from utils.images import Matrix, letterbox_matrix, read_image, warp_image
from utils.scales import TOLERANCE, filling_scale, learned_scale

logger = logging.getLogger(__name__)
BATCH = 8  # images that the network sees at once where a file leaves it open


class Letterboxed(NamedTuple):
    """An image as the network sees it."""

    pixels: U8  # (H, W, 3) RGB
    matrix: Matrix  # from the image to these pixels


class Runtime:
    """Finds objects in images that fit into the network input at the scale of training.

        found = Runtime("ships.onnx")("scene.png")
        found.quads, found.scores, found.names

    Threads may share one.  Larger images are for `predict.py` and `Detector`, which cut them into tiles.

    Args:
        path: .onnx, or the .xml of OpenVINO.
        threshold: least score that is shown, one or by class; None: those of the training.
        engine: onnxruntime or openvino; None: the one of the file.
        threads: of the CPU; None: as the engine likes.

    Raises:
        UserError: no such file, no exported detector, one of another format, or no engine for it.
    """

    def __init__(
        self,
        path: str | Path,
        threshold: float | Mapping[str, float] | None = None,
        engine: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.engine = open_engine(self.path, engine, threads)
        self.contract = read_contract(self.engine.texts, self.path)
        self.rules = rules_of(self.contract, threshold)
        batch, _, height, width = self.engine.shape
        self.size = (height or self.contract.size[0], width or self.contract.size[1])
        self.batch = batch or BATCH
        self._is_padded = batch is not None  # to a batch that is always full

    def __repr__(self) -> str:
        return f"<Runtime {self.path}: {', '.join(self.classes)}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that the model knows, by their labels."""
        return self.contract.classes

    @overload  # a text is no sequence of images
    def __call__(self, source: str | Path | U8) -> FoundQuads: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, source: Sequence[str | Path | U8] | Iterator[str | Path | U8]) -> list[FoundQuads]: ...

    def __call__(self, source: str | Path | U8 | Iterable[str | Path | U8]) -> FoundQuads | list[FoundQuads]:
        """Return what is in an image, or a list of this for several.

        Args:
            source: a file, or an image (H, W, 3) uint8 RGB or (H, W) uint8 grey; several: any iterable.

        Raises:
            ImageError: no image, or one that cannot be read.
        """
        if isinstance(source, str | Path | np.ndarray):
            return self._find([source])[0]
        images, found = list(source), []
        for first in range(0, len(images), self.batch):
            found += self._find(images[first : first + self.batch])
        return found

    def letterbox(self, image: U8, name: str = IN_MEMORY) -> Letterboxed:
        """Return an image (H, W, 3) uint8 RGB scaled into the network input, grey where it ends.

        As wide or high as the input, but no larger than training showed its images.
        """
        source = (image.shape[0], image.shape[1])
        filling = filling_scale(source, self.size)
        learned = self.contract.setting("data.training_scale", None)
        scale = learned_scale(filling, learned[2]) if learned else filling
        if learned and scale < learned[0] / TOLERANCE:
            logger.warning(
                "%s: shown at a scale of %.2g, learned from %.2g on; predict.py would cut it into tiles",
                name,
                scale,
                learned[0],
            )
        matrix = letterbox_matrix(source, self.size, self.contract.is_centred, scale / filling)
        return Letterboxed(warp_image(image, matrix, self.size, self.contract.fill), matrix)

    def _find(self, sources: Sequence[str | Path | U8]) -> list[FoundQuads]:
        boxes = [self._read(source) for source in sources]
        count = self.batch if self._is_padded else len(boxes)
        images = np.zeros((count, 3, *self.size), self.engine.dtype)
        for image, box in zip(images, boxes, strict=False):
            image[:] = box.pixels.transpose(2, 0, 1)
        outputs = self.engine.run(images)
        return [
            detections_of(outputs, row, box.matrix, self.rules, self.classes) for row, box in enumerate(boxes)
        ]

    def _read(self, source: str | Path | U8) -> Letterboxed:
        if isinstance(source, np.ndarray):
            return self.letterbox(checked_image(source))
        if not isinstance(source, str | Path):
            raise UserError(f"expected a path or an image of numpy, got {type(source).__name__}")
        return self.letterbox(read_image(source), str(source))
