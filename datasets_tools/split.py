"""Cut large images, with their labels or without, into overlapping tiles.

    python -m datasets_tools.split /data/DOTA /data/DOTA_800
    python -m datasets_tools.split /data/DOTA /data/DOTA_ms --size 1024 --overlap 512 --rates 0.5 1.0 1.5
    python -m datasets_tools.split scene.tif tiles/ --size 800 --format jpg

SRC is a data set in any layout of docs/data.md, a list file, a folder of images or one image.  DST gets the
same splits, ready for training: python train_GGHL.py data.root=DST

A tile is called IMAGE__RATE__X___Y: the image was scaled by RATE, and the tile begins at pixel (X, Y) of the
scaled image.  The last tile of a row or column is shifted inside; an image smaller than a tile becomes one
tile of its own size, without padding.  Labels are DOTA lines with 4 decimals, in pixels of the tile (lines
with the class index first keep their indices, unless --classes names them).

An object of which a tile shows 0.7 of the area or more keeps its flag; from 0.1 on it is written with
`difficult` 2, which training ignores; below, it is left out.

Interrupted?  Run the same command again: finished tiles are kept.  Rasters beyond 64 megapixels are read in
parts, if rasterio is installed (requirements-extra.txt).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.cli import HelpFormatter, parse_options, run_script


def main(words: Sequence[str]) -> None:
    """Cut as the command line says, and print what came out."""
    arguments = parse_options(_parser(), words)
    from datasets_tools.cutting import run  # torch, which --help need not wait for

    run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.split", description=__doc__, formatter_class=HelpFormatter
    )
    add = parser.add_argument
    add("src", type=Path, metavar="SRC", help="data set, list file, folder of images, or image")
    add(
        "dst", type=Path, metavar="DST", help="folder for the tiles: new, empty, or begun by the same command"
    )
    add("--size", type=int, default=800, help="width and height of a tile in pixels (default 800)")
    add("--overlap", type=int, default=200, help="pixels that neighbours share at least (default 200)")
    add("--rates", type=float, nargs="+", default=[1.0], metavar="R", help="scales of the images (default 1)")
    add("--splits", nargs="+", default=[], help="those to cut, such as train val (default: all)")
    add("--classes", nargs="+", default=[], metavar="NAME", help="names of the class indices, from 0 on")
    add(
        "--cut",
        choices=("whole", "clip"),
        default="whole",
        help="quads that a border cuts: kept whole and beyond it (default), or as a quad of the visible part",
    )
    add(
        "--empty",
        type=float,
        default=1.0,
        help="share of tiles without objects to keep, in splits with labels",
    )
    add("--seed", type=int, default=0, help="chooses which (default 0)")
    add("--format", choices=("png", "jpg"), default="png", help="of the tiles (default png)")
    add("--quality", type=int, default=95, help="of jpg (default 95)")
    add(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="bad images and label lines: stop, or name",
    )
    add("--processes", type=int, help="default: one per core")
    return parser


if __name__ == "__main__":
    sys.exit(run_script(main))
