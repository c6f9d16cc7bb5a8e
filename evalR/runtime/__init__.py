"""Runtime without torch: `from evalR.runtime import Runtime` (docs/runtime.md)."""

from evalR.runtime.decisions import FoundQuads
from evalR.runtime.runtime import Runtime

__all__ = ["FoundQuads", "Runtime"]
