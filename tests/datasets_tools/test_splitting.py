import logging
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_tools.splitting import deal, source_name, unit_keys
from utils.errors import UserError
from utils.tiles import Tile

SHARES = np.array([0.7, 0.2, 0.1])


def held(splits: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of the values that each split holds."""
    return np.array([values[splits == k].sum(axis=0) for k in range(3)]) / np.maximum(values.sum(axis=0), 1)


@given(st.integers(0, 300), st.integers(0, 2**32 - 1), st.lists(st.floats(0.01, 1), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_single_images_miss_their_share_by_less_than_one(count: int, seed: int, weights: list[float]) -> None:
    shares = np.array(weights) / sum(weights)
    splits = deal(np.ones(count, np.int64), shares, np.random.default_rng(seed))
    got = np.bincount(splits, minlength=len(shares))
    assert got.sum() == count
    assert np.abs(got - shares * count).max() < 1


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_groups_miss_their_share_by_about_a_group(sizes: list[int], seed: int) -> None:
    splits = deal(np.array(sizes), SHARES, np.random.default_rng(seed))
    got = np.bincount(splits, weights=sizes, minlength=3)
    assert (got - SHARES * sum(sizes)).max() < max(sizes)


def test_the_seed_decides() -> None:
    sizes = np.array([5, 3, 8, 1, 1, 7, 2, 9, 4, 4])
    draws = [tuple(deal(sizes, SHARES, np.random.default_rng(seed)).tolist()) for seed in (0, 0, 1, 2, 3)]
    assert draws[0] == draws[1]
    assert len(set(draws)) > 2


def test_a_split_is_left_empty_only_if_it_must_be() -> None:
    for seed in range(10):
        splits = deal(np.array([90, 5, 5]), np.array([0.8, 0.1, 0.1]), np.random.default_rng(seed))
        assert sorted(splits.tolist()) == [0, 1, 2]


def long_tail(rng: np.random.Generator, images: int, classes: int) -> np.ndarray:
    """Return objects per image and class: rare classes, in clumps, and empty images."""
    rates = 1 / np.arange(1, classes + 1) ** 1.5
    there = rng.random((images, classes)) < rates * 0.6
    return np.where(there, rng.geometric(0.2, (images, classes)), 0)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_shares_of_classes_are_bounded_and_better_than_chance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = long_tail(rng, 600, 12)
    sizes = np.ones(600, np.int64)
    even = deal(sizes, SHARES, np.random.default_rng(seed), counts)
    by_chance = deal(sizes, SHARES, np.random.default_rng(seed))
    miss, chance = (np.abs(held(splits, counts) - SHARES[:, None]) for splits in (even, by_chance))
    usual = (counts > 0).sum(axis=0) >= 20  # of a class in few images no split can have its exact share
    assert usual.sum() >= 5
    assert miss[:, usual].max() < 0.06
    assert miss[:, usual].mean() < chance[:, usual].mean() / 3
    assert np.abs(held(even, sizes) - SHARES).max() < 0.05


def test_stratified_without_objects_and_without_images() -> None:
    splits = deal(np.ones(10, np.int64), SHARES, np.random.default_rng(0), np.zeros((10, 3), np.int64))
    assert np.bincount(splits).tolist() == [7, 2, 1]
    for counts in (None, np.zeros((0, 2), np.int64)):
        assert len(deal(np.zeros(0, np.int64), SHARES, np.random.default_rng(0), counts)) == 0


NAMES = st.from_regex(r"\A[ab]_[0-9]\Z")
TILES = st.builds(Tile, NAMES, st.sampled_from([0.5, 1.0]), st.integers(0, 9), st.integers(0, 9))


@given(
    st.lists(st.one_of(NAMES, TILES.map(lambda tile: tile.name)), min_size=1, max_size=60),
    st.sampled_from([None, "^(a|b)", "([0-9])$", "_(5)"]),
    st.sampled_from(["/data/images", "/data/train/images", "video1"]),
    st.integers(0, 9),
)
@settings(max_examples=50, deadline=None)
def test_neither_groups_nor_images_are_divided(
    names: list[str], pattern: str | None, folder: str, seed: int
) -> None:
    paths = [f"{folder}/{name}.png" for name in names]
    try:
        keys = unit_keys(paths, pattern)
    except UserError:
        assert pattern == "_(5)"
        return
    _, units = np.unique(keys, return_inverse=True)
    splits = deal(np.bincount(units), SHARES, np.random.default_rng(seed))[units]
    together: dict[str, set[int]] = defaultdict(set)
    for name, split in zip(names, splits.tolist(), strict=True):
        image = name.split("__")[0]
        together[image].add(split)
        if pattern == "^(a|b)":
            together[f"video {image[0]}"].add(split)
        elif pattern == "([0-9])$":
            together[f"scene {image[-1]}"].add(split)
    assert all(len(found) == 1 for found in together.values())


def test_tiles_stay_together_across_folders_and_whatever_the_pattern_says() -> None:
    tiles = ["/d/train/images/P1__1__0___0.png", "/d/val/images/P1__0.5__600___0.png"]
    assert len(set(unit_keys(tiles))) == 1
    assert len(set(unit_keys(tiles, "(train|val)/"))) == 1
    assert source_name(tiles[0]) == "P1"
    assert source_name("P1478__1__853___962__1__0___224.png") == "P1478"


def test_images_of_a_name_in_two_folders_are_two() -> None:
    assert len(set(unit_keys(["CAR/P1.png", "PLANE/P1.png"]))) == 2
    assert len(set(unit_keys(["v1/1.png", "v1/2.png", "v2/1.png"], r"(v\d)/"))) == 2


def test_patterns_that_cannot_be_used() -> None:
    with pytest.raises(UserError, match=r"--group '\(': no regular expression: "):
        unit_keys(["a.png"], "(")
    with pytest.raises(UserError, match="expected a group in parentheses"):
        unit_keys(["a.png"], "a")
    with pytest.raises(UserError, match="matches none of 2 image names such as 'a'"):
        unit_keys(["images/a.png", "images/b.png"], "(x)")


def test_images_without_a_group_are_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        keys = unit_keys(["images/v1_1.png", "images/v1_2.png", "images/x.png"], "(v1)")
    assert len(set(keys)) == 2
    assert "1 image without a group, each for itself, such as 'x'" in caplog.text
