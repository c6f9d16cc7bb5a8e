"""Look at a data set: pictures with labels, predictions, and what training sees of them.

    python -m datasets_tools.show /data/DOTA_800             50 images of the training split, in runs/show
    python -m datasets_tools.show /data/mine look --split val --number 0 --sheet
    python -m datasets_tools.show /data/mine look --split val --predictions runs/mine/eval-val/Task1
    python -m datasets_tools.show /data/mine look --weights runs/mine/best.pt predict.score_threshold=0.5
    python -m datasets_tools.show /data/mine look cfg/mine.yaml --augment --cells --heat augment.mosaic=0.5

Writes OUT/IMAGE.png: thin outlines, a dot on the first vertex, an arrow head towards the second; dashed:
difficult 1, dashed and paler: difficult 2 (with --augment: ignore regions). Predictions stand to the right.
--cells and --heat show the network input: OUT/cells/IMAGE.png (a dot on each cell that learns an object) and
OUT/heat/IMAGE.png (the heat of each level). --augment: OUT/IMAGE-SAMPLE.png. --sheet: OUT/contact_sheet.png.
OUT is new, empty, or that of an earlier call, whose pictures are replaced; without it, pictures go to
runs/show/DATASET-SPLIT.  DATASET is any layout of docs/data.md.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.cli import HelpFormatter, parse_words, run_script, whole_number


def main(words: Sequence[str]) -> None:
    """Show as the command line says."""
    arguments, overrides = parse_words(_parser(), words)
    _find_out(arguments)
    from datasets_tools.showing import run  # torch, which --help need not wait for

    run(arguments, overrides)


def _find_out(arguments: argparse.Namespace) -> None:
    """Give OUT its default; a YAML in its place is CONFIG."""
    if arguments.out and not arguments.config and arguments.out.suffix in (".yaml", ".yml"):
        arguments.config, arguments.out = str(arguments.out), None
    name = Path(arguments.dataset).expanduser().resolve().stem or "data"
    arguments.out = arguments.out or Path("runs") / "show" / f"{name}-{Path(arguments.split).stem}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m datasets_tools.show", description=__doc__, formatter_class=HelpFormatter
    )
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="a data set's folder or list file")
    folder = "folder for the pictures: new, empty, or of an earlier call; default: runs/show/DATASET-SPLIT"
    add("out", metavar="OUT", nargs="?", type=Path, help=folder)
    add("config", metavar="CONFIG", nargs="?", help="a YAML of cfg/; then section.key=value words")
    add("--split", default="train", help="default: train")
    add("--number", type=whole_number, default=50, help="pictures, drawn by chance; 0: all; default: 50")
    add("--seed", type=whole_number, default=0, help="of the choice and the augmentations; default: 0")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--predictions", type=Path, metavar="DIR", help="folder of Task1_CLASS.txt files")
    source.add_argument("--weights", type=Path, metavar="PATH", help="checkpoint or run to predict with")
    add("--augment", action="store_true", help="show samples as training augments them")
    add("--cells", action="store_true", help="show which cells learn which object")
    add("--heat", action="store_true", help="show the heat of the cells of each level")
    add("--sheet", action="store_true", help="put up to 100 small pictures on one sheet")
    add("--format", choices=("png", "jpg"), default="png", help="of the pictures; default: png")
    add("--processes", type=whole_number, default=2, help="processes that draw labels; default: 2")
    return parser


if __name__ == "__main__":
    sys.exit(run_script(main))
