r"""Split a data set: training lists, or lists of image names.

    python -m datasets_tools.make_list /data/mine /data/mine/lists --split train=0.8 val=0.1 test=0.1
    python -m datasets_tools.make_list /data/mine /data/mine/ImageSets --split train=0.8 val=0.2 \
        --format names --by class
    python -m datasets_tools.make_list /data/video /data/video/ImageSets --split train=0.7 val=0.3 \
        --format names --by group --group "^(.+)_frame"

SRC is any layout of docs/data.md; all its images are dealt out anew, whatever split they belong to. The tiles
of one image (IMAGE__RATE__X___Y) always stay together. --by image: by chance; --by group: all images of one
video or scene stay together; --by class: the objects of every class are shared out evenly (with --group: by
whole groups).

Writes OUT/SPLIT.txt for each split. --format list: one line per image with its objects, and OUT/classes.txt,
to train with data.root=OUT data.train=train.txt data.val=val.txt and the data.classes that is printed.
--format names: image names, for a folder ImageSets beside images/ and labelTxt/. Prints images and objects
per class and split. The same seed gives the same splits.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.cli import HelpFormatter, parse_options, run_script, whole_number


def main(words: Sequence[str]) -> None:
    """Split as the command line says."""
    arguments = parse_options(_parser(), words)
    from datasets_tools.listing import run  # torch, which --help need not wait for

    run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.make_list", description=__doc__, formatter_class=HelpFormatter
    )
    add = parser.add_argument
    add("source", metavar="SRC", help="a data set's folder or list file")
    add("out", metavar="OUT", type=Path, help="folder for SPLIT.txt")
    add("--split", nargs="+", required=True, metavar="NAME=SHARE", type=_share, help="shares that sum to 1")
    add("--by", choices=("image", "group", "class"), default="image", help="default: image")
    add("--group", metavar="REGEX", help="searched in image names; its first group names the video or scene")
    add("--seed", type=whole_number, default=0, help="default: 0")
    add("--format", choices=("list", "names"), default="list", help="default: list")
    add(
        "--classes",
        nargs="+",
        default=(),
        metavar="NAME",
        help="in the order of the indices; default: sorted",
    )
    add("--overwrite", action="store_true", help="replace files that differ")
    return parser


def _share(text: str) -> tuple[str, float]:
    """Return NAME=SHARE as a pair, or let argparse complain."""
    name, _, value = text.partition("=")
    try:
        share = float(value)
    except ValueError:
        share = -1.0
    if not name or Path(name).name != name or not 0 < share <= 1:
        raise argparse.ArgumentTypeError(
            f"expected NAME=SHARE with a share above 0, such as train=0.8, got {text!r}"
        )
    return name, share


if __name__ == "__main__":
    sys.exit(run_script(main))
