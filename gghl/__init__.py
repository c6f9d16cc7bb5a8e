"""Oriented object detection in images: `from gghl import Detector` (docs/python.md).

In an installation all packages of the project lie below this one; `setup.py` says how.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cfg.load import ConfigError
    from evalR.inference.detector import Detector
    from evalR.inference.found import FoundObject, FoundObjects
    from utils.errors import UserError

__version__ = "0.8.0"  # as in pyproject.toml, CITATION.cff and CHANGELOG.md
__all__ = ["ConfigError", "Detector", "FoundObject", "FoundObjects", "UserError"]


def __getattr__(name: str) -> object:
    """Return what is asked for, loaded then: `gghl.evalR.runtime` needs no torch, and finds none loaded."""
    if name not in __all__:
        raise AttributeError(f"module 'gghl' has no attribute {name!r}")
    from cfg.load import ConfigError
    from evalR.inference.detector import Detector
    from evalR.inference.found import FoundObject, FoundObjects
    from utils.errors import UserError

    found = (ConfigError, Detector, FoundObject, FoundObjects, UserError)
    globals().update(zip(__all__, found, strict=True))
    return globals()[name]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
