import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from cfg.schema import AugmentConfig
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import Ahead, collate, eval_loader, to_device, train_loader
from dataloadR.samplers import EvalBatches, TrainBatches, draw_repeats, draw_size, repeat_factors
from tests.dataloadR.random_images import annotations
from tests.training_runs import ROOT
from utils.records import Annotation, Batch

SIZE = (64, 96)


def equal(first: Batch, second: Batch) -> bool:
    fields = zip(first.objects, second.objects, strict=True)
    return torch.equal(first.images, second.images) and all(torch.equal(a, b) for a, b in fields)


def test_an_epoch_shows_every_image_once_and_differs() -> None:
    batches = TrainBatches(count=12, batch_size=3, size=SIZE, seed=4)
    first = list(batches)
    assert len(first) == len(batches) == 4
    keys = [key for batch in first for key in batch]
    assert sorted(index for _, _, index, _ in keys) == list(range(12))
    assert [position for _, position, _, _ in keys] == list(range(12))
    assert list(batches) == first
    batches.set_epoch(1)
    assert list(batches) != first
    batches.set_epoch(0, start=2)
    assert list(batches) == first[2:]
    assert len(batches) == 2


def test_the_short_last_batch() -> None:
    assert [len(batch) for batch in TrainBatches(count=8, batch_size=3, size=SIZE)] == [3, 3]
    assert [len(batch) for batch in TrainBatches(count=2, batch_size=3, size=SIZE)] == [2]
    assert [len(batch) for batch in EvalBatches(count=8, batch_size=3, size=SIZE)] == [3, 3, 2]
    assert list(EvalBatches(count=0, batch_size=3, size=SIZE)) == []
    with pytest.raises(ValueError, match="at least one image"):
        TrainBatches(count=0, batch_size=3, size=SIZE)


@pytest.mark.parametrize("count", [1, 3, 5, 8, 17, 32])
def test_many_processes_share_the_batches_of_one(count: int) -> None:
    one = list(TrainBatches(count=count, batch_size=8, size=SIZE, steps=2, every=2))
    ranks = [
        list(TrainBatches(count=count, batch_size=2, size=SIZE, steps=2, every=2, rank=r, world_size=4))
        for r in range(4)
    ]
    joined = [[key for part in parts for key in part] for parts in zip(*ranks, strict=True)]
    assert all(part for rank in ranks for part in rank)  # nobody waits for an empty batch
    assert joined == one or count < 4
    parts = [EvalBatches(count=count, batch_size=2, size=SIZE, rank=r, world_size=4) for r in range(4)]
    assert sorted(key[2] for part in parts for batch in part for key in batch) == list(range(count))
    assert all(len(list(part)) == len(part) for part in parts)


def test_sizes_of_multi_scale() -> None:
    drawn = {draw_size((64, 96), 2, (0, 0, block)) for block in range(200)}
    assert drawn == {(32, 32), (32, 64), (64, 96), (96, 128), (128, 160)}
    assert draw_size(SIZE, 0, (0, 0, 5)) == SIZE
    batches = [
        {size for *_, size in batch}
        for batch in TrainBatches(count=60, batch_size=2, size=SIZE, steps=2, every=5)
    ]
    assert all(len(sizes) == 1 for sizes in batches)
    blocks = [batches[i : i + 5] for i in range(0, 30, 5)]
    assert all(sizes == block[0] for block in blocks for sizes in block)


def labelled(labels: list[int], difficult: int = 0) -> Annotation:
    count = len(labels)
    flags = np.full(count, difficult, np.int8)
    return Annotation("", np.zeros((count, 4, 2), np.float32), np.array(labels, np.int64), flags)


