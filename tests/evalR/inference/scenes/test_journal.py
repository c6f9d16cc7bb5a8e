"""What is whole in a journal is found again, whatever happened to the rest."""

import logging
from pathlib import Path

import numpy as np
import pytest

from evalR.inference.scenes.journal import Journal, remove_journal
from evalR.inference.scenes.tiling import TileDetections, join_found

MEANING = {"file": [1, 2], "settings": {"rates": (1.0,)}}


def some(count: int, seed: int = 0) -> TileDetections:
    rng = np.random.default_rng(seed)
    return TileDetections(
        rng.normal(size=(count, 4, 2)),
        rng.random(count).astype(np.float32),
        rng.integers(0, 9, count),
        rng.random(count) < 0.5,
        rng.normal(size=(count, 4)),
    )


def assert_same(a: dict[int, TileDetections], b: dict[int, TileDetections]) -> None:
    assert sorted(a) == sorted(b)
    for number in a:
        for one, other in zip(a[number], b[number], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def write(place: Path, batches: dict[int, TileDetections]) -> None:
    journal = Journal(place, MEANING)
    journal.read()
    for number, found in batches.items():
        journal.append(number, found)


BATCHES = {4: some(3), 0: some(0), 2: some(50, 1)}


def test_batches_come_back_to_the_bit(tmp_path: Path) -> None:
    assert Journal(tmp_path / "j", MEANING).read() == {}
    write(tmp_path / "j", BATCHES)
    assert_same(Journal(tmp_path / "j", MEANING).read(), BATCHES)
    write(tmp_path / "j", {7: some(1, 2)})
    assert_same(Journal(tmp_path / "j", MEANING).read(), BATCHES | {7: some(1, 2)})


def test_cut_anywhere_all_but_the_last_record_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "j", BATCHES)
    file = tmp_path / "j.0"
    data = file.read_bytes()
    kept = []
    for length in [*range(0, len(data), 37), len(data)]:
        file.write_bytes(data[:length])
        before = Journal(tmp_path / "j", MEANING).read()
        kept.append(len(before))
        assert_same(before, {number: BATCHES[number] for number in list(BATCHES)[: len(before)]})
        write(tmp_path / "j", {9: some(2, 3)})
        assert_same(Journal(tmp_path / "j", MEANING).read(), before | {9: some(2, 3)})
    assert kept == sorted(kept)
    assert set(kept) == {0, 1, 2, 3}


def test_a_flipped_bit_ends_what_is_believed(tmp_path: Path) -> None:
    write(tmp_path / "j", BATCHES)
    file = tmp_path / "j.0"
    data = bytearray(file.read_bytes())
    data[-100] ^= 4
    file.write_bytes(bytes(data))
    assert_same(Journal(tmp_path / "j", MEANING).read(), {4: some(3), 0: some(0)})


def test_a_journal_of_other_settings_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "j", BATCHES)
    data = (tmp_path / "j.0").read_bytes()
    other = Journal(tmp_path / "j", MEANING | {"file": [1, 3]})
    with caplog.at_level(logging.WARNING):
        assert other.read() == {}
    assert "j.0: of another file; set aside as j.0.other" in caplog.text
    other.append(1, some(1))
    assert (tmp_path / "j.0.other").read_bytes() == data
    assert list(Journal(tmp_path / "j", MEANING | {"file": [1, 3]}).read()) == [1]


def test_journals_of_all_processes_are_read_and_removed(tmp_path: Path) -> None:
    place = tmp_path / "a [1]*.tif.journal"
    write(place, BATCHES)
    Path(f"{place}.0").rename(f"{place}.11")
    write(place, {5: some(4, 4)})
    (tmp_path / "a [1]*.tif.journal.txt").touch()
    (tmp_path / "a 1.tif.journal.0").touch()
    assert_same(Journal(place, MEANING).read(), BATCHES | {5: some(4, 4)})
    remove_journal(place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a 1.tif.journal.0", "a [1]*.tif.journal.txt"]


def test_nothing_joined() -> None:
    assert [field.shape for field in join_found([])] == [(0, 4, 2), (0,), (0,), (0,), (0, 4)]
