"""Optional libraries, which are not always installed (requirements-extra.txt)."""

import importlib
from typing import Any

from utils.errors import UserError


def find_extra(name: str) -> Any:
    """Return a module, or None where its library is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def need_extra(name: str, purpose: str) -> Any:
    """Return a module.

    Raises:
        UserError: its library is not installed; says what to install.
    """
    module = find_extra(name)
    if module is None:
        library = name.partition(".")[0]
        raise UserError(f"{purpose} needs {library}: pip install {library} (requirements-extra.txt)")
    return module