def test_repeat_factors_by_hand() -> None:
    source = [labelled([0]), labelled([0, 0, 1]), labelled([0]), labelled([]), labelled([2], difficult=2)]
    source += [labelled([0])] * 5
    factors = repeat_factors(source, 0.4)
    assert factors is not None
    np.testing.assert_allclose(factors, [1, 2, 1, 1, 1, 1, 1, 1, 1, 1])  # sqrt(0.4 / 0.1), class 2 is ignored
    np.testing.assert_array_equal(repeat_factors(source, 0.001), np.ones(10))
    assert repeat_factors(source, None) is None
    np.testing.assert_array_equal(repeat_factors([labelled([])], 0.5), [1])


def test_repeats_are_drawn_by_epoch_and_right_on_average() -> None:
    factors = np.array([1.0, 1.25, 2.5, 3.9, 1.0, 1.1])
    counts = np.array([np.bincount(draw_repeats(factors, (0, epoch)), minlength=6) for epoch in range(4000)])
    assert set(counts.sum(axis=1)) == {10}  # floor(10.75), so that every epoch has the same steps
    assert (counts <= np.ceil(factors)).all()
    np.testing.assert_allclose(counts.mean(axis=0), factors * 10 / 10.75, atol=0.15)
    np.testing.assert_array_equal(draw_repeats(factors, (3, 5)), draw_repeats(factors, (3, 5)))
    assert draw_repeats(factors, (3, 5)).tolist() != draw_repeats(factors, (3, 6)).tolist()
    assert sorted(draw_repeats(np.ones(9), (0, 0))) == list(range(9))


@pytest.mark.parametrize("world_size", [1, 2])
def test_repeats_resume_and_share_like_any_epoch(world_size: int) -> None:
    factors = np.array([1.0, 2.5, 1.0, 3.0, 1.0, 1.0, 2.6])
    size = 4 // world_size
    ranks = [
        TrainBatches(7, size, SIZE, seed=2, rank=rank, world_size=world_size, factors=factors)
        for rank in range(world_size)
    ]
    for batches in ranks:
        batches.set_epoch(3)
    parts = zip(*ranks, strict=True)
    rows = [key[2] for part in parts for keys in part for key in keys]
    assert len(rows) == 12 == 4 * len(ranks[0])
    assert rows == draw_repeats(factors, (2, 3)).tolist()
    whole = list(ranks[0])
    ranks[0].set_epoch(3, start=1)
    assert list(ranks[0]) == whole[1:]
    assert len(ranks[0]) == 2
    with pytest.raises(ValueError, match="expected 8 repeat factors, got 7"):
        TrainBatches(8, 2, SIZE, factors=factors)


def test_collate_by_hand(tmp_path: Path) -> None:
    dataset = RotatedDataset(annotations(tmp_path))
    samples = [dataset[(0, 0, index, SIZE)] for index in (2, 0, 3)]
    batch = collate(samples, len(samples))
    assert batch.images.shape == (3, 3, *SIZE)
    assert batch.images.dtype == torch.uint8
    np.testing.assert_array_equal(batch.images[2, 1].numpy(), samples[2].image[..., 1])
    assert batch.objects.image_index.tolist() == [0, 0, 2, 2, 2]
    assert batch.indices.tolist() == [2, 0, 3]
    dtypes = [torch.float32, torch.int64, torch.float32, torch.bool, torch.int64]
    assert [field.dtype for field in batch.objects] == dtypes
    assert batch.frames[1].source_size == (70, 90)
    empty = collate(samples[1:2], 1)
    assert [field.dtype for field in empty.objects] == dtypes
    assert empty.objects.quads.shape == (0, 4, 2)
    assert equal(to_device(empty, torch.device("cpu")), empty)
    with pytest.raises(ValueError, match="one size"):
        collate([samples[0], dataset[(0, 0, 1, (32, 32))]], 2)


