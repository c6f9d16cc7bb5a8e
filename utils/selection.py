"""Row selection by masks, with as few waits for a GPU as can be.

The size of what a mask chooses is known to the device alone; every `nonzero` and every index by a mask makes
the host wait until all work before it is done.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def rows_where(masks: Sequence[Tensor]) -> list[Tensor]:
    """Return the rows (K,) int64, ascending, where each mask (N,) bool holds; all with one wait."""
    if masks[0].device.type == "cpu":  # nothing to wait for, and quicker
        return [mask.nonzero().squeeze(-1) for mask in masks]
    return expanded_rows([mask.long() for mask in masks])


def expanded_rows(repeats: Sequence[Tensor]) -> list[Tensor]:
    """Return each row so often as its number (N,) int64 says, (K,), for all sets of rows with one wait."""
    totals = torch.stack([times.sum() for times in repeats]).tolist()
    pairs = zip(repeats, totals, strict=True)
    return [torch.repeat_interleave(times, output_size=total) for times, total in pairs]


def on_device(values: Sequence[object], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return numbers of the host as a tensor beside another, without waiting for its device."""
    return torch.tensor(values, dtype=dtype).to(like.device, non_blocking=True)


def to_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors of one device on the CPU, with one copy, for each copy waits."""
    if tensors[0].device.type == "cpu":
        return list(tensors)
    parts = [tensor.contiguous().flatten().view(torch.uint8) for tensor in tensors]
    split = torch.split(torch.cat(parts).cpu(), [len(part) for part in parts])
    pairs = zip(split, tensors, strict=True)
    return [part.clone().view(like.dtype).view(like.shape) for part, like in pairs]  # a clone is aligned
