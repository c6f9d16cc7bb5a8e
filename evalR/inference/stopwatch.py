"""Stopwatch: where the time of predicting goes."""

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from utils import distributed
from utils.files import write_json


class Stopwatch:
    """Adds up the time of each part of the work; the first turn warms up and is left out.

    In the first turn loader processes start, kernels are compiled and libraries choose their algorithms.
    A GPU is waited for after each lap; post-processing, which begins by counting candidates, waits anyway.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.images = 0
        self.warm_up: int | None = None  # images of the first turn
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Count the time since the last lap as that of `part`."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.seconds[part] += now - self.last
        self.last = now

    def turn(self, images: int) -> None:
        """End the work on some images; the next lap begins here."""
        if self.warm_up is None:
            self.warm_up = images
            self.seconds.clear()
        else:
            self.images += images
        self.last = time.perf_counter()

    def summary(self) -> dict[str, Any]:
        """Return milliseconds per image by part, None where all was warm-up, and the images left out."""
        per_image = {
            part: 1000 * seconds / self.images for part, seconds in self.seconds.items() if self.images
        }
        return {"milliseconds_per_image": per_image or None, "warm_up_images": self.warm_up or 0}


def write_speed(folder: Path, images: int, seconds: float, watch: Stopwatch) -> dict[str, Any]:
    """Write and return how fast images were read and predicted; apart from the metrics, which never vary.

    The milliseconds are those of the first process, all views of an image together, without warm-up.
    """
    values = {
        "images": images,
        "seconds": seconds,
        "images_per_second": images / max(seconds, 1e-9),
        "device": watch.device.type,
        "processes": distributed.world_size(),
        **watch.summary(),
    }
    write_json(folder / "speed.json", values, indent=1)
    return values
