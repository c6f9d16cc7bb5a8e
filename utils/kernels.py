"""Compiled kernels: loops as machine code, compiled at their first call and kept on disk."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Return the function compiled, without Python's lock.

    It is kept in NUMBA_CACHE_DIR, in `__pycache__` beside the code or in a folder of the user; where none of
    them can be written, each process compiles it anew.
    """
    try:
        return cast("Function", njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba found no folder, as in a container that can only be read
        return cast("Function", njit(nogil=True)(function))
