"""Settings of evaluation."""

from typing import Annotated, Literal

from pydantic import Field

from cfg.section import Fraction, Number, Scale, Section, Turns


class EvalConfig(Section):
    """From raw predictions to metrics (spec 7 and 8)."""

    split: str = "val"
    """What test.py scores: train, val or test of the data, or the name of any split."""
    score_threshold: Fraction = 0.005
    """Least score of a detection; low, as average precision needs it."""
    class_weight: Fraction = 0.5
    """w of score = objectness^(1 - w) * class score^w (spec 7.5)."""
    multi_label: bool = False
    """Score each class of a cell above the threshold, not its best alone; predict.py stays at the best."""
    ratio_check: bool = True
    """A quad whose glides contradict its area ratio is read as its box; false: as published."""
    pre_nms: Number = 3000
    """Candidates per image before suppression."""
    nms_iou: Fraction = 0.45
    """Quads of one class that overlap more are one object (NMS)."""
    vote_iou: Fraction = 0.5
    """What overlaps more with a detection that suppresses it moves its quad; 1: nothing does."""
    support: float = Field(default=0.0, ge=0.0)
    """How much what a detection suppresses raises its score, too (docs/decisions.md); 0: not."""
    max_detections: Number = 2000
    """Detections of an image, those of the highest scores."""
    metric: Literal["voc07", "voc12"] = "voc12"
    """Average precision of 11 points (voc07) or of all points (voc12)."""
    batch_size: Number = 8
    """Images that the network sees at once."""
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] = (1.0,)
    """Test-time augmentation: factors of the network input; each image is shown in every scale with every
    flip and turn, and what was found is merged."""
    flips: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Test-time augmentation: mirror images that are shown besides the image as it is."""
    turns: Annotated[tuple[Turns, ...], Field(min_length=1)] = (0,)
    """Test-time augmentation: quarter turns counter-clockwise, 0 being the image as it is."""
    merge: Literal["nms", "fuse"] = "nms"
    """How views and tiles become one: the best of a group, or (fuse) its mean weighted by the scores."""
    merge_iou: Fraction = 0.3
    """Quads of one class in several views or tiles that overlap more are a group (spec 9.3)."""
