"""Check result files of whole images and zip them for the evaluation server of DOTA.

    python -m datasets_tools.submit runs/dota/Task1 task1.zip --images /data/DOTA/test/images --classes dota
    python -m datasets_tools.submit RESULTS OUT.zip --task 1 --images names.txt --classes dota15
    python -m datasets_tools.submit RESULTS OUT.zip --task 2 --from-task1 --images names.txt --classes A,B,C

RESULTS holds one file per class, as `test.py` and `datasets_tools.merge` write them: Task1_CLASS.txt or
CLASS.txt with lines `image score x1 y1 .. x4 y4`, for task 2 Task2_CLASS.txt with lines
`image score x_min y_min x_max y_max`.  OUT.zip gets Task1_CLASS.txt or Task2_CLASS.txt of every class at its
root, an empty one where a class has no detections.  It appears whole or, after an error, not at all; the same
results give the same bytes.
"""

import argparse
import math
import sys
from collections.abc import Sequence

from utils.cli import HelpFormatter, finite_number, parse_options, positive_int, run_script

SIZE_LIMIT = 100.0  # megabytes; a choice of ours, for the server's own limit is not published


def main(words: Sequence[str]) -> None:
    """Check and zip as the command line says."""
    arguments = parse_options(_parser(), words)
    from datasets_tools.submitting import run  # torch, which --help need not wait for

    run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m datasets_tools.submit", description=__doc__, formatter_class=HelpFormatter
    )
    add = parser.add_argument
    add("results", help="folder of the result files, one per class")
    add("out_zip", help="the zip to write; an old one is replaced")
    add("--task", type=int, choices=(1, 2), default=1, help="1: oriented boxes, 2: horizontal (default: 1)")
    add("--from-task1", action="store_true", help="for task 2: take the boxes around the quads of task 1")
    add(
        "--images",
        required=True,
        help="folder of the test images, or a text file with one image name per line, with or without suffix",
    )
    add("--classes", required=True, help="dota, dota15, dota2 (15, 16, 18 classes) or names: A,B,C")
    add("--score", type=finite_number, default=-math.inf, help="leave out lower scores (default: none)")
    add(
        "--strict",
        action="store_true",
        help="refuse quads that are not clockwise and convex; default: those that run the other way or cross "
        "themselves are put in order, concave ones and those without area stay, and all are counted",
    )
    add(
        "--max-megabytes",
        type=finite_number,
        default=SIZE_LIMIT,
        help="refuse a larger zip (default: %(default)s; a choice of ours, ask the server for its own)",
    )
    add("--processes", type=positive_int, help="default: one per core")
    return parser


if __name__ == "__main__":
    sys.exit(run_script(main))
