"""Shared memory of processes, as far as there is: a container may have no /dev/shm, or a read-only one."""

import logging
import multiprocessing
from functools import lru_cache

import torch

from utils.errors import first_line

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def can_share() -> bool:
    """Return whether locks and tensors can be shared with other processes; if not, say once why."""
    try:
        multiprocessing.get_context().Lock()
        torch.empty(1).share_memory_()  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError, ImportError) as error:
        log.warning("no worker processes, for no memory can be shared with them: %s", first_line(error))
        return False
    return True
