"""Resume of a run: where it stands, how that is kept, and how it goes on."""

import json
import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from cfg.harmless import EVERYWHERE
from cfg.load import ConfigError, config_settings, load_config_text
from cfg.schema import Config
from utils.checkpoint import CheckpointError, load_checkpoint, load_optimizer, load_state
from utils.distributed import gather, rank, world_size
from utils.distributed import launched as is_launched
from utils.errors import UserError
from utils.resume_check import Expected, check_fit, check_state, resume_error

logger = logging.getLogger(__name__)
LAST = "last.pt"
# the losses of checkpoints from before they had names
UNNAMED = ("total", "foreground", "background", "positive", "negative", "iou", "glide", "ratio", "distance")
HARMLESS = EVERYWHERE | {  # what may differ from the settings that a run began with, and why
    "train.device": "where it runs",
    "train.name": "a name",
    "train.resume": "what it goes on with",
    "train.save_every": "when it can go on",
    "train.max_bad_steps": "when it gives up",
}
# settings by which somebody wants more of the same run, or the same in less memory
INTENDED = frozenset({"train.epochs", "train.patience", "train.accumulate", "train.average_last"})
MOVED = "data.root"  # of the same data, as their hash says


class CompleteError(UserError):
    """A run that has trained all of its epochs."""


class Stateful(Protocol):
    """What can give and take its state."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: Any) -> Any:
        """Take the state."""


class Position(NamedTuple):
    """How far a run is; written inside an epoch as well."""

    epoch: int = 0  # from 0, the one that is under way
    done: int = 0  # its steps that are done
    sums: Mapping[str, Tensor] = MappingProxyType({})  # of the losses of the epoch over its steps, by name
    steps: int = 0  # of these that have losses: all but the bad ones
    seconds: float = 0.0  # of training in this epoch
    waited: float = 0.0  # seconds of these for data
    bad_steps: int = 0  # in a row
    best: float = -1.0  # AP50
    stale: int = 0  # evaluations since the best
    thresholds: dict[str, float] | None = None  # of the best F1 in the last evaluation, by class


def run_state(parts: Mapping[str, Stateful], position: Position) -> dict[str, Any]:
    """Return all that an exact resume needs; every process must call it."""
    random_states = gather([torch.get_rng_state(), *torch.cuda.get_rng_state_all()])
    states = {name: part.state_dict() for name, part in parts.items()}
    return states | {"position": position._asdict(), "random_states": random_states}


def restore(
    parts: Mapping[str, Stateful], checkpoint: Mapping[str, Any], expected: Expected, source: Path
) -> Position:
    """Put every part back into the state of the checkpoint and return the position.

    Random states return with the same number of processes only: others draw other numbers anyway.

    Raises:
        CheckpointError: a state is missing or does not fit; no part has changed then.
    """
    check_fit(checkpoint, {name: part.state_dict() for name, part in parts.items()}, expected, source)
    for name, part in parts.items():
        try:
            take(part, checkpoint[name], source)
        except (LookupError, ValueError, RuntimeError, TypeError, AttributeError, ArithmeticError) as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
            raise resume_error(source, f"{name}: {line}") from None
    states = checkpoint["random_states"]
    if len(states) == world_size():
        own, *cuda = states[rank()]
        torch.set_rng_state(own.cpu())
        if len(cuda) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in cuda])
    return Position(**checkpoint["position"])


def take(part: Stateful, state: Any, source: Path) -> None:
    """Give a part its state, with our own messages where we have them."""
    if isinstance(part, Optimizer):
        load_optimizer(part, state, source)
    elif isinstance(part, nn.Module) and not isinstance(part, AveragedModel):
        load_state(part, state, source)
    else:
        part.load_state_dict(state)


class Earlier(NamedTuple):
    """A run to go on with."""

    folder: Path
    checkpoint: dict[str, Any]
    config: Config  # its own

    @property
    def position(self) -> Position:
        """Where it stands."""
        return Position(**self.checkpoint["position"])


def load_state_of_run(source: Path) -> dict[str, Any]:
    """Return the last checkpoint of a run, checked; losses without names, as they once were, get them.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    checkpoint = load_checkpoint(source)
    position = checkpoint.get("position")
    sums = position.get("sums") if isinstance(position, dict) else None
    if isinstance(position, dict) and isinstance(sums, Tensor) and sums.ndim == 1:
        names = [*UNNAMED, *(f"loss {place}" for place in range(len(UNNAMED), len(sums)))]
        position["sums"] = dict(zip(names, sums, strict=False))
    check_state(checkpoint, source)
    return checkpoint


