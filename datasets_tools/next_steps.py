"""Next commands after a conversion: how a data set is split and trained on, ready to be pasted."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from dataloadR.formats.records import LabelledImage
from evalR.outputs.dota import class_word

TRAINED_ON = ("coco", "coco-rotated", "dota", "list", "yolo-obb")
YAML_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "nan", "inf")
SHARES = ["train=0.8", "val=0.2"]
LISTS = ["data.train=train.txt", "data.val=val.txt"]


def make_list_command(root: Path, classes: Sequence[str] = (), names: bool = True) -> str:
    """Return the command that deals the images of a data set out to train and val.

    Args:
        classes: in the order of their indices, for lists of objects.
        names: write ImageSets beside images/ and labelTxt/, else lists of objects.
    """
    out = root / "ImageSets" if names else lists_of(root)
    words = [str(root), str(out), "--split", *SHARES]
    words += ["--format", "names"] if names else ["--classes", *classes] if classes else []
    return shlex.join(["python", "-m", "datasets_tools.make_list", *words])


def lists_of(root: Path) -> Path:
    """Return the folder for training lists of a data set."""
    return (root.parent if root.is_file() else root) / "lists"


def train_command(root: Path, settings: Sequence[str] = ()) -> str:
    """Return the command that trains on a data set."""
    return shlex.join(["python", "train_GGHL.py", f"data.root={root}", *settings])


def split_settings(splits: Sequence[str]) -> list[str] | None:
    """Return the settings that name the splits to train and validate on; None where one is missing."""
    train = next((name for name in ("train", "trainval") if name in splits), None)
    val = next((name for name in ("val", "test") if name in splits), None)
    if train is None or val is None:
        return None
    settings = [f"data.train={train}"] if train != "train" else []
    return settings + ([f"data.val={val}"] if val != "val" else [])


def class_setting(classes: Sequence[str]) -> str:
    """Return the setting that gives the classes their order."""
    plain = all(re.fullmatch(r"[A-Za-z][\w-]*", name) and name.lower() not in YAML_WORDS for name in classes)
    names = classes if plain else [json.dumps(name, ensure_ascii=False) for name in classes]
    return f"data.classes=[{','.join(names)}]"


def after_conversion(target: Path, form: str, images: Sequence[LabelledImage], classes: Sequence[str]) -> str:
    """Return the next commands for a converted data set, nothing for formats that are not trained on.

    Args:
        form: as `--to` has it.
        classes: in the order of their indices.
    """
    splits = sorted({image.split for image in images})
    if form not in TRAINED_ON or not splits:
        return ""
    named = [split for split in splits if split]
    settings = split_settings(named)
    if settings is not None:
        return f"train on it:\n  {train_command(target, _settings(form, settings, images, classes))}\n"
    odd = (named and "" in splits) or (form == "list" and len(named) > 1)  # nothing holds all of them
    if odd or len(images) < len(SHARES):
        return ""
    what = f"found the splits {', '.join(named)} alone" if named else "found no splits"
    if form == "dota" and len(named) < 2:
        root = target / named[0] if named else target
        out, command = root / "ImageSets", make_list_command(root)
        train = train_command(root, [class_setting([class_word(name) for name in classes])])
    else:
        root = target / f"{named[0] if named else 'all'}.txt" if form == "list" else target
        out, command = lists_of(root), make_list_command(root, classes, names=False)
        train = train_command(out, [*LISTS, class_setting(classes)])
    files = " and ".join(str(out / f"{share.partition('=')[0]}.txt") for share in SHARES)
    return f"{what}; to write {files}:\n  {command}\nthen train on it:\n  {train}\n"


def _settings(
    form: str, splits: Sequence[str], images: Sequence[LabelledImage], classes: Sequence[str]
) -> list[str]:
    """Return all settings of a training: lists have suffixes and no class names, DOTA no list of classes."""
    chosen = {"data.train": "train", "data.val": "val"} | dict(word.split("=") for word in splits)
    if form == "list":
        return [*(f"{key}={name}.txt" for key, name in chosen.items()), class_setting(classes)]
    trained = {name for image in images if image.split == chosen["data.train"] for name in image.classes}
    words = [class_setting([class_word(name) for name in classes])]
    return [*splits, *(words if form == "dota" and set(classes) - trained else [])]
