from pathlib import Path

import cv2
import numpy as np

from datasets_tools.doctor.images import Facts, examine, picture_hash
from datasets_tools.doctor.twins import MAX_DISTANCE, MIN_CORRELATION, near_pairs, rivals
from tests.datasets_tools.doctor.planted import scene


def random_facts(count: int) -> dict[Path, Facts]:
    """Half of the pictures are an earlier one with some bits and shades changed."""
    rng = np.random.default_rng(5)
    facts: dict[Path, Facts] = {}
    for number in range(count):
        bits, thumb = rng.random(512) < 0.5, rng.integers(0, 256, (16, 16))
        if number >= count // 2:
            earlier = facts[Path(f"{number - count // 2}")]
            assert earlier.bits is not None
            assert earlier.thumb is not None
            bits = earlier.bits ^ (rng.random(512) < rng.uniform(0.05, 0.25))
            thumb = (earlier.thumb + rng.normal(0, rng.uniform(5, 40), (16, 16))).clip(0, 255)
        facts[Path(f"{number}")] = Facts((9, 9), "", (), rng.bytes(16), bits, thumb.astype(np.uint8))
    return facts


def test_pairs_agree_with_a_slow_loop() -> None:
    facts = random_facts(600)
    first, second = list(facts)[:300], list(facts)[300:]
    expected = set()
    for path in second:
        b = facts[path]
        best, found = MIN_CORRELATION, None
        for other in first:
            a = facts[other]
            assert a.bits is not None
            assert b.bits is not None
            assert a.thumb is not None
            assert b.thumb is not None
            if np.count_nonzero(a.bits != b.bits) <= MAX_DISTANCE:
                alike = np.corrcoef(a.thumb.ravel(), b.thumb.ravel())[0, 1]
                best, found = (alike, other) if alike >= best else (best, found)
        if found:
            expected.add((found, path))
    assert 50 < len(expected) < 250
    assert set(near_pairs(first, second, facts)) == expected
    assert near_pairs([], second, facts) == near_pairs(first, [], facts) == []


def test_the_hash_survives_what_does_not_change_a_picture() -> None:
    grey = np.asarray(cv2.cvtColor(scene(1), cv2.COLOR_RGB2GRAY), np.uint8)
    original = picture_hash(grey)
    smaller = np.asarray(cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    coded = cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_GRAYSCALE)
    for changed in (smaller, np.asarray(coded, np.uint8), (grey * 0.7 + 40).astype(np.uint8)):
        assert np.count_nonzero(picture_hash(changed) != original) < MAX_DISTANCE / 2
    other = np.asarray(cv2.cvtColor(scene(2), cv2.COLOR_RGB2GRAY), np.uint8)
    assert np.count_nonzero(picture_hash(other) != original) > 2 * MAX_DISTANCE
    assert picture_hash(grey[:1, :1]).shape == original.shape


def test_a_digest_is_that_of_the_pixels_unless_it_is_fast(tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.bmp"]
    for path in paths:
        cv2.imwrite(str(path), scene(1))
    assert len({examine(path, fast=False).digest for path in paths}) == 1
    assert len({examine(path, fast=True).digest for path in paths}) == 2


def test_a_split_that_holds_others_is_no_rival() -> None:
    assert rivals(["test", "train", "trainval", "val"]) == [
        ("test", "train"),
        ("test", "trainval"),
        ("test", "val"),
        ("train", "val"),
    ]
    assert rivals(["all"]) == []
