"""Exported file in place of a checkpoint: a network whose forward pass is that of another engine.

Candidates come decoded out of the graph; test-time augmentation, tiles, suppression and voting are as ever.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from cfg.schema import Config, EvalConfig
from evalR.runtime.engines import Engine, Outputs, open_engine
from evalR.runtime.metadata import Contract, read_contract
from modelR.build import build_method
from modelR.method import Predictions
from modelR.network import Network, check_images
from utils.errors import UserError
from utils.images import FILL

IN_GRAPH = ("class_weight", "ratio_check")  # of eval; what was decided when the file was made
OF_SUPPRESSION = ("nms_iou", "vote_iou", "support")  # where the graph suppresses, too
CPU = "cpu"


class ExportedFile(NamedTuple):
    """A file that is ready to run, and what its numbers mean."""

    path: Path
    engine: Engine
    contract: Contract

    @property
    def ending(self) -> str:
        """What its graph ends with: none, topk or full."""
        return str(self.contract.values["nms"].get("ending", "full" if self.suppresses else "none"))

    @property
    def suppresses(self) -> bool:
        """Whether suppression is in its graph."""
        return "count" in self.engine.outputs


class GraphOutput(NamedTuple):
    """Candidates of a batch as a graph gives them."""

    quads: Tensor  # (B, K, 4, 2) float32 px of the input
    scores: Tensor  # (B, K, C) float32


class ExportedNetwork(Network):
    """Network of an exported file; it has no parameters, and runs on the CPU."""

    def __init__(self, file: ExportedFile, config: Config) -> None:
        method = build_method(config, len(file.contract.classes))
        super().__init__(nn.Identity(), nn.Identity(), (), replace(method, candidates=graph_candidates))
        self.file = file

    def forward(self, images: Tensor) -> Predictions:
        """Return the candidates of images (B, 3, H, W) uint8.

        Smaller images are padded right and below to the input of a static file, and a batch is cut or filled
        up to that of a file with a fixed one.

        Raises:
            UserError: they are larger than the input of a static file.
        """
        check_images(images)
        pixels = self._fitted(images).cpu().numpy().astype(self.file.engine.dtype)
        batch = self.file.engine.shape[0]
        if batch is None:
            return [self._output(self.file.engine.run(pixels))]
        parts = []
        for first in range(0, len(pixels), batch):
            part = pixels[first : first + batch]
            missing = np.zeros((batch - len(part), *part.shape[1:]), part.dtype)
            parts.append(self._output(self.file.engine.run(np.concatenate([part, missing]))))
        return [GraphOutput(*(torch.cat(values)[: len(pixels)] for values in zip(*parts, strict=True)))]

    def _fitted(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        wanted = self.file.engine.shape[2] or height, self.file.engine.shape[3] or width
        if height > wanted[0] or width > wanted[1]:
            raise UserError(
                f"{self.file.path}: made for an input of {wanted[0]} x {wanted[1]} px (height x width), got "
                f"{height} x {width}: predict.tile={min(wanted)}, or export with dynamic=true"
            )
        return pad(images, (0, wanted[1] - width, 0, wanted[0] - height), value=FILL)

    def _output(self, outputs: Outputs) -> GraphOutput:
        quads, scores = (torch.from_numpy(outputs[name]).float() for name in ("quads", "scores"))
        if scores.ndim == 2:
            labels = torch.from_numpy(outputs["labels"])
            scores = scores_by_class(scores, labels, len(self.file.contract.classes))
        return GraphOutput(quads.view(*quads.shape[:2], 4, 2), scores)


def scores_by_class(scores: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return scores (B, K) of the best class, `labels` (B, K), as (B, K, C) with 0 for the others."""
    every = scores.new_zeros(*scores.shape, classes)
    return every.scatter(2, labels.long().unsqueeze(-1), scores.unsqueeze(-1))


def graph_candidates(predictions: Predictions, config: EvalConfig) -> tuple[Tensor, Tensor]:
    """Return every candidate of a batch, quads (B, K, 4, 2) and scores (B, K, C), as a `Method` does."""
    (output,) = predictions
    if config.multi_label:
        return output.quads, output.scores
    best = output.scores.max(dim=2)
    return output.quads, scores_by_class(best.values, best.indices, output.scores.shape[2])


def open_exported(path: Path) -> ExportedFile:
    """Return an exported file, ready to run.

    Raises:
        UserError: it cannot be used, or does not hold the settings of its training.
    """
    engine = open_engine(path)
    contract = read_contract(engine.texts, path)
    if not contract.config:
        raise UserError(f"{path}: metadata: no config: evalR.runtime alone can use this file")
    return ExportedFile(path, engine, contract)


def usual_settings(file: ExportedFile) -> list[str]:
    """Return what goes before the words of a command line, which win."""
    height, width = file.engine.shape[2:]
    size = (height or file.contract.size[0], width or file.contract.size[1])
    plain = ["eval.vote_iou=1", "eval.support=0"] if file.suppresses else []
    return [f"data.image_size={size[0]},{size[1]}", "train.device=auto", "train.amp=false", *plain]


def check_settings(file: ExportedFile, config: Config, usual: Config) -> None:
    """Raise where settings ask for what the graph of a file has decided.

    Args:
        config: with the words of the command line.
        usual: without them.

    Raises:
        UserError: names the setting.
    """
    for key in (*IN_GRAPH, *(OF_SUPPRESSION if file.suppresses else ())):
        _refuse(file, f"eval.{key}", getattr(config.eval, key), getattr(usual.eval, key))
    for key in type(config.model).model_fields:
        _refuse(file, f"model.{key}", getattr(config.model, key), getattr(usual.model, key))
    if config.train.device not in ("auto", CPU):
        raise UserError(f"train.device={config.train.device}: {file.path} runs on the CPU, expected cpu")
    if file.ending != "none" and config.eval.pre_nms > usual.eval.pre_nms:
        _refuse(file, "eval.pre_nms", config.eval.pre_nms, usual.eval.pre_nms)
    if config.eval.multi_label and not file.contract.values["score"].get("multi_label", True):
        _refuse(file, "eval.multi_label", "true", "false")


def check_sweep(model: Network, nms_ious: Sequence[float]) -> None:
    """Raise a UserError where other thresholds of NMS are asked of a graph that suppresses by its own."""
    if nms_ious and isinstance(model, ExportedNetwork) and model.file.suppresses:
        raise UserError(f"sweep: {model.file.path} suppresses in its graph; export with nms=none")


def _refuse(file: ExportedFile, key: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise UserError(
            f"{key}={wanted}: {file.path} was made with {found} and nms={file.ending}; export with this "
            f"setting{'' if key.partition('.')[2] in IN_GRAPH else ', or with nms=none'}"
        )
