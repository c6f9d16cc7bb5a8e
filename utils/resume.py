"""Where a run stands, how that is kept, and how it goes on."""

import logging
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from cfg.schema import TrainConfig
from utils.checkpoint import CheckpointError, load_checkpoint, load_optimizer, load_state
from utils.distributed import gather, rank, world_size
from utils.distributed import launched as is_launched
from utils.errors import UserError

logger = logging.getLogger(__name__)
LAST = "last.pt"


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
    sums: Tensor = torch.zeros(0)  # of the losses of the epoch over its steps
    steps: int = 0  # of these that have losses: all but the bad ones
    seconds: float = 0.0  # of training in this epoch
    waited: float = 0.0  # seconds of these for data
    bad_steps: int = 0  # in a row
    best: float = -1.0  # AP50
    stale: int = 0  # evaluations since the best


def run_state(parts: Mapping[str, Stateful], position: Position) -> dict[str, Any]:
    """Return all that an exact resume needs; every process must call it."""
    random_states = gather([torch.get_rng_state(), *torch.cuda.get_rng_state_all()])
    states = {name: part.state_dict() for name, part in parts.items()}
    return states | {"position": position._asdict(), "random_states": random_states}


def restore(parts: Mapping[str, Stateful], checkpoint: Mapping[str, Any], source: Path) -> Position:
    """Put every part back into the state of the checkpoint and return the position.

    Random states return with the same number of processes only: others draw other numbers anyway.

    Raises:
        CheckpointError: a state is missing or does not fit.
    """
    for name, part in parts.items():
        try:
            take(part, checkpoint[name], source)
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            line = str(error).strip().splitlines()[-1].strip()
            raise CheckpointError(f"{source}: the state of the {name} does not fit: {line}") from None
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


def check_continuation(now: TrainConfig, before: TrainConfig, position: Position) -> None:
    """Raise a UserError where a run cannot go on with changed settings."""
    if position.epoch >= now.epochs:
        raise UserError(f"train.epochs={now.epochs}: the run has trained {position.epoch} already")
    if position.done and now.batch_size != before.batch_size:
        raise UserError(
            f"train.batch_size={now.batch_size}: the run stands inside an epoch, at step {position.done} of "
            f"{before.batch_size} images each; go on with train.batch_size={before.batch_size}"
        )


def find_run(resume: str, runs: Path, name: str) -> Path | None:
    """Return the folder of the run to go on with; None where `auto` finds no unfinished one of this name.

    Raises:
        UserError: the path holds no run, or one that is complete.
    """
    if resume == "auto":
        found = [path for path in runs.glob(f"*/{LAST}") if _is_run_of(path.parent.name, name)]
        found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        return next((path.parent for path in found if _is_unfinished(path)), None)
    path = Path(resume)
    path = path / LAST if path.is_dir() else path
    if path.name != LAST or not path.is_file():
        raise UserError(f"train.resume={resume}: expected auto or a run's folder, found no {path}")
    if is_complete(path):
        raise UserError(f"train.resume={resume}: this run is complete; use its weights by train.init={path}")
    return path.parent


def is_complete(path: Path) -> bool:
    """Return whether a run has trained all of its epochs."""
    return bool(load_checkpoint(path).get("complete", False))


def _is_unfinished(path: Path) -> bool:
    try:
        return not is_complete(path)
    except CheckpointError as error:
        logger.warning("passed over: %s", error)
        return False


def _is_run_of(folder: str, name: str) -> bool:
    """Return whether a folder is `name` or `name-2` and so on."""
    rest = folder.removeprefix(name)
    return folder == name or (rest != folder and rest[0] == "-" and rest[1:].isdigit())


def resume_command(folder: Path) -> str:
    """Return the command line of this process with `train.resume` set to a run's folder."""
    words = [word for word in sys.argv if not word.startswith("train.resume=")]
    if is_launched():
        return shlex.join(["sh", "train_GGHL_dist.sh", *words[1:], f"train.resume={folder}"])
    return shlex.join(["python", *words, f"train.resume={folder}"])
