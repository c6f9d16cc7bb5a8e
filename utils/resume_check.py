"""Resume check: a checkpoint holds all that a run goes on from, every key, its type and its bounds."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from utils.checkpoint import CheckpointError
from utils.checkpoint_values import Fault, are_thresholds, is_number, is_sound, show_value

WHOLE = ("epoch", "done", "steps", "bad_steps", "stale")  # of the position, from 0
TIMES = ("seconds", "waited")  # from 0
PARTS = ("model", "ema", "optimizer", "scheduler", "scaler")


class Expected(NamedTuple):
    """What a position must fit."""

    terms: tuple[str, ...]  # names of the losses
    steps: int  # of an epoch


def check_state(checkpoint: Mapping[str, Any], source: Path) -> None:
    """Raise where something that every run has is missing or is not what it should be.

    Raises:
        CheckpointError: the first fault, and from what one can start instead.
    """
    _raise_first(_state_faults(checkpoint), source)


def check_fit(
    checkpoint: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]], expected: Expected, source: Path
) -> None:
    """Raise where a checked state does not fit the states of what is to take it.

    Raises:
        CheckpointError: as `check_state`.
    """
    _raise_first(_fit_faults(checkpoint, own, expected), source)


def resume_error(source: Path, what: str) -> CheckpointError:
    """Return an error that says from what one can start instead."""
    best = source.with_name("best.pt")
    instead = f"train.init={best} starts a new run from the best weights" if best.is_file() else ""
    instead = instead or "without train.resume a new run begins"
    return CheckpointError(f"{source}: cannot be gone on with: {what}; {instead}")


def _raise_first(faults: Iterator[Fault], source: Path) -> None:
    fault = next(faults, None)
    if fault:
        raise resume_error(source, str(fault))


def _state_faults(state: Mapping[str, Any]) -> Iterator[Fault]:
    for key in (*PARTS, "position"):
        if not isinstance(state.get(key), Mapping):
            yield Fault(key, "a dictionary", _said(state, key))
    if not isinstance(state.get("config"), str):
        yield Fault("config", "a text", _said(state, "config"))
    for key in ("classes", "random_states"):
        if not isinstance(state.get(key), list):
            yield Fault(key, "a list", _said(state, key))
    yield from _origin_faults(state)
    yield from _position_faults(state["position"])
    yield from _random_faults(state["random_states"])


def _origin_faults(state: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with keys that older checkpoints lack."""
    if not all(isinstance(name, str) for name in state["classes"]):
        yield Fault("classes", "names", show_value(state["classes"]))
    said = state.get("said", [])
    if not isinstance(said, list) or not all(isinstance(word, str) for word in said):
        yield Fault("said", "a list of keys", show_value(said))
    if not isinstance(state.get("complete", False), bool):
        yield Fault("complete", "true or false", show_value(state["complete"]))
    if not isinstance(state.get("data_hash"), str | None):
        yield Fault("data_hash", "a text", show_value(state["data_hash"]))


def _position_faults(position: Mapping[str, Any]) -> Iterator[Fault]:
    keys = {*WHOLE, *TIMES, "best", "sums"}
    yield from (Fault(f"position.{key}", "a value", "nothing") for key in sorted(keys - {*position}))
    strange = {*position} - keys - {"thresholds"}
    yield from (Fault(f"position.{key}", "no such key", "one") for key in sorted(map(str, strange)))
    for key in WHOLE:
        if not _is_whole(position[key]):
            yield Fault(f"position.{key}", "a whole number from 0", show_value(position[key]))
    for key in TIMES:
        if not is_number(position[key]) or position[key] < 0:
            yield Fault(f"position.{key}", "a number from 0", show_value(position[key]))
    yield from _record_faults(position)


def _record_faults(position: Mapping[str, Any]) -> Iterator[Fault]:
    best, sums = position["best"], position["sums"]
    if not isinstance(best, int | float) or isinstance(best, bool):  # NaN, where there was no truth
        yield Fault("position.best", "a number", show_value(best))
    if not isinstance(sums, Mapping) or not all(_is_loss(*pair) for pair in sums.items()):
        yield Fault("position.sums", "a finite loss by name", show_value(sums))
    if not are_thresholds(position.get("thresholds")):
        yield Fault("position.thresholds", "a score from 0 to 1 by class", show_value(position["thresholds"]))


def _is_loss(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor) and value.ndim == 0 and is_sound(value)


def _random_faults(states: list[Any]) -> Iterator[Fault]:
    size = torch.get_rng_state().numel()
    if not states:
        yield Fault("random_states", "one for each process", "none")
    for process, state in enumerate(states):
        key = f"random_states[{process}]"
        if not isinstance(state, list) or not state or not all(_are_bytes(part) for part in state):
            yield Fault(key, "a list of tensors of bytes", show_value(state))
        elif state[0].numel() != size:
            yield Fault(f"{key}[0]", f"{size} bytes", str(state[0].numel()))


