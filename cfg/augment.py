"""Settings of the augmentations."""

from pydantic import Field

from cfg.section import Count, Fraction, Number, Positive, Section


class AugmentConfig(Section):
    """Probabilities and ranges of the training augmentations, per image."""

    flip_horizontal: Fraction = 0.5
    """Probability of a mirror image, left and right exchanged."""
    flip_vertical: Fraction = 0.5
    """Probability of a mirror image, top and bottom exchanged."""
    turn: Fraction = 0.5
    """Probability of a quarter, half or three-quarter turn."""
    rotate: Fraction = 0.3
    """Probability of a rotation by any angle up to augment.rotate_degrees."""
    rotate_degrees: float = Field(default=30.0, ge=0.0, le=180.0)
    """Largest angle of a rotation in degrees; drawn from -x to x."""
    scale: Fraction = 0.5
    """Probability of another scale."""
    scale_range: tuple[Positive, Positive] = (0.7, 1.4)
    """Smallest and largest scale; drawn log-uniformly."""
    shift: Fraction = 0.3
    """Probability of a shift."""
    shift_share: Fraction = 0.1
    """Largest shift as a share of the input side; drawn from -x to x."""
    crop: Fraction = 0.3
    """Probability of a window around all objects, never cutting one (spec 6.5)."""
    hsv: Fraction = 0.75
    """Probability of other colours."""
    hsv_gains: tuple[Fraction, Fraction, Fraction] = (0.015, 0.7, 0.4)
    """Largest changes of hue, saturation and value (spec 6.5)."""
    mixup: Fraction = 0.3
    """Probability that another image is blended in."""
    mixup_beta: Positive = 1.5
    """The share of the other image is drawn from Beta(x, x) (spec 6.5)."""
    mosaic: Fraction = 0.0
    """Probability of four images around a random centre."""
    copy_paste: Fraction = 0.0
    """Probability that objects of another image are pasted in, cut out along their quads."""
    copy_paste_objects: Number = 5
    """At most so many objects at once; drawn from 1 to it."""
    copy_paste_overlap: Fraction = 0.1
    """Largest share of the smaller of two objects, one of them pasted, that may lie in the other."""
    close_epochs: Count = 0
    """The last epochs, without mosaic, mixup and copy-paste."""
    multi_scale_steps: Count = 2
    """Input sizes vary by up to so many steps of 32 pixels, up and down; 0: one size, faster on a CPU."""
    multi_scale_every: Number = 10
    """Batches of one size before the next is drawn."""
