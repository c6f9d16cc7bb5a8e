"""Scenes of every size and rate, tile by tile, with networks that find bright squares."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfg.load import load_config
from cfg.schema import Config
from evalR.inference.predictor import Predictor
from evalR.inference.scenes import engine
from evalR.inference.scenes.engine import find_in_scene
from evalR.inference.scenes.journal import Journal
from tests.methods import GGHL
from utils.arrays import U8
from utils.errors import UserError
from utils.images import ImageError
from utils.rasters import Raster, array_raster
from utils.records import Detections, LevelPrediction
from utils.tiles import Window

CPU = torch.device("cpu")
MEANING = {"file": [1, 2]}


def find(
    model: nn.Module, raster: Raster, config: Config, journal: Journal | None = None, shared: bool = False
) -> Detections:
    (found,) = find_in_scene(Predictor(model, config, CPU), raster, journal, shared)
    return found


def config(*words: str) -> Config:
    fixed = ["data.image_size=64", "train.amp=false", "predict.batch_size=3"]
    return load_config(None, [*fixed, *words])


class SquareFinder(nn.Module):
    """Finds a square of 16 px around a white pixel, to the pixel."""

    method = GGHL

    def __init__(self) -> None:
        super().__init__()
        self.tiles = 0

    def forward(self, images: Tensor) -> list[LevelPrediction]:
        self.tiles += len(images)
        shine = (images[:, 0] > 250).float()
        count, height, width = shine.shape
        cells = shine.reshape(count, height // 8, 8, width // 8, 8).permute(0, 1, 3, 2, 4).flatten(3)
        best, place = cells.max(dim=3)
        down, right = place // 8 + 0.5 - 4, place % 8 + 0.5 - 4  # of the centre of the cell
        dists = torch.stack([8 - down, 8 + right, 8 + down, 8 - right], dim=-1)
        edges = (dists / 8).log()
        logit = torch.where(best > 0, 9.0, -20.0)
        none = torch.zeros_like(edges)
        return [LevelPrediction(edges, none, torch.full_like(logit, 9.0), logit, logit[..., None], stride=8)]


def scene(seed: int, height: int, width: int, count: int) -> tuple[U8, np.ndarray]:
    """White pixels on noise, so far apart that their squares do not meet, and where they are."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 200, (height, width, 3), np.uint8)
    places = rng.permutation(np.argwhere(np.ones((height // 24, width // 24))))[:count] * 24 + 12
    image[places[:, 0], places[:, 1]] = 255
    return image, places[:, ::-1] + 0.5


def check(found: Detections, centres: np.ndarray) -> None:
    assert found.quads.dtype == torch.float64
    middles = found.quads.mean(dim=1).numpy()
    np.testing.assert_allclose(middles[np.lexsort(middles.T)], centres[np.lexsort(centres.T)], atol=1e-3)


def assert_equal(a: Detections, b: Detections) -> None:
    for one, other in zip(a, b, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("size", [(300, 410), (64, 64), (50, 200), (65, 64), (24, 24)])
@pytest.mark.parametrize("words", [[], ["predict.tile=100", "predict.overlap=30"], ["predict.tile=500"]])
def test_every_object_once_at_its_place(size: tuple[int, int], words: list[str]) -> None:
    image, centres = scene(0, *size, 40)
    model = SquareFinder().train()
    check(find(model, array_raster(image), config(*words)), centres)
    assert model.training


def test_rates() -> None:
    image, centres = scene(1, 200, 260, 30)
    large = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    found = find(SquareFinder(), array_raster(large), config("predict.rates=[0.5]"))
    check(found._replace(quads=found.quads / 2), centres)


@pytest.mark.parametrize(
    ("words", "views"),
    [
        (["eval.flips=both"], 3),
        (["eval.turns=[0,1,2,3]", "eval.flips=horizontal"], 8),
        (["eval.merge=fuse", "eval.turns=[0,3]"], 2),
    ],
)
def test_views_of_each_tile(words: list[str], views: int) -> None:
    image, centres = scene(1, 128, 190, 30)
    once, often = SquareFinder(), SquareFinder()
    check(find(once, array_raster(image), config()), centres)
    check(find(often, array_raster(image), config(*words)), centres)
    assert often.tiles == views * once.tiles


def test_scales_of_views_are_rates() -> None:
    image, _ = scene(1, 200, 260, 30)
    both = find(SquareFinder(), array_raster(image), config("eval.scales=[1,2]"))
    assert_equal(both, find(SquareFinder(), array_raster(image), config("predict.rates=[1,2]")))


def test_settings_of_a_sweep_see_the_same_tiles() -> None:
    image, centres = scene(1, 200, 260, 30)
    model = SquareFinder()
    alone, *others = find_in_scene(Predictor(model, config(), CPU, (0.1, 0.9)), array_raster(image))
    total = model.tiles
    assert len(others) == 2
    for found in others:
        check(found, centres)
    assert_equal(alone, find(model, array_raster(image), config()))
    assert model.tiles == 2 * total


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_tiles_of_one_colour_are_not_looked_at(colour: int) -> None:
    image, centres = scene(2, 128, 128, 10)
    wide = np.full((128, 1280, 3), colour, np.uint8)
    wide[:, -128:] = image
    model = SquareFinder()
    check(
        find(model, array_raster(wide), config("predict.overlap=0")),
        centres + np.array([1152, 0]),
    )
    assert model.tiles == 4


def test_nothing_found_and_nothing_to_see() -> None:
    for image in (np.zeros((200, 200, 3), np.uint8), scene(3, 200, 200, 0)[0]):
        found = find(SquareFinder(), array_raster(image), config())
        assert found.quads.shape == (0, 4, 2)


def test_an_overlap_as_large_as_a_tile() -> None:
    with pytest.raises(UserError, match=r"predict.overlap=64: expected less than the tile, which has 64 px"):
        find(SquareFinder(), array_raster(scene(0, 99, 99, 3)[0]), config("predict.overlap=64"))


def test_memory_holds_rows_and_not_the_scene() -> None:
    """Only windows of a tile's height, and the few lines that interpolation needs, are asked for."""
    image, centres = scene(4, 900, 200, 60)
    heights = []

    def read(window: Window) -> U8:
        heights.append(window.y_max - window.y_min)
        return image[window.y_min : window.y_max, window.x_min : window.x_max]

    check(find(SquareFinder(), Raster((900, 200), True, read), config()), centres)
    assert max(heights) <= 64
    assert sum(heights) == 900  # each row once


def test_a_scene_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    image, _ = scene(5, 300, 300, 60)
    whole = find(model := SquareFinder(), array_raster(image), config())
    total = model.tiles
    journal = tmp_path / "a" / ".scene.journal"
    seen = 0
    for broken_row in (130, 250):

        def read(window: Window, broken_row: int = broken_row) -> U8:
            if window.y_max > broken_row:
                raise ImageError("scene.tif: cannot be decoded")
            return image[window.y_min : window.y_max, window.x_min : window.x_max]

        model = SquareFinder()
        with pytest.raises(ImageError, match=r"scene.tif: cannot be decoded"):
            find(model, Raster((300, 300), True, read), config(), Journal(journal, MEANING))
        seen += model.tiles
    assert 0 < seen < total
    model = SquareFinder()
    last = Journal(journal, MEANING)
    assert_equal(find(model, array_raster(image), config(), last), whole)
    assert seen + model.tiles == total
    model = SquareFinder()
    assert_equal(find(model, array_raster(image), config(), last), whole)
    assert model.tiles == 0
    last.remove()
    assert list(journal.parent.iterdir()) == []


@pytest.mark.parametrize("processes", [2, 3, 50])
def test_processes_share_the_tiles(processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its turn; the next run, alone, finds all of their journals."""
    image, _ = scene(6, 300, 300, 60)
    whole = find(model := SquareFinder(), array_raster(image), config())
    total, seen = model.tiles, 0
    parts = []
    place = tmp_path / "journal"
    for own in range(processes):
        monkeypatch.setattr(engine, "rank", lambda own=own: own)
        monkeypatch.setattr("evalR.inference.scenes.journal.rank", lambda own=own: own)
        monkeypatch.setattr(engine, "world_size", lambda: processes)
        monkeypatch.setattr(engine, "gather", lambda value: parts.append(value) or [value])
        model = SquareFinder()
        journal = Journal(place, MEANING)
        monkeypatch.setattr(journal, "read", dict)  # as if all began at once
        find(model, array_raster(image), config(), journal, shared=True)
        seen += model.tiles
    assert seen == total
    monkeypatch.undo()
    model = SquareFinder()
    found = find(model, array_raster(image), config(), Journal(place, MEANING))
    assert_equal(found, whole)
    assert model.tiles == 0


def test_what_is_counted_are_the_tiles(tmp_path: Path) -> None:
    image, _ = scene(3, 200, 300, 20)
    counts: list[int] = []

    def find_counting(journal: Journal | None, raster: Raster) -> None:
        predictor = Predictor(SquareFinder(), config("predict.overlap=16"), CPU)
        counts.clear()
        find_in_scene(predictor, raster, journal, count=counts.append)

    def read(window: Window) -> U8:
        if window.y_min > 100:
            raise ImageError("stop")
        return array_raster(image).read(window)

    tiles = 4 * 6  # from 0, 48, 96, 136 down and from 0, 48, .. 192, 236 right
    find_counting(None, array_raster(image))
    assert sum(counts) == tiles
    with pytest.raises(ImageError):
        find_counting(Journal(tmp_path / "j", MEANING), Raster((200, 300), True, read))
    done = sum(counts)
    assert 0 < done < tiles
    find_counting(Journal(tmp_path / "j", MEANING), array_raster(image))
    assert counts[0] == done
    assert sum(counts) == tiles
    find_counting(Journal(tmp_path / "j", MEANING), array_raster(image))
    assert sum(counts) == tiles
