"""Convert labels of one format into another, and put the images beside them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets_tools.known_formats import READERS, WRITERS
from utils.cli import HelpFormatter, parse_options, run_script

ANGLES = ("degrees", "degrees-ccw", "radians", "radians-ccw")  # of `dataloadR.formats.angles`
DESCRIPTION = """\
Convert the labels of a data set, and put the images beside them.

  python -m datasets_tools.convert labelme/ data/ships --from labelme --to dota
  python train_GGHL.py data.root=data/ships

SRC is a folder, or a file for the formats with all labels in one; docs/formats.md has an example of each.
Without --from its format is told from its files, where that is beyond doubt.
DST gets labels, images and splits as the new format has them.  Nothing is written before all of SRC is read;
what the new format cannot say is counted in the end.
"""


OPTIONS: dict[str, dict[str, Any]] = {
    "--images": {
        "choices": ["link", "copy", "none"],
        "default": "link",
        "help": "put images into DST: links where the file system can (the default), copies, or none",
    },
    "--image-dir": {"type": Path, "metavar": "DIR", "help": "where images are, if not in SRC or beside it"},
    "--names": {
        "default": "",
        "metavar": "A,B,..",
        "help": "classes of SRC by index, for labels of indices alone; or a file with one per line",
    },
    "--map": {
        "action": "append",
        "default": [],
        "metavar": "OLD=NEW",
        "help": "rename a class; OLD= leaves its objects out; may be given several times",
    },
    "--classes": {
        "default": "",
        "metavar": "A,B,..",
        "help": "keep these classes alone, with their indices in this order; default: all, sorted",
    },
    "--splits": {
        "choices": ["keep", "ignore"],
        "default": "keep",
        "help": "the splits that SRC says: keep them (the default), or none, to deal the images out anew",
    },
    "--clip": {
        "action": "store_true",
        "help": "cut objects off at the border of their image; leave out those beyond it",
    },
    "--split": {"default": "", "metavar": "NAME", "help": "split of the images whose split SRC does not say"},
    "--angle": {
        "choices": ANGLES,
        "default": "",
        "help": "of rotated boxes in COCO and SSDD (the default: degrees, clockwise) and SKU110K-R "
        "(degrees-ccw); needed where all angles would fit into radians",
    },
    "--on-error": {
        "choices": ["stop", "skip"],
        "default": "stop",
        "help": "at bad labels and missing images: stop (the default), or leave them out and list them",
    },
    "--overwrite": {"action": "store_true", "help": "replace files in DST that are others"},
    "--processes": {"type": int, "default": 4, "help": "that read and copy images; default 4"},
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser, whose help teaches the tool."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.convert", description=DESCRIPTION, formatter_class=HelpFormatter
    )
    parser.add_argument("source", metavar="SRC", type=Path, help="folder of the data set, or its label file")
    parser.add_argument("target", metavar="DST", type=Path, help="folder to write")
    add = parser.add_argument
    known = f"{', '.join(READERS)}; default: told from the files"
    add("--from", dest="source_format", choices=tuple(READERS), metavar="F", default="", help=known)
    add(
        "--to",
        dest="target_format",
        required=True,
        choices=tuple(WRITERS),
        metavar="F",
        help=", ".join(WRITERS),
    )
    for words, settings in OPTIONS.items():
        add(words, **settings)
    return parser


def main(words: Sequence[str]) -> None:
    """Convert as the command line says."""
    arguments = parse_options(build_parser(), words)
    from datasets_tools.converting import run  # torch, which --help need not wait for

    run(arguments)


if __name__ == "__main__":
    sys.exit(run_script(main))
