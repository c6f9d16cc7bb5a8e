"""Distributed training on torch.distributed; every function is harmless in a single process.

`torchrun` starts the processes and says in the environment who they are.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

T = TypeVar("T")


def launched() -> bool:
    """Return whether torchrun started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: str) -> str:
    """Join the other processes, if there are any, and return the device of this one: `auto` is a GPU each."""
    if not launched():
        return device
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device in ("auto", "cuda"):
        device = f"cuda:{local}" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device))
    store, rank, world_size = next(rendezvous("env://"))
    # after a restart the launcher's store still holds the addresses of the processes that died
    store = PrefixStore(f"attempt {_attempt()}", store)
    backend = "nccl" if device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    return device


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def restarted() -> bool:
    """Return whether torchrun started this process again after a failure (`--max-restarts`)."""
    return _attempt() > 0


def _attempt() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this process writes files and shows progress."""
    return rank() == 0


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum of the tensors of all processes, of one shape, on all of them."""
    if dist.is_initialized():
        values = values.clone()
        dist.all_reduce(values)
    return values


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether the flag is set in any process."""
    if not dist.is_initialized():
        return flag  # without a wait for the device
    return bool(sum_over_ranks(torch.tensor(float(flag)).to(device, non_blocking=True)) > 0)


def gather(value: T) -> list[T]:
    """Return the values of all processes, in the order of their ranks, on all of them."""
    if not dist.is_initialized():
        return [value]
    values: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def from_main(value: T) -> T:
    """Return the value of the main process on all."""
    if not dist.is_initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def share_buffers(module: nn.Module) -> None:
    """Give every process the buffers of the main one: the statistics of batch norm differ by process."""
    if dist.is_initialized():
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


@contextmanager
def main_first() -> Iterator[None]:
    """Let the main process do something before the others do: what it writes, they find."""
    if dist.is_initialized() and not is_main():
        dist.barrier()
    yield
    if dist.is_initialized() and is_main():
        dist.barrier()


def interleave(parts: Sequence[Sequence[T]], block: int, count: int) -> list[T]:
    """Return `count` rows in order from parts that took blocks of rows in turn: see `own_rows`."""
    positions = [iter(part) for part in parts]
    return [next(positions[row // block % len(parts)]) for row in range(count)]


def own_rows(count: int, block: int) -> list[int]:
    """Return the rows of this process: each n-th block of `block` rows."""
    return [row for row in range(count) if row // block % world_size() == rank()]
