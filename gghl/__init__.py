"""Oriented object detection in images: `from gghl import Detector` (docs/python.md).

In an installation all packages of the project lie below this one; `setup.py` says how.
"""

from cfg.load import ConfigError
from evalR.inference.detector import Detector
from evalR.inference.found import FoundObject, FoundObjects
from utils.errors import UserError

__version__ = "0.8.0"  # as in pyproject.toml, CITATION.cff and CHANGELOG.md
__all__ = ["ConfigError", "Detector", "FoundObject", "FoundObjects", "UserError"]
