"""Import trained weights of the public GGHL code as a checkpoint of this project.

    python -m datasets_tools.import_reference dota_best.pt weight/dota.pt --classes dota
    python -m datasets_tools.import_reference last.pt ships.pt --classes ship,boat,raft
    python predict.py photo.png weights=weight/dota.pt

FILE is best.pt, last.pt or backup_epochN.pt as that code writes them.  It is read without running any code
from it, and every tensor must fit: the first that does not is named.  OUT.pt is what a training here writes:
for predict.py, test.py and Detector, and to train on from it (weights=OUT.pt of train_GGHL.py).

--classes gives the names in the order in which the file was trained: dota, dota15 and dota2 are those of
DOTA v1.0, v1.5 and v2.0, hrsc is ship, sku110k is object; others are listed, or in a file with one a line.
A wrong order shows in no shape: look at the result of an image that you know.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cfg.load import config_text, load_config
from cfg.schema import Config
from utils.cli import HelpFormatter, parse_options, run_script
from utils.errors import UserError
from utils.files import check_folder, file_hash

SETTINGS = Path(__file__).parents[1] / "cfg"
INPUT = 800  # px; what the reference trains with and tests at
ORIGIN = "the public GGHL code"
LICENCE = (
    "the code that these weights come from is under the GPL-3.0, and the data they were trained on have "
    "terms of their own (DOTA: academic use only)"
)


class Preset(NamedTuple):
    """Settings and classes of a data set."""

    settings: str  # a YAML of cfg/
    classes: tuple[str, ...] = ()  # none: those of the YAML
    scale: float | None = None  # at which training showed the images; None: not recorded


PRESETS = {  # DOTA was cut into tiles of the size of the input, the others were fitted to it
    "dota": Preset("dota.yaml", scale=1.0),
    "dota15": Preset("dota15.yaml", scale=1.0),
    "dota2": Preset("dota2.yaml", scale=1.0),
    "hrsc": Preset("hrsc2016.yaml"),
    "sku110k": Preset("sku110k_r.yaml", ("object",)),
}


def main(words: Sequence[str]) -> None:
    """Import as the command line says."""
    args = parse_options(build_parser(), words)
    source, target = Path(args.file), Path(args.out)
    check_target(source, target, args.overwrite)
    config = reference_settings(args.classes)

    from modelR.reference_weights import read_reference_weights  # torch, for which --help need not wait
    from utils.checkpoint import save_checkpoint

    weights = read_reference_weights(source, config.data.classes)
    origin = {"file": source.name, "sha256": file_hash(source), "from": ORIGIN, "licence": LICENCE}
    head = {"config": config_text(config), "classes": list(config.data.classes), "data_hash": ""}
    save_checkpoint(target, head | {"thresholds": None, "model": weights, "origin": origin})
    sys.stdout.write(import_summary(source, target, len(weights), config.data.classes, origin))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser, whose help teaches the tool."""
    parser = argparse.ArgumentParser(
        "python -m datasets_tools.import_reference", description=__doc__, formatter_class=HelpFormatter
    )
    add = parser.add_argument
    add("file", metavar="FILE", help="weights of the public GGHL code")
    add("out", metavar="OUT.pt", help="the checkpoint to write")
    add("--classes", required=True, metavar="NAMES", help=f"{', '.join(PRESETS)}, or names: A,B,C")
    add("--overwrite", action="store_true", help="replace OUT.pt if it is there")
    return parser


def check_target(source: Path, target: Path, overwrite: bool) -> None:
    """Raise a UserError, before anything long begins, where OUT.pt cannot or should not be written."""
    if target.suffix != ".pt":
        raise UserError(f"{target}: expected a name that ends in .pt")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"{target}: expected another file than the one that is read")
    if target.exists() and not overwrite:
        raise UserError(f"{target}: is there already; --overwrite replaces it")
    check_folder(target.parent, "OUT.pt")


def reference_settings(word: str) -> Config:
    """Return the settings of the reference's training, as far as they matter to prediction and fine-tuning.

    Args:
        word: a preset, names separated by commas, or a file of names.

    Raises:
        UserError: no name, or one twice.
    """
    from datasets_tools.class_names import parse_names

    preset = PRESETS.get(word)
    yaml = SETTINGS / preset.settings if preset else None
    config = load_config(yaml, ["model.size=large", f"data.image_size={INPUT}"])
    classes = (preset.classes or config.data.classes) if preset else tuple(parse_names(word))
    if not classes:
        raise UserError(f"--classes {word!r}: expected {', '.join(PRESETS)}, or names: A,B,C")
    scale = (preset.scale,) * 3 if preset and preset.scale else None
    data = config.data.model_copy(update={"classes": classes, "training_scale": scale})
    return config.model_copy(update={"data": data})


def import_summary(
    source: Path, target: Path, tensors: int, classes: Sequence[str], origin: dict[str, str]
) -> str:
    """Return what was done and what comes next, for the user."""
    return (
        f"{source}: all {tensors} tensors, sha256 {origin['sha256']}\n"
        f"{len(classes)} classes: {', '.join(classes)}\n"
        f"{target}: written\n"
        f"licence: {LICENCE}\n"
        f"look at an image whose objects you know: python predict.py IMAGE weights={target}\n"
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
