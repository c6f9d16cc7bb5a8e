"""Which settings a detector reads: those of its own sections, and all that are nobody's own."""

READS = {
    "gghl": ("assign.", "loss."),
    "fcos_r": ("fcos.", "loss.", "assign.min_side"),
    "centernet_r": ("centernet.", "assign.min_side"),
}
OWNED = ("assign.", "loss.", "fcos.", "centernet.")  # sections that not every detector reads


def is_read(detector: str, key: str) -> bool:
    """Return whether a detector reads the setting ``section.key``."""
    return not key.startswith(OWNED) or key.startswith(READS[detector])


def readers(key: str) -> str:
    """Return the detectors that read a setting, in words."""
    return " and ".join(name for name in READS if is_read(name, key))
