"""Settings of the data."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from cfg.section import SIZE_STEP, Count, Number, Positive, Section


class DataConfig(Section):
    """Where images and labels are and how they are read."""

    root: str = "dataR/demo"
    """A folder of a known layout (docs/data.md) or a list file."""
    train: str = "train"
    """What is trained on: the name of a split, or the path of a list file."""
    val: str = "val"
    """What the evaluations during a training score: a split or a list file."""
    test: str = "test"
    """What eval.split=test means: a split or a list file."""
    classes: tuple[str, ...] = ()
    """Class names in the order of their indices; none: the names found in the training labels, sorted."""
    image_size: int | tuple[int, int] = 640
    """Network input in pixels, multiples of 32: one side, or height,width."""
    max_downscale: Positive | None = None
    """Images larger than this times the input are refused in training (datasets_tools.split cuts them) and
    cut into tiles for prediction; none: training refuses from 2, prediction cuts what it would have to show
    smaller than training did."""
    training_scale: tuple[Positive, Positive, Positive] | None = None
    """Lowest, median and highest scale at which training shows its images; training fills it in, so that
    prediction shows images alike; none: not known."""
    workers: Count = 4
    """Loader processes, at most one per CPU core; 0: images are loaded in the main process."""
    prefetch: Number = 2
    """Batches that each loader process keeps ready."""
    cache_gb: float = Field(default=0.0, ge=0.0)
    """Decoded images kept in memory, in GB (1e9 bytes) per loader process."""
    on_error: Literal["stop", "skip"] = "stop"
    """At bad images and label lines: stop with an error, or leave them out and list them (skip)."""
    repeat_threshold: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Show classes that are in less than this share of the images more often, by sqrt(threshold / share)
    (repeat-factor sampling of LVIS, arXiv:1908.03195, which has 0.001); none: every image once an epoch."""

    @field_validator("image_size")
    @classmethod
    def _multiple_of_step(cls, value: int | tuple[int, int]) -> int | tuple[int, int]:
        for side in (value,) if isinstance(value, int) else value:
            if side < SIZE_STEP or side % SIZE_STEP:
                nearest = max(SIZE_STEP, round(side / SIZE_STEP) * SIZE_STEP)
                raise ValueError(
                    f"expected sides that are multiples of {SIZE_STEP}, the nearest is {nearest}"
                )
        return value

    @field_validator("classes")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("expected each class once")
        return value

    def split(self, name: str) -> str:
        """Return the split that `name` means: train, val and test are settings, others mean themselves."""
        return {"train": self.train, "val": self.val, "test": self.test}.get(name, name)

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network input in pixels."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else size
