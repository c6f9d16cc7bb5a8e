"""Calibration of scores: of the detections at a score of 0.7, are 70 % right?"""

from typing import NamedTuple

import numpy as np

from evalR.scoring.matching import I8, NEITHER, TRUE
from utils.arrays import F64, I64

BINS = 15  # Guo et al., 2017, arXiv:1706.04599


class Calibration(NamedTuple):
    """Detections by score, in bins of one width from 0 to 1; those on difficult ground truth are left out."""

    counts: I64  # (BINS,)
    scores: F64  # (BINS,) their mean, NaN in empty bins
    precision: F64  # (BINS,) the share that is true, NaN in empty bins
    error: float  # expected calibration error: mean of |precision - score| over the detections; NaN without


def calibrate(scores: F64, verdicts: I8) -> Calibration:
    """Return the calibration: precision in bins of scores; see `judge`.

    Raises:
        ValueError: a score outside [0, 1].
    """
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(f"scores: expected 0 to 1, got {scores.min():g} to {scores.max():g}")
    counted = verdicts != NEITHER
    scores, true = scores[counted], verdicts[counted] == TRUE
    bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    size = np.where(counts > 0, counts, np.nan)
    mean, precision = (np.bincount(bins, values, minlength=BINS) / size for values in (scores, true))
    apart = np.nansum(np.abs(precision - mean) * counts) / len(scores) if len(scores) else np.nan
    return Calibration(counts, mean, precision, float(apart))
