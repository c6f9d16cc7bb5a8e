"""Score thresholds of the classes: those of the best F1 that a checkpoint has, and those of the settings."""

from collections.abc import Mapping, Sequence

from cfg.predict import DEFAULT_THRESHOLD, PredictConfig
from utils.errors import UserError
from utils.thresholds import OTHERS


def with_thresholds(
    predict: PredictConfig, learned: Mapping[str, float] | None, classes: Sequence[str]
) -> PredictConfig:
    """Return the settings with a threshold for each class: what they say, else what a checkpoint has.

    Args:
        learned: those of the best F1, by class and under `*`; a class without one, nor `*`, has 0.3.

    Raises:
        UserError: a threshold of no class.
    """
    chosen = predict.score_threshold
    if isinstance(chosen, float):
        return predict
    said, known = chosen or {}, learned or {}
    unknown = [name for name in said if name not in (*classes, OTHERS)]
    if unknown:
        raise UserError(f"predict.score_threshold: {unknown[0]!r} is none of {', '.join(classes)}")
    default = {name: known.get(name, known.get(OTHERS, DEFAULT_THRESHOLD)) for name in classes}
    every = {name: said.get(name, said.get(OTHERS, default[name])) for name in classes}
    return predict.model_copy(update={"score_threshold": every})
