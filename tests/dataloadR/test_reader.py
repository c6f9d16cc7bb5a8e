import contextlib
import logging
import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest

from cfg.schema import AugmentConfig, DataConfig
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import train_loader
from dataloadR.reader import ImageReader
from dataloadR.samplers import TrainBatches
from tests.dataloadR.damaged import EARLY, LATE, write
from tests.dataloadR.random_images import annotations
from utils.images import ImageError, read_image
from utils.records import Annotation

SIZE = (64, 96)
SKIP = DataConfig(on_error="skip")
BARE = Annotation("", np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int8))


def mixed(folder: Path, bad: int) -> list[Annotation]:
    """Five good images and some that fail, in turn before and while they are decoded."""
    paths = write(folder / "bad", [*LATE, *EARLY], bad)
    return annotations(folder) + [BARE._replace(image_path=str(path)) for path in paths]


def test_every_damage_is_one_error(tmp_path: Path) -> None:
    reader = ImageReader([str(path) for path in write(tmp_path, [*EARLY, *LATE], 300)], DataConfig())
    for row, path in enumerate(reader.paths):
        with pytest.raises(ImageError) as caught:
            reader.read(row)
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("mosaic", [0.0, 0.5])
def test_another_image_takes_the_place(
    tmp_path: Path, mosaic: float, caplog: pytest.LogCaptureFixture
) -> None:
    source = mixed(tmp_path, 6)
    config = AugmentConfig(mosaic=mosaic)
    dataset, copy = (RotatedDataset(source, config, data=SKIP) for _ in range(2))
    keys = [(1, position, position % 11, SIZE) for position in range(33)]
    samples = {key: dataset[key] for key in keys}
    for key in reversed(keys):  # what was met before changes nothing
        again = copy[key]
        assert samples[key].row == again.row < 5
        np.testing.assert_array_equal(samples[key].image, again.image)
        np.testing.assert_array_equal(samples[key].quads, again.quads)
    plain = AugmentConfig(mosaic=0, mixup=0)
    assert [RotatedDataset(source, plain, data=SKIP)[key].row for key in keys[:5]] == [0, 1, 2, 3, 4]
    for annotation in source[5:]:
        assert caplog.text.count(f"left out: {annotation.image_path}") == 2  # once by each of the datasets
    with pytest.raises(ImageError, match="bad000"):
        RotatedDataset(source, config)[(1, 0, 5, SIZE)]
    with pytest.raises(ImageError, match="100 other images"):
        RotatedDataset(source[5:], config, data=SKIP)[(1, 0, 0, SIZE)]


def test_in_evaluation_it_is_grey(tmp_path: Path) -> None:
    source = mixed(tmp_path, 1)
    sample = RotatedDataset([source[5]._replace(quads=source[1].quads)], data=SKIP)[(0, 0, 0, SIZE)]
    assert (sample.image == 128).all()
    assert sample.quads.shape == (0, 4, 2)
    assert sample.row == 0


@pytest.mark.slow
def test_workers_report_a_file_once_and_live_on(tmp_path: Path) -> None:
    source = mixed(tmp_path, 8)
    handler = logging.FileHandler(tmp_path / "log.txt")
    logger = logging.getLogger("dataloadR.reader")
    logger.addHandler(handler)
    try:
        dataset = RotatedDataset(source, AugmentConfig(mixup=0.3, mosaic=0.3), data=SKIP)
        batches = TrainBatches(len(source), 2, SIZE)
        alone = list(train_loader(RotatedDataset(source, dataset.augment, data=SKIP), batches, 0))
        handler.stream.truncate(0)
        loader = train_loader(dataset, batches, 2, "fork")
        helped = list(loader)
        for epoch in (1, 2):
            batches.set_epoch(epoch)
            assert len(list(loader)) == len(helped)
    finally:
        logger.removeHandler(handler)
        handler.close()
    for first, second in zip(alone, helped, strict=True):
        np.testing.assert_array_equal(first.images.numpy(), second.images.numpy())
    lines = (tmp_path / "log.txt").read_text().replace("\0", "").splitlines()
    for annotation in source[5:]:
        assert sum(annotation.image_path in line for line in lines) == 1


def test_the_cache_fills_once_and_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = annotations(tmp_path)
    room = 2.5 * 72 * 90 * 3 / 1e9
    cached = RotatedDataset(source, AugmentConfig(), data=DataConfig(cache_gb=room))
    plain = RotatedDataset(source, AugmentConfig())
    with caplog.at_level(logging.INFO):
        for position in range(20):
            key = (0, position, position % 5, SIZE)
            np.testing.assert_array_equal(cached[key].image, plain[key].image)
    images, size = cached.images.held
    assert images == 2
    assert 0 < size <= room * 1e9
    assert caplog.text.count("full with 2 images") == 1
    assert plain.images.held == (0, 0)
    kept = next(iter(cached.images._kept))
    Path(cached.images.paths[kept[0]]).unlink()
    assert cached.images.read(*kept).shape == (70 + kept[0], 90, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_jpegs_are_decoded_at_a_part_of_their_size(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), np.zeros((301, 403, 3), np.uint8))
    reader = ImageReader([str(path)], DataConfig())
    assert reader.size(0) == (301, 403)
    shapes = [reader.read(0, reduce).shape[:2] for reduce in (1, 2, 4, 8)]
    halves = [(301, 403), (151, 202), (76, 101), (38, 51)]
    assert shapes == (halves if suffix == ".jpg" else [(301, 403)] * 4)


def test_a_file_that_changed_its_size_is_named(tmp_path: Path) -> None:
    path = annotations(tmp_path, 1)[0].image_path
    reader = ImageReader([path], DataConfig())
    reader.size(0)
    cv2.imwrite(path, np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(ImageError, match=r"0\.png: expected one size, got 90 x 70 px by its header, 20 x 20"):
        reader.read(0)
    assert read_image(path).shape == (20, 20, 3)


def read_together(reader: ImageReader, barrier: Barrier, log: Path) -> None:
    """Read all files at the same moments as another process does, and log to a file."""

    def read(path: str) -> NoReturn:
        barrier.wait(timeout=60)
        raise ImageError(f"{path}: damaged")

    logging.getLogger("dataloadR.reader").addHandler(logging.FileHandler(log))
    for row in range(len(reader.paths)):
        with contextlib.suppress(ImageError):
            reader._guarded(row, read)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_two_processes_that_read_a_file_at_once_report_it_once(tmp_path: Path, context: str) -> None:
    reader, log = ImageReader([f"{k}.png" for k in range(200)], SKIP), tmp_path / "log.txt"
    processes = multiprocessing.get_context(context)
    barrier = processes.Barrier(2)
    both = [processes.Process(target=read_together, args=(reader, barrier, log)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=120)
        assert process.exitcode == 0
    assert sorted(log.read_text().splitlines()) == sorted(f"left out: {k}.png: damaged" for k in range(200))
