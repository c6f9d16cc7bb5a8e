"""Settings that not every detector reads: those of its own sections."""

CHOICES = ("loss.location", "loss.kld_direction", "loss.regression", "loss.classification", "loss.ghm_")
TINY = ("tiny.classes", "tiny.box", "tiny.glide", "tiny.ratio", "assign.ga_", "model.horizontal")
OWN = {  # beside the settings that all read
    "gghl": ("assign.", "loss."),
    "fcos_r": (
        *("fcos.", "loss.", "assign.rule", "assign.ga_", "assign.tal_", "assign.warmup_steps"),
        "model.horizontal",
    ),
    "centernet_r": ("centernet.",),
    "gghl_hbb": ("assign.level_bounds", "assign.heat_threshold", "loss."),
    "lo_det": ("assign.", "loss."),
    "npmmr": ("assign.", "loss."),
    "retinanet": ("retinanet.", *CHOICES),
    "yolov3_r": ("yolov3.", *CHOICES),
    "rtmdet_r": ("assign.level_bounds", "rtmdet."),
    "ttfnet": (*TINY, "tiny.quality"),
    "retinanet_s": (*TINY, "tiny.anchor"),
    "atss_s": (*TINY, "tiny.anchor", "tiny.quality"),
}
OWNED = (
    "assign.",
    "loss.",
    "fcos.",
    "centernet.",
    "retinanet.",
    "yolov3.",
    "rtmdet.",
    "tiny.",
    "model.horizontal",
)  # what not every detector reads
SHARED = ("assign.min_side",)  # of these, what all read
BOUNDS = {  # between the levels of a detector
    "gghl": "assign.level_bounds",
    "fcos_r": "fcos.level_bounds",
    "gghl_hbb": "assign.level_bounds",
    "lo_det": "assign.level_bounds",
    "npmmr": "assign.level_bounds",
    "rtmdet_r": "assign.level_bounds",
}

THREE_LEVELS = ("lo_det", "npmmr")  # detectors whose levels are at strides 8, 16 and 32 whatever is asked


def is_read(detector: str, key: str) -> bool:
    """Return whether a detector reads the setting ``section.key``."""
    return not key.startswith(OWNED) or key in SHARED or key.startswith(OWN.get(detector, SHARED))


def readers(key: str) -> str:
    """Return the detectors that read a setting, in words."""
    *others, last = (name for name in OWN if is_read(name, key))
    return f"{', '.join(others)} and {last}" if others else last