def test_eval_loader_keeps_the_order(tmp_path: Path) -> None:
    dataset = RotatedDataset(annotations(tmp_path))
    loaded = list(eval_loader(dataset, EvalBatches(len(dataset), 2, SIZE), workers=0))
    assert [batch.indices.tolist() for batch in loaded] == [[0, 1], [2, 3], [4]]


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "context"), [(1, None), (2, None), (2, "spawn")])
def test_the_number_of_workers_changes_nothing(tmp_path: Path, workers: int, context: str | None) -> None:
    dataset = RotatedDataset(annotations(tmp_path), AugmentConfig(mixup=0.5, mosaic=0.3), seed=3)
    batches = TrainBatches(len(dataset), 2, SIZE, seed=3, steps=1, every=1)
    alone, helped = train_loader(dataset, batches, 0), train_loader(dataset, batches, workers, context)
    for epoch in range(2):
        batches.set_epoch(epoch)
        pairs = list(zip(alone, helped, strict=True))
        assert len(pairs) == 2
        assert all(equal(first, second) for first, second in pairs)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "held"), [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_memory_is_used_again_when_batches_are_done_with(tmp_path: Path, workers: int, held: int) -> None:
    """What was held at the same time is whole, also where batches change their size."""
    dataset = RotatedDataset(annotations(tmp_path), AugmentConfig(mixup=0.5), seed=3)
    batches = TrainBatches(len(dataset), 1, SIZE, seed=3, steps=2, every=1)
    loader = train_loader(dataset, batches, workers, ahead=Ahead(prefetch=2, held=held))
    for epoch in range(8):
        batches.set_epoch(epoch)
        alone, helped = iter(train_loader(dataset, batches, 0)), iter(loader)
        while group := list(islice(helped, held)):
            assert all(equal(first, second) for first, second in zip(islice(alone, held), group, strict=True))


@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (2, 2), (3, 1), (1, 1)])
def test_however_a_step_is_divided_it_has_the_same_images(world: int, accumulate: int) -> None:
    whole = list(TrainBatches(50, 12, (64, 64), steps=2, every=3))
    divided = [
        list(TrainBatches(50, 12 // world // accumulate, (64, 64), 0, 2, 3, rank, world, accumulate))
        for rank in range(world)
    ]
    assert all(len(part) == 4 * accumulate for part in divided)
    for step, keys in enumerate(whole):
        micros = range(step * accumulate, (step + 1) * accumulate)
        assert [key for micro in micros for part in divided for key in part[micro]] == keys


def test_too_few_images_still_give_every_process_one() -> None:
    parts = [list(TrainBatches(2, 4, (64, 64), rank=rank, world_size=2, accumulate=2)) for rank in range(2)]
    assert [len(part) for part in parts] == [2, 2]
    assert all(len(keys) == 1 for part in parts for keys in part)


UNFINISHED = """
import sys
from pathlib import Path
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import eval_loader
from dataloadR.samplers import EvalBatches
from tests.dataloadR.random_images import annotations

data = RotatedDataset(annotations(Path(sys.argv[1])))
batches = iter(eval_loader(data, EvalBatches(len(data), 1, (64, 64)), workers=2))
next(batches)
raise ValueError("the loop ends here, and its workers are alive")
"""


def test_the_processes_of_a_host_end_in_peace(tmp_path: Path) -> None:
    """At the end of a program that only imports this, its processes get SIGTERM, as from Python itself."""
    code = f"""
import multiprocessing, pathlib, signal, sys, time
import dataloadR.loader

def child(ready):
    def end(number, frame):
        pathlib.Path({str(tmp_path / "ended")!r}).write_text("in peace")
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    ready.set()
    time.sleep(60)

context = multiprocessing.get_context("fork")
ready = context.Event()
context.Process(target=child, args=[ready], daemon=True).start()
assert ready.wait(30)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
    assert (tmp_path / "ended").read_text() == "in peace"


def test_an_error_ends_the_workers_as_well(tmp_path: Path) -> None:
    """They ignore SIGTERM; a process that ended by an error waited for them forever."""
    words = [sys.executable, "-c", UNFINISHED, str(tmp_path)]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr.rstrip().endswith("its workers are alive")
