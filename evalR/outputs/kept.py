"""Kept detections beside the outputs: a call that is repeated goes on there."""

import hashlib
import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from cfg.harmless import ALLOWED, BATCHES
from cfg.load import config_settings
from cfg.schema import Config
from utils.files import read_bytes, replacing
from utils.records import Detections
from utils.stretch import RULE

FOLDER = ".predictions"  # in the folder of the outputs; it marks them as ours, too
OTHERS = ("data.image_size", "data.max_downscale", "data.training_scale", "train.amp")
# of eval and predict: what makes no output another one.  Who then allows one larger image does not wait for
# all others again; formats that are missing are written from what is kept.
UNSEEN = frozenset({*BATCHES, *ALLOWED, "predict.formats", "eval.split", "eval.metric"})


def mark_of(source: Path, weights: Path, config: Config) -> str:
    """Return what changes with the image, the checkpoint, or a setting or rule that matters to results.

    An image that is not there, a dangling link for instance, is left to whoever reads it.
    """
    settings = {key: value for key, value in config_settings(config).items() if _matters(key)}
    parts = [json.dumps(settings), f"stretch {RULE}"]
    for path in filter(Path.exists, (source, weights)):
        status = path.stat()
        parts.append(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()


def _matters(key: str) -> bool:
    return key in OTHERS or (key.startswith(("eval.", "predict.")) and key not in UNSEEN)


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
            found = Detections(*(torch.from_numpy(values[name]) for name in ("quads", "scores", "labels")))
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile):
        return None  # missing or broken: found again
    count = len(found.scores)
    is_whole = found.quads.shape == (count, 4, 2) and found.scores.shape == found.labels.shape == (count,)
    return found if is_whole else None


def is_newer(path: Path, kept: Path) -> bool:
    """Say whether an output was written after what it shows was kept."""
    return path.is_file() and path.stat().st_mtime_ns >= kept.stat().st_mtime_ns
