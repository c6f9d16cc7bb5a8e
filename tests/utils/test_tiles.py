import pytest

from utils.errors import UserError
from utils.tiles import Grid, Tile, parse_tile, tile_count, tile_starts, tile_windows


@pytest.mark.parametrize(
    "tile", [Tile("P0006", 1.0, 600, 0), Tile("a__1__b", 0.5, 0, 12), Tile("x y", 1.25, 3, 4)]
)
def test_a_name_is_read_as_it_was_written(tile: Tile) -> None:
    assert parse_tile(tile.name) == tile


def test_names_of_the_devkit() -> None:
    assert Tile("P0006", 1.0, 600, 0).name == "P0006__1__600___0"
    assert parse_tile("P0006__1.0__600___0") == Tile("P0006", 1.0, 600, 0)


@pytest.mark.parametrize(
    "name",
    ["P0006", "P0006__1__600__0", "P0006__0__1___2", "__1__2___3", "P__-1__2___3", "P__1__2___333333333"],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="IMAGE__RATE__X___Y"):
        parse_tile(name)


@pytest.mark.parametrize(
    ("length", "expected"), [(0, [0]), (800, [0]), (801, [0, 1]), (1400, [0, 600]), (1500, [0, 600, 700])]
)
def test_starts_by_hand(length: int, expected: list[int]) -> None:
    assert tile_starts(length, 800, 200) == expected


def test_tiles_are_counted_without_being_listed() -> None:
    for side, overlap, rates in ((10, 3, (1.0,)), (7, 0, (0.5, 2.0)), (16, 15, (1.0,))):
        grid = Grid(side, overlap, rates)
        for size in ((1, 1), (10, 10), (11, 24), (17, 40), (33, 7)):
            assert tile_count(size, grid) == len(list(tile_windows("", size, grid)))
    assert tile_count((10**9, 10**9), Grid(10, 0, (1.0,))) == 10**16
