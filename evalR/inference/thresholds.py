"""Score thresholds of the classes: those of the best F1 that a checkpoint has, and those of the settings."""

from collections.abc import Mapping, Sequence

from cfg.predict import DEFAULT_THRESHOLD, PredictConfig
from utils.thresholds import thresholds_by_class


def with_thresholds(
    predict: PredictConfig, learned: Mapping[str, float] | None, classes: Sequence[str]
) -> PredictConfig:
    """Return the settings with a threshold for each class: what they say, else what a checkpoint has.

    Args:
        learned: those of the best F1, by class and under `*`; a class without one, nor `*`, has 0.3.

    Raises:
        UserError: a threshold of no class.
    """
    chosen = thresholds_by_class(predict.score_threshold, learned, classes, DEFAULT_THRESHOLD)
    return predict.model_copy(update={"score_threshold": chosen})
