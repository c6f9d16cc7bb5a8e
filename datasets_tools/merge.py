"""Merge the result files of tiles into those of the whole images.

    python -m datasets_tools.merge runs/dota/tiles runs/dota/Task1
    python -m datasets_tools.merge TILES_DIR OUT_DIR --iou 0.3 --score 0.05 --max-per-image 2000
    python -m datasets_tools.merge TILES_DIR OUT_DIR --method fuse

TILES_DIR holds one file per class: Task1_CLASS.txt or CLASS.txt with lines `tile score x1 y1 .. x4 y4`, or
Task2_CLASS.txt with lines `tile score x_min y_min x_max y_max`.  Tiles are called IMAGE__RATE__X___Y, as
`datasets_tools.split` and DOTA_devkit do: offset and rate are undone.  Detections of the same object by
several tiles become one, class by class.  OUT_DIR gets files of the same names with lines `image score ..`,
images by name, the highest score first, coordinates with up to 4 decimals.  Each file appears whole; run it
again after an interruption.
"""

import argparse
import math
import sys
from collections.abc import Sequence

from utils.cli import HelpFormatter, finite_number, parse_options, positive_int, run_script


def main(words: Sequence[str]) -> None:
    """Merge as the command line says."""
    arguments = parse_options(_parser(), words)
    from datasets_tools.merging import run  # torch, which --help need not wait for

    run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m datasets_tools.merge", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("tiles_dir", help="folder of the tiles' result files")
    parser.add_argument(
        "out_dir", help="folder of the images' result files; files of the same name are replaced"
    )
    parser.add_argument("--iou", type=_share, default=0.3, help="merge above this IoU (default: %(default)s)")
    parser.add_argument(
        "--score", type=finite_number, default=-math.inf, help="leave out lower scores (default: none)"
    )
    parser.add_argument(
        "--method",
        choices=("nms", "fuse"),
        default="nms",
        help="nms: the best of several stays as it is; fuse: their mean, weighted by the scores, with the "
        "score of the best (default: %(default)s)",
    )
    parser.add_argument(
        "--max-per-image",
        type=positive_int,
        help="keep the best so many of each image, over all classes (default: all)",
    )
    parser.add_argument(
        "--whole-images",
        action="store_true",
        help="a name that is not of the form IMAGE__RATE__X___Y is that of an image that was not cut "
        "(default: an error)",
    )
    parser.add_argument("--processes", type=positive_int, help="default: one per core")
    return parser


def _share(text: str) -> float:
    value = finite_number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(run_script(main))
