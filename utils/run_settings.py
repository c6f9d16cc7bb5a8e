"""Run settings: those, and the name, with which a training starts or goes on."""

import json
import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

from cfg.load import file_words, load_config, load_config_text
from cfg.schema import Config
from utils.errors import UserError
from utils.files import data_folder
from utils.resume import HARMLESS, INTENDED, LAST, find_run, read_run

DEMO_CONFIG = Path(__file__).parents[1] / "cfg" / "demo.yaml"
FREE = frozenset({"data.image_size", "model.size", "train.batch_size"})  # chosen by the data and the machine


class RunSettings(NamedTuple):
    """What `train` is given."""

    config: Config
    name: str  # of the folder in runs/
    said: tuple[str, ...]  # keys that the command line has set, now or when the run began; no harmless ones
    free: frozenset[str]  # keys that nobody has set, for the data and the machine to choose
    auto: bool  # whatever run of this name there is goes on


def run_settings(yamls: Sequence[str], words: Sequence[str], runs: Path, restarted: bool) -> RunSettings:
    """Return the settings of a new run, or those of an earlier one where `train.resume` finds one.

    A new run has those of the YAMLs, of which later ones win; without one, the defaults for data that the
    command line names, else those of the demo.  A run that goes on has its own: see `utils.resume.continued`
    for what may differ.

    Args:
        yamls: configuration files.
        words: `section.key=value` of the command line.
        runs: the folder of all runs.
        restarted: the launcher started this process again after a failure: an unfinished run goes on.

    Raises:
        ConfigError: a setting that cannot be used.
        UserError: no run to go on with.
    """
    for yaml in yamls:
        check_yaml(yaml)
    said = {word.partition("=")[0] for word in words} - HARMLESS.keys()
    resume = resume_word(words) or ("auto" if restarted else None)
    if resume not in (None, "auto"):  # a path: what the line says is about that run
        return _continued(find_run(str(resume), runs, ""), yamls, words, said, auto=False)
    if not yamls and "data.root" not in said:
        yamls = [str(DEMO_CONFIG)]
    config = load_config(yamls, words)
    resume = config.train.resume or resume
    stems = "-".join(Path(yaml).stem for yaml in yamls)
    name = config.train.name or stems or name_of(config.data.root)
    folder = find_run(resume, runs, name, unfinished=not config.train.resume) if resume else None
    auto = resume == "auto"
    if folder is None:
        free = frozenset() if yamls else FREE - said
        return RunSettings(config, name, tuple(sorted(said)), free, auto)
    return _continued(folder, yamls, words, said, auto)


def _continued(
    folder: Path | None, yamls: Sequence[str], words: Sequence[str], said: Set[str], auto: bool
) -> RunSettings:
    """Return the settings of a run that goes on: its own, changed by what is said now."""
    assert folder is not None  # of a path: else an error was raised
    earlier = read_run(folder)
    began = set(earlier.checkpoint.get("said", ()))
    lines = [word for word in file_words(yamls) if word.partition("=")[0] not in began]
    own = [*lines, *words, f"train.resume={json.dumps(str(folder))}"]
    config = load_config_text(earlier.checkpoint["config"], str(folder / LAST), own)
    name = config.train.name or folder.name
    return RunSettings(config, name, tuple(sorted(began | (said & INTENDED))), frozenset(), auto)


def resume_word(words: Sequence[str]) -> str | None:
    """Return `train.resume` of a command line; the rest may make sense only beside a run or a YAML."""
    own = [word for word in words if word.startswith("train.resume=")]
    return load_config(None, own).train.resume


def check_yaml(yaml: str) -> None:
    """Raise a UserError where the word that should name a YAML of settings names data."""
    path = Path(yaml)
    if not path.exists():
        return
    is_yaml = path.suffix.lower() in (".yaml", ".yml") and path.is_file()
    if not is_yaml or re.search(r"^(names|nc)\s*:", path.read_text(errors="replace"), re.MULTILINE):
        raise UserError(f"{yaml}: expected a YAML of settings; data are named by data.root={yaml}")


def name_of(root: str) -> str:
    """Return a folder name for a run on these data: that of their folder, or of a list file."""
    place = data_folder(Path(root).expanduser().resolve())
    name = place.stem if place.is_file() else place.name
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "run"