def read_run(folder: Path) -> Earlier:
    """Return a run as its last checkpoint describes it.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    source = folder / LAST
    checkpoint = load_state_of_run(source)
    try:
        config = load_config_text(checkpoint["config"], str(source))
    except ConfigError as error:
        raise CheckpointError(str(error).splitlines()[0]) from None
    return Earlier(folder, checkpoint, config)


def continued(earlier: Earlier, wanted: Config) -> Config:
    """Return the settings with which a run goes on: its own, but for those that cannot change the result.

    More epochs, another patience and other micro-batches are intents: they are logged.

    Raises:
        UserError: another setting differs; all that do are named.
        CompleteError: nothing is left to do.
    """
    if wanted.data.training_scale is None:  # derived from the data
        data = wanted.data.model_copy(update={"training_scale": earlier.config.data.training_scale})
        wanted = wanted.model_copy(update={"data": data})
    before, now = config_settings(earlier.config), config_settings(wanted)
    changed = changed_settings(earlier.config, wanted)
    refused = [key for key in changed if key not in INTENDED | {MOVED}]
    refused += [key for key in changed if key == MOVED and refused]
    if refused:
        refused = [key for key in refused if key in before and key in now]  # not those of another detector
        named = ", ".join(
            f"{key}={_plain(now.get(key))} (the run has {_plain(before.get(key))})" for key in refused
        )
        raise UserError(
            f"train.resume={earlier.folder}: a run goes on with its own settings, got {named}; leave them "
            f"out, or start a new run from its weights: train.init={earlier.folder / LAST}"
        )
    _check_rest(earlier, wanted, changed)
    for key in changed:
        was, becomes = _plain(before.get(key)), _plain(now.get(key))
        logger.info("%s: going on with %s=%s instead of %s", earlier.folder, key, becomes, was)
    return wanted.model_copy(update={"train": wanted.train.model_copy(update={"resume": None})})


def _plain(value: Any) -> str:
    """Return a value as a command line has it."""
    return value if isinstance(value, str) else json.dumps(value)


def changed_settings(before: Config, now: Config) -> list[str]:
    """Return the keys of the settings that differ, but for harmless ones."""
    old, new = config_settings(before), config_settings(now)
    every = [*new, *(key for key in old if key not in new)]  # those of another detector
    return [key for key in every if new.get(key) != old.get(key) and key not in HARMLESS]


def _check_rest(earlier: Earlier, wanted: Config, changed: Sequence[str]) -> None:
    """Raise an error where there is nothing left to train."""
    trained, epochs = earlier.position.epoch, wanted.train.epochs
    if earlier.checkpoint.get("complete", False) and not {"train.epochs", "train.patience"} & set(changed):
        raise CompleteError(
            f"{earlier.folder}: this run is complete after {trained} epochs; train.epochs={2 * epochs} "
            f"goes on, train.init={earlier.folder / LAST} begins a new run with its weights"
        )
    if trained >= epochs:
        raise UserError(f"train.epochs={epochs}: the run has trained {trained} already")


def check_data(earlier: Earlier, found: str, classes: Sequence[str], root: str) -> None:
    """Raise a UserError where the data are not those that a run began with, by their classes and hashes.

    Args:
        found: the hash of the data of now.
        root: where they are; without a hash of those before, it must be the same.
    """
    known, before = earlier.checkpoint.get("data_hash"), earlier.checkpoint["classes"]
    if list(classes) != list(before):
        raise UserError(
            f"train.resume={earlier.folder}: the run has the classes {', '.join(before)}, "
            f"these data {', '.join(classes)}"
        )
    if known is None and root == earlier.config.data.root:
        logger.info("%s: does not say the hash of its data, which are not compared", earlier.folder)
    elif known != found:
        raise UserError(
            f"train.resume={earlier.folder}: images or labels are not those that this run began with "
            f"({MOVED}={earlier.config.data.root}; hash {known}, now {found}); restore them, or start a new "
            f"run from its weights: train.init={earlier.folder / LAST}"
        )


def find_run(resume: str, runs: Path, name: str, unfinished: bool = False) -> Path | None:
    """Return the folder of the run to go on with; None where `auto` finds none of this name.

    Args:
        resume: `auto`, the newest run of this name; or a path.
        unfinished: pass over complete runs.

    Raises:
        UserError: the path holds no run.
    """
    if resume == "auto":
        found = [path for path in runs.glob(f"*/{LAST}") if _is_run_of(path.parent.name, name)]
        found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        return next((path.parent for path in found if _is_usable(path, unfinished)), None)
    path = Path(resume)
    path = path / LAST if path.is_dir() else path
    if path.name != LAST or not path.is_file():
        there = "another file" if path.is_file() else f"no {path}"
        raise UserError(f"train.resume={resume}: expected auto or a run's folder, found {there}")
    return path.parent


def _is_usable(path: Path, unfinished: bool) -> bool:
    try:
        checkpoint = load_state_of_run(path)
    except CheckpointError as error:
        logger.warning("passed over: %s", error)
        return False
    return not (unfinished and checkpoint.get("complete", False))


def _is_run_of(folder: str, name: str) -> bool:
    """Return whether a folder is `name` or `name-2` and so on."""
    rest = folder.removeprefix(name)
    return folder == name or (rest != folder and rest[0] == "-" and rest[1:].isdigit())


def resume_command(folder: Path) -> str:
    """Return the command line that goes on with a run, whose settings are in its folder."""
    script = ["sh", "train_GGHL_dist.sh"] if is_launched() else ["python", sys.argv[0]]
    return shlex.join([*script, f"train.resume={folder}"])
