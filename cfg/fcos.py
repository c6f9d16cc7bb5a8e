"""Settings of FCOS-R."""

from cfg.section import Fraction, Positive, Section


class FcosConfig(Section):
    """Centre sampling (spec 10.2)."""

    level_bounds: tuple[Positive, ...] = (128.0, 256.0)
    """Long sides in pixels of the network input above which an object belongs to the next coarser level."""
    min_centerness: Fraction = 0.05
    """Cells more central than this learn an object."""
