import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from cfg.schema import AugmentConfig
from dataloadR.dataset import RotatedDataset, degenerate
from tests.dataloadR.random_images import annotations
from utils.images import ImageError
from utils.records import Sample

SIZE = (64, 96)


def same(first: Sample, second: Sample) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first[:5], second[:5], strict=True))


def test_without_augmentation_it_is_a_letterbox(tmp_path: Path) -> None:
    source = annotations(tmp_path)
    dataset = RotatedDataset(source)
    assert len(dataset) == 5
    sample = dataset[(0, 0, 3, (140, 200))]
    ratio = 140 / 73
    moved = source[3].quads * ratio + [(200 - 90 * ratio) // 2, 0]
    np.testing.assert_allclose(sample.quads, moved, rtol=1e-5)
    assert sample.ignore.tolist() == [False, False, True]
    assert sample.row == 3
    assert sample.frame.source_size == (73, 90)
    assert same(sample, dataset[(7, 9, 3, (140, 200))])


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_chance_follows_seed_epoch_and_position_alone(tmp_path: Path, mosaic: float) -> None:
    config = AugmentConfig(mixup=0.5, mosaic=mosaic)
    source = annotations(tmp_path)
    dataset = RotatedDataset(source, config, seed=1)
    copy = pickle.loads(pickle.dumps(dataset))
    for index in range(5):
        key = (2, 3, index, SIZE)
        first = dataset[key]
        assert first.image.shape == (*SIZE, 3)
        assert first.row == index
        assert same(first, copy[key])
        assert len(first.quads) == len(first.labels) == len(first.weights) == len(first.ignore)
    assert not same(dataset[(2, 3, 4, SIZE)], dataset[(3, 3, 4, SIZE)])
    assert not same(dataset[(2, 3, 4, SIZE)], dataset[(2, 4, 4, SIZE)])
    assert not same(dataset[(2, 3, 4, SIZE)], RotatedDataset(source, config, seed=2)[(2, 3, 4, SIZE)])


def test_degenerate_quads_are_left_out_with_a_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = [[0, 0], [9, 0], [9, 9], [0, 9]]
    crossing = [[0, 0], [9, 9], [9, 0], [0, 9]]
    thin = [[0, 0], [9, 0], [9, 0.5], [0, 0.5]]
    slant = [[0, 0], [4, 4], [9, 9], [6, 6]]
    point = [[3, 3]] * 4
    quads = np.array([good, crossing, thin, slant, point], np.float32)
    assert degenerate(quads).tolist() == [False, False, True, True, True]
    assert degenerate(quads[:0]).shape == (0,)
    source = annotations(tmp_path, 3)
    source[1] = source[1]._replace(quads=quads, labels=np.arange(5), difficult=np.zeros(5, np.int8))
    with caplog.at_level(logging.WARNING):
        dataset = RotatedDataset(source)
    assert dataset.annotations[1].labels.tolist() == [0, 1]
    assert [len(a.quads) for a in dataset.annotations] == [0, 2, 2]
    assert "left out 3 quads" in caplog.text
    assert len(RotatedDataset([])) == 0


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    dataset = RotatedDataset([annotations(tmp_path, 1)[0]._replace(image_path="gone.png")])
    with pytest.raises(ImageError, match=r"gone\.png"):
        dataset[(0, 0, 0, SIZE)]


def test_the_last_epochs_go_without_mosaic_and_mixup(tmp_path: Path) -> None:
    source = annotations(tmp_path)
    full = AugmentConfig(mosaic=1.0, mixup=1.0, close_epochs=2)
    plain = full.model_copy(update={"mosaic": 0.0, "mixup": 0.0})
    closing = RotatedDataset(source, full, seed=1, epochs=5)
    for epoch in range(5):
        expected = RotatedDataset(source, full if epoch < 3 else plain, seed=1)
        for position in range(4):
            assert same(
                closing[(epoch, position, position, SIZE)], expected[(epoch, position, position, SIZE)]
            )
    always = RotatedDataset(source, plain.model_copy(update={"close_epochs": 9}), seed=1, epochs=5)
    assert same(always[(0, 0, 3, SIZE)], RotatedDataset(source, plain, seed=1)[(0, 0, 3, SIZE)])
