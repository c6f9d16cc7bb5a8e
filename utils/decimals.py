"""Decimals in text files: as many as matter, and no needless zeros."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

DECIMALS = 6  # of coordinates in pixels


def to_text(value: float, decimals: int = DECIMALS) -> str:
    """Return a number without needless zeros."""
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def rounded(points: NDArray[np.float64], decimals: int = DECIMALS) -> list[Any]:
    """Return an array as lists of numbers with the decimals that are kept."""
    values: list[Any] = (np.round(points, decimals) + 0.0).tolist()
    return values
