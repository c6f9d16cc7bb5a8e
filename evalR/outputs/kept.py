"""What was found, kept beside the outputs: a call that is repeated goes on there."""

import hashlib
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from cfg.schema import Config
from utils.files import read_bytes, replacing
from utils.records import Detections
from utils.stretch import RULE

FOLDER = ".predictions"  # in the folder of the outputs; it marks them as ours, too


def mark_of(source: Path, weights: Path, config: Config) -> str:
    """Return what changes with the image, the checkpoint, or a setting or rule that matters to results.

    An image that is not there, a dangling link for instance, is left to whoever reads it.
    """
    parts = [
        f"{config.data.input_size} {config.data.max_downscale} {config.data.training_scale}",
        f"{config.train.amp}",
        config.eval.model_dump_json(),
        config.predict.model_dump_json(exclude={"formats", "quiet"}),
        f"stretch {RULE}",
    ]
    for path in filter(Path.exists, (source, weights)):
        status = path.stat()
        parts.append(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def kept_path(out: Path, name: str) -> Path:
    """Return where the detections of an image are kept."""
    return out / FOLDER / f"{name}.npz"


def keep(path: Path, detections: Detections, mark: str) -> None:
    """Keep the detections of an image."""
    quads, scores, labels = (field.cpu().numpy() for field in detections)
    with replacing(path, flush=False) as temporary:
        np.savez(temporary, quads=quads, scores=scores, labels=labels, mark=np.array(mark))


def read_kept(path: Path, mark: str) -> Detections | None:
    """Return what was kept under this mark; None without it."""
    try:
        with np.load(BytesIO(read_bytes(path))) as values:
            if str(values["mark"]) != mark:
                return None
            return Detections(*(torch.from_numpy(values[name]) for name in ("quads", "scores", "labels")))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # missing or broken: found again


def is_newer(path: Path, kept: Path) -> bool:
    """Say whether an output was written after what it shows was kept."""
    return path.is_file() and path.stat().st_mtime_ns >= kept.stat().st_mtime_ns