def _are_bytes(part: object) -> bool:
    return isinstance(part, Tensor) and part.dtype == torch.uint8 and part.ndim == 1


def _fit_faults(
    state: Mapping[str, Any], own: Mapping[str, Mapping[str, Any]], expected: Expected
) -> Iterator[Fault]:
    position = state["position"]
    if tuple(position["sums"]) != expected.terms:
        yield Fault("position.sums", f"the losses {', '.join(expected.terms)}", ", ".join(position["sums"]))
    if position["done"] > expected.steps:
        yield Fault("position.done", f"at most {expected.steps} steps of an epoch", str(position["done"]))
    for key in ("model", "ema", "scheduler", *(["loss"] if "loss" in own else [])):
        yield from _unlike(state.get(key), own[key], key)
    if own["scaler"] and state["scaler"]:  # empty where nothing is scaled
        yield from _unlike(state["scaler"], own["scaler"], "scaler")
    if state["scheduler"]["last_epoch"] < 0:
        yield Fault("scheduler.last_epoch", "a number from 0", str(state["scheduler"]["last_epoch"]))
    yield from _optimizer_faults(state["optimizer"], own["optimizer"])


def _optimizer_faults(found: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _unlike(found.get("param_groups"), own["param_groups"], "optimizer.param_groups")
    moments = found.get("state")
    if not isinstance(moments, Mapping):
        yield Fault("optimizer.state", "a dictionary", show_value(moments))
        return
    groups = [group["params"] for group in found["param_groups"]]
    numbers = {number for group in groups for number in group}
    for number, state in moments.items():
        key = f"optimizer.state.{number}"
        if number not in numbers:
            yield Fault(key, "the number of a tensor", "another")
        elif not isinstance(state, Mapping):
            yield Fault(key, "a dictionary", show_value(state))
        else:
            yield from _moment_faults(state, key)
    for group in groups:  # all tensors of a group are moved alike
        names = {name for number in group for name in moments.get(number, ())}
        for number in group:
            for name in names - {*moments.get(number, names)}:
                yield Fault(f"optimizer.state.{number}.{name}", "a tensor", "nothing")


def _moment_faults(state: Mapping[str, Any], key: str) -> Iterator[Fault]:
    for name, value in state.items():
        is_right = is_sound(value) if isinstance(value, Tensor) else is_number(value)
        if not is_right:
            yield Fault(f"{key}.{name}", "finite numbers", show_value(value))
        elif name == "step" and float(value) < 0:
            yield Fault(f"{key}.{name}", "a number from 0", show_value(value))


def _unlike(found: Any, own: Any, key: str) -> Iterator[Fault]:
    """Yield where a value is not of the kind, the size and the keys of our own."""
    match own:
        case Tensor():
            yield from _unlike_tensor(found, own, key)
        case Mapping():
            yield from _unlike_mapping(found, own, key)
        case list() | tuple():
            yield from _unlike_list(found, own, key)
        case _:
            yield from _unlike_value(found, own, key)


def _unlike_list(found: Any, own: Sequence[Any], key: str) -> Iterator[Fault]:
    if not isinstance(found, list | tuple) or len(found) != len(own):
        yield Fault(key, f"{len(own)} values", show_value(found))
        return
    for place, (value, expected) in enumerate(zip(found, own, strict=True)):
        yield from _unlike(value, expected, f"{key}[{place}]")


def _unlike_value(found: Any, own: Any, key: str) -> Iterator[Fault]:
    if isinstance(own, int | float) and not isinstance(own, bool):
        if not is_number(found):
            yield Fault(key, "a finite number", show_value(found))
    elif type(found) is not type(own):
        yield Fault(key, f"a {type(own).__name__}" if own is not None else "nothing", show_value(found))


def _unlike_mapping(found: Any, own: Mapping[str, Any], key: str) -> Iterator[Fault]:
    if not isinstance(found, Mapping):
        yield Fault(key, "a dictionary", show_value(found))
        return
    for name in own:
        if name not in found:
            yield Fault(f"{key}.{name}", "a value", "nothing")
    for name in found:
        if name not in own:
            yield Fault(f"{key}.{name}", "no such key", "one")
    for name, expected in own.items():
        yield from _unlike(found[name], expected, f"{key}.{name}")


def _unlike_tensor(found: Any, own: Tensor, key: str) -> Iterator[Fault]:
    shape = tuple(own.shape)
    if not isinstance(found, Tensor) or found.shape != own.shape or found.dtype != own.dtype:
        yield Fault(key, f"a tensor {shape} of {str(own.dtype).removeprefix('torch.')}", show_value(found))
    elif not is_sound(found):
        yield Fault(key, "finite numbers", "others")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _said(state: Mapping[str, Any], key: str) -> str:
    return show_value(state[key]) if key in state else "nothing"
