"""Angle errors of the true detections."""

import numpy as np
import torch

from evalR.scoring.columns import Bools
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import I8, TRUE
from utils.arrays import F64
from utils.quads.geometry import edge_aligned_sides, quad_angles

SQUARE = 1.2  # long over short side; below, which side is the long one is a matter of chance


def angle_errors(scored: Scored, verdicts: I8) -> tuple[F64, Bools]:
    """Return the errors of the true detections in degrees, by row, and which detections these are, (D,).

    The angle between the long sides, 0 to 90; where the ground truth is nearly square, between the sides that
    are closest, 0 to 45.
    """
    true = verdicts == TRUE
    found = torch.from_numpy(scored.found.shapes[true])
    truth = torch.from_numpy(scored.truth.shapes[scored.matches.best_truth[true]])
    sides = edge_aligned_sides(truth).numpy()
    turn = np.where(sides[:, 0] < SQUARE * sides[:, 1], 90.0, 180.0)
    apart = np.degrees((quad_angles(found) - quad_angles(truth)).abs().numpy()) % turn
    return np.minimum(apart, turn - apart), true
