"""Thresholds of the best F1, from an evaluation through a checkpoint's key to what is shown."""

import numpy as np
import pytest
import torch

from cfg.load import ConfigError, config_text, load_config, load_config_text
from cfg.predict import DEFAULT_THRESHOLD
from evalR.inference.thresholds import with_thresholds
from evalR.scoring.best_f1 import best_thresholds
from evalR.scoring.evaluate import score_all
from utils.errors import UserError
from utils.records import Annotation, Detections
from utils.thresholds import least_scores

CLASSES = ("a", "b", "c")


def boxes(xs: list[int]) -> np.ndarray:
    return np.array([[[x, 0], [x + 8, 0], [x + 8, 8], [x, 8]] for x in xs], np.float32).reshape(-1, 4, 2)


def data(scores: list[float], labels: list[int], hits: list[bool], objects: dict[int, int]) -> tuple:
    """Detections that hit the objects of their class one by one, or nothing."""
    truth = [(label, k) for label, count in objects.items() for k in range(count)]
    places = {pair: 20 * row for row, pair in enumerate(truth)}
    counters = dict.fromkeys(objects, 0)
    xs = []
    for label, hit in zip(labels, hits, strict=True):
        xs.append(places[(label, counters[label])] if hit else 10_000 + 20 * len(xs))
        counters[label] += hit
    detections = Detections(
        torch.from_numpy(boxes(xs)), torch.tensor(scores), torch.tensor(labels, dtype=torch.int64)
    )
    kinds = np.array([label for label, _ in truth], np.int64)
    annotation = Annotation(
        "a.png", boxes([places[pair] for pair in truth]), kinds, np.zeros(len(truth), np.int8)
    )
    return [detections], [annotation]


def slow_best(scores: list[float], hits: list[bool], objects: int) -> float:
    """The score from which on F1 is highest, by trying all."""
    rows = list(zip(scores, hits, strict=True))

    def f1(least: float) -> float:
        kept = [hit for score, hit in rows if score >= least]
        return 2 * sum(kept) / (len(kept) + objects)

    return max(sorted(set(scores), reverse=True), key=f1)


def test_each_class_and_all_together_get_their_best_cut() -> None:
    rng = np.random.default_rng(3)
    labels = [0] * 30 + [1] * 30
    hits = [bool(x) for x in rng.random(60) < np.repeat([0.4, 0.6], 30)]
    hits = [hit and k % 30 < 20 for k, hit in enumerate(hits)]
    scores = [round(float(x), 3) for x in 0.4 * rng.random(60) + 0.5 * np.array(hits)]
    found = best_thresholds(score_all(*data(scores, labels, hits, {0: 20, 1: 25, 2: 3}), CLASSES))
    assert set(found) == {"a", "b", "*"}, "three objects are too few"
    for row, (name, objects) in enumerate((("a", 20), ("b", 25))):
        own = slice(30 * row, 30 * row + 30)
        assert found[name] == pytest.approx(slow_best(scores[own], hits[own], objects), abs=1e-4)
    assert found["*"] == pytest.approx(slow_best(scores, hits, 48), abs=1e-4)
    for threshold in found.values():
        assert min(abs(threshold - score) for score in scores) <= 1e-4
        assert any(np.float32(score) >= threshold for score in scores)


def test_nothing_found_and_nothing_there() -> None:
    none = Detections(torch.zeros(0, 4, 2), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    empty = Annotation("a.png", boxes([]), np.zeros(0, np.int64), np.zeros(0, np.int8))
    assert best_thresholds(score_all([none], [empty], CLASSES)) == {}
    assert best_thresholds(score_all([], [], CLASSES)) == {}


def resolved(
    words: list[str], learned: dict[str, float] | None, classes: tuple[str, ...] = CLASSES
) -> list[float]:
    predict = with_thresholds(load_config(None, words).predict, learned, classes)
    return least_scores(predict.threshold, classes).tolist()


def test_settings_win_over_the_checkpoint() -> None:
    learned = {"*": 0.6, "a": 0.5, "gone": 0.1}
    assert resolved([], None) == resolved([], {}) == [DEFAULT_THRESHOLD] * 3
    assert resolved([], learned) == [0.5, 0.6, 0.6]
    assert resolved(["predict.score_threshold=0.2"], learned) == [0.2] * 3
    assert resolved(["predict.score_threshold=0"], learned) == [0.0] * 3
    assert resolved(["predict.score_threshold={b: 0.9}"], learned) == [0.5, 0.9, 0.6]
    assert resolved(["predict.score_threshold={b: 0.9, '*': 0.1}"], learned) == [0.1, 0.9, 0.1]
    assert resolved(["predict.score_threshold={b: 1e-3}"], None) == [0.3, 0.001, 0.3]


def test_a_mapping_survives_the_file() -> None:
    config = load_config(None, ["predict.score_threshold={a: 0.5, x.y: 0.25, '*': 0.75}"])
    assert config.predict.score_threshold == {"a": 0.5, "x.y": 0.25, "*": 0.75}
    assert load_config_text(config_text(config), "again") == config
    word = "predict.score_threshold={a: 0.5, x.y: 0.25, '*': 0.75}"
    assert resolved([word], None, ("a", "x.y", "z")) == [0.5, 0.25, 0.75]
    with pytest.raises(UserError, match=r"predict.score_threshold: 'x\.y' is none of a, b"):
        resolved([word], None, ("a", "b"))
    for word in ("predict.score_threshold=2", "predict.score_threshold={a: 2}"):
        with pytest.raises(ConfigError, match=r"predict\.score_threshold"):
            load_config(None, [word])
