"""Scales at which images are shown to a network, as training has shown its own."""

from utils.images import Size

TOLERANCE = 1.02  # of a scale: nobody sees the difference


def filling_scale(size: Size, input_size: Size) -> float:
    """Return the scale at which an image of this height and width fills a network input."""
    return min(limit / max(side, 1) for side, limit in zip(size, input_size, strict=True))


def learned_scale(filling: float, highest: float) -> float:
    """Return the scale at which an image is shown whole: filling the input, but no larger than was learned.

    Args:
        filling: `filling_scale` of the image.
        highest: scale of training.
    """
    return filling if filling <= highest * TOLERANCE else highest
