"""Settings of prediction."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from cfg.section import Count, Fraction, Number, Percent, Rate, Section

OutputFormat = Literal["dota", "yolo", "coco", "csv", "geojson", "geopackage", "pictures", "crops"]
DEFAULT_THRESHOLD = 0.3  # where neither the settings nor the checkpoint say one


class PredictConfig(Section):
    """How large images are cut (docs/prediction.md), what predict.py shows and writes (docs/outputs.md)."""

    score_threshold: Fraction | dict[str, Fraction] | None = None
    """Least score of what predict.py writes and shows, and of what picture grids show: one number, or one for
    each class and under * for the others; none: those of the best F1 that the checkpoint has, else 0.3."""
    classes: tuple[str, ...] = ()
    """Classes that are written and shown; none: all."""
    formats: tuple[OutputFormat, ...] = ()
    """Files to write; none: dota and pictures, and geojson where an image is geo-referenced. The same as
    formats= of predict.py."""
    max_picture: Annotated[int, Field(ge=1, le=60_000)] = 4000
    """Side in pixels; of larger images an overview and the densest windows are drawn. A JPEG has at most
    65,500."""
    crop_margin: float = Field(default=0.1, ge=0.0)
    """Margin around a crop, in parts of its short side."""
    crop_limit: Count = 1000
    """Crops of an image, those of the highest scores; 0: all."""
    tile: Number | None = None
    """Side of the tiles of large images in pixels; none: the longer side of data.image_size."""
    overlap: Annotated[float, Field(ge=0.0)] = 0.25
    """Of neighbouring tiles: below 1 a share of their side, from 1 on pixels."""
    rates: tuple[Rate, ...] = ()
    """Scales at which images are cut into tiles, 0.5 finds objects twice as large; none: large images alone,
    at the median scale of training."""
    batch_size: Number = 8
    """Tiles that the network sees at once."""
    bands: tuple[Number, ...] = ()
    """Bands of a raster, from 1, one or three; none: its colours, or the first three."""
    stretch: tuple[Percent, Percent] | None = None
    """Percentiles of a raster that become black and white; none: 8 and 16 bits as in training
    (docs/prediction.md, Pixel values), other numbers by 2 and 98."""
    remote: bool = False
    """Let a VRT or the description of a map service name addresses in the network; false: local files."""
    vrt_folders: tuple[str, ...] = ()
    """Folders whose files a VRT may name, besides those below its own."""
    max_pixels: Number = 100_000_000_000
    """Pixels up to which an image is predicted without asking; of larger ones the header may be wrong."""
    quiet: bool = False
    """Neither progress bars nor lines about what was noticed."""

    @property
    def threshold(self) -> float | dict[str, float]:
        """The least score, of all classes or by class."""
        return DEFAULT_THRESHOLD if self.score_threshold is None else self.score_threshold

    @field_validator("bands")
    @classmethod
    def _grey_or_colour(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) not in (0, 1, 3):
            raise ValueError("expected one band, three or none")
        return value

    @field_validator("stretch")
    @classmethod
    def _rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError("expected two rising percentiles")
        return value
