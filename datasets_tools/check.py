"""Examine a data set: what would make training stop or go wrong, what is worth mending, what it holds."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.cli import HelpFormatter, parse_options, run_script

ABOUT = """\
Examine a data set in any layout of docs/data.md: files, label lines, classes, shapes, images, and what two
splits have in common. Nothing in it is changed, and a fault never ends the examination.

Three grades: an error makes training stop or go wrong, a warning is worth mending, a note is good to know.
"""
EXAMPLE = """\
examples:
  python -m datasets_tools.check ../DOTA --splits train val
  python -m datasets_tools.check ../HRSC2016/train.txt --out runs/hrsc

what comes out: a summary on the screen, OUT/check.json with everything, OUT/check.html with figures and
pictures of the worst cases, which opens without a network. Exit code 1 with errors, 0 without, 2 where there
is nothing that can be examined.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.check",
        description=ABOUT,
        epilog=EXAMPLE,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("dataset", type=Path, help="its folder, or a list file")
    parser.add_argument("--splits", nargs="+", default=[], metavar="SPLIT", help="default: all there are")
    parser.add_argument("--classes", nargs="+", default=[], metavar="NAME", help="the names that are right")
    parser.add_argument("--out", type=Path, help="folder of the results (default: runs/check/DATASET)")
    parser.add_argument(
        "--fast", action="store_true", help="do not decode the images: damage and near-duplicates go unseen"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one per core")
    return parser


def main(words: Sequence[str]) -> int:
    """Examine, write, and return 1 where an error was found."""
    arguments = parse_options(build_parser(), words)
    from datasets_tools.doctor.examination import run  # torch, which --help need not wait for

    return run(arguments)


if __name__ == "__main__":
    sys.exit(run_script(main))
