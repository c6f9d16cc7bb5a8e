"""Files as the public GGHL code writes them, from the list of its tensors in tests/golden."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden" / "public_checkpoint"
CLASSES_OF_IT = 15


class Entry(NamedTuple):
    """A tensor of the public state dict."""

    name: str
    shape: tuple[int, ...]
    kind: str  # positive, kernel, offset, count


def entries(num_classes: int = CLASSES_OF_IT) -> list[Entry]:
    """The tensors in the order of the file, for another number of classes on demand."""
    found = []
    for line in (GOLDEN / "keys.tsv").read_text().splitlines():
        name, shape, kind = line.split("\t")
        sides = [int(side) for side in shape.split("x") if side]
        if "__cls" in name and sides[:1] == [CLASSES_OF_IT]:
            sides[0] = num_classes
        found.append(Entry(name, tuple(sides), kind))
    return found


def hollow_state(num_classes: int = CLASSES_OF_IT) -> dict[str, Tensor]:
    """All tensors in their shapes, each of one number: a file of them has some kilobytes."""
    kinds = {"count": torch.tensor(0)}
    return {e.name: kinds.get(e.kind, torch.tensor(0.5)).expand(e.shape) for e in entries(num_classes)}


def seeded_state() -> dict[str, Tensor]:
    """The weights of the golden outputs (README.md beside them)."""
    state = {}
    for number, (name, shape, kind) in enumerate(entries()):
        generator = torch.Generator().manual_seed(1000 + number)
        match kind:
            case "positive":
                state[name] = torch.rand(shape, generator=generator) * 0.5 + 0.75
            case "kernel":
                fan = int(np.prod(shape[1:]))
                state[name] = torch.randn(shape, generator=generator) * (1.2 / fan**0.5)
            case "offset":
                state[name] = torch.randn(shape, generator=generator) * 0.1
            case "count":
                state[name] = torch.tensor(0)
    return state


def in_form(state: Mapping[str, Tensor], form: str) -> dict[str, Any]:
    """The state dict as `best.pt` holds it (plain) or as `last.pt` does (training); -ddp: of several GPUs."""
    if form.endswith("-ddp"):
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    if form.startswith("plain"):
        return dict(state)
    group = {"lr": np.float64(1e-4), "momentum": 0.9, "nesterov": True, "params": [0]}
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [group]}
    return {"epoch": 95, "best_mAP": np.float64(0.7695), "model": dict(state), "optimizer": optimizer}
