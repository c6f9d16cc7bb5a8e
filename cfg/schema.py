"""Every setting of the project: default, unit and source.

YAML files in this folder state only what differs; ``section.key=value`` on the command line wins over both.
Sections are frozen; a module takes its own section or plain values, only scripts see `Config`.
"""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]  # a probability or a part of a whole
Positive = Annotated[float, Field(gt=0.0)]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]
Scale = Annotated[float, Field(ge=0.1, le=4.0)]
Turns = Annotated[int, Field(ge=0, le=3)]
STRIDES = (8, 16, 32)  # pixels per cell of the three pyramid levels
SIZE_STEP = 32  # the coarsest stride: every input side is a multiple of it


class Section(BaseModel):
    """Frozen, and strict about unknown keys; every number is finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Where images and labels are and how they are read."""

    root: str = "dataR/demo"  # a folder of a known layout (docs/data.md) or a list file
    train: str = "train"  # split name, or the path of a list file
    val: str = "val"
    test: str = "test"
    classes: tuple[str, ...] = ()  # empty: the names found in the training labels, sorted
    image_size: int | tuple[int, int] = 640  # pixels of the network input, one side or [height, width]
    max_downscale: Positive = 2.0  # images larger than this times the input must be split first
    workers: Count = 4  # loader processes, at most one per CPU core
    prefetch: Number = 2  # batches that each of them keeps ready
    cache_gb: float = Field(default=0.0, ge=0.0)  # decoded images kept in memory, GB (1e9 bytes) per process
    on_error: Literal["stop", "skip"] = "stop"  # bad images and label lines: an error, or left out and listed
    # repeat-factor sampling (LVIS, arXiv:1908.03195): classes in a smaller share of the images are shown more
    # often, by sqrt(threshold / share); 0.001 there; None: every image once an epoch
    repeat_threshold: Annotated[float, Field(gt=0.0, le=1.0)] | None = None

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


class AugmentConfig(Section):
    """Probabilities and ranges of the training augmentations, per image."""

    flip_horizontal: Share = 0.5
    flip_vertical: Share = 0.5
    turn: Share = 0.5  # a quarter, half or three-quarter turn
    rotate: Share = 0.3
    rotate_degrees: float = Field(default=30.0, ge=0.0, le=180.0)  # drawn from -x to x
    scale: Share = 0.5
    scale_range: tuple[Positive, Positive] = (0.7, 1.4)  # drawn log-uniformly
    shift: Share = 0.3
    shift_share: Share = 0.1  # of the input side, drawn from -x to x
    crop: Share = 0.3  # a window around all objects, never cutting one (spec 6.5)
    hsv: Share = 0.75
    hsv_gains: tuple[Share, Share, Share] = (0.015, 0.7, 0.4)  # hue, saturation, value (spec 6.5)
    mixup: Share = 0.3
    mixup_beta: Positive = 1.5  # Beta(x, x) (spec 6.5)
    mosaic: Share = 0.0  # four images around a random centre
    close_epochs: Count = 0  # the last epochs, without mosaic and mixup
    multi_scale_steps: Count = 2  # input sizes of base + 32 {-x..x}; 0: one size
    multi_scale_every: Number = 10  # batches of one size


class AssignConfig(Section):
    """OLA: which cells learn an object (spec 2)."""

    rule: Literal["current", "paper"] = "current"
    level_bounds: tuple[Positive, Positive] = (68.571, 274.286)  # px of the network input, long side
    level_overlap: float = Field(default=1.2, ge=1.0)
    heat_threshold: Share = 0.05
    iou_threshold: Share = 0.3  # the exponent of the semi-axes is 1 - this
    min_side: float = Field(default=4.0, ge=0.0)  # px; smaller objects are ignore regions


class ModelConfig(Section):
    """The network (spec 5)."""

    size: Literal["nano", "small", "medium", "large"] = "large"  # of darknet53; timm's have their own
    backbone: str = "darknet53"  # or timm/NAME, any network of timm with features at strides 8, 16 and 32
    freeze: Annotated[int, Field(ge=0, le=5)] = 0  # first stages that stay: up to stride 2**freeze
    dropblock: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None  # None: 0.1 for large, 0 below
    # a file for the backbone: Darknet's .weights, or for timm's .pth, .safetensors; bare names: in weight/
    weights: str | None = None
    pretrained: bool = False  # timm's own weights for the backbone, fetched from the network at the first use

    @field_validator("pretrained")
    @classmethod
    def _of_timm_alone(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("backbone", "").startswith("timm/"):
            raise ValueError("expected false: only backbones timm/NAME have weights to fetch")
        if value and info.data.get("weights") is not None:
            raise ValueError("expected false beside model.weights: one of the two")
        return value


class Gains(NamedTuple):
    """Factors of the terms of JOL."""

    objectness: float  # fg and bg
    classes: float  # pos and neg
    iou: float
    glide: float
    ratio: float
    distance: float


GAINS = {
    "paper": Gains(
        objectness=2.0, classes=1.0, iou=1.0, glide=1.0, ratio=16.0, distance=0.2
    ),  # spec 4.3, 4.4
    "tuned": Gains(
        objectness=2.0, classes=1.0, iou=5.0, glide=15.0, ratio=16.0, distance=1.0
    ),  # docs/decisions.md
}


class LossConfig(Section):
    """JOL: the gains of its terms; a gain that is None is the preset's."""

    preset: Literal["tuned", "paper"] = "tuned"
    objectness: Positive | None = None
    classes: Positive | None = None
    iou: Positive | None = None
    glide: Positive | None = None
    ratio: Positive | None = None
    distance: Positive | None = None
    label_smoothing: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0  # of classes, on top of JOL's 0.01

    @property
    def gains(self) -> Gains:
        """The gains that count."""
        preset = GAINS[self.preset]
        chosen = (getattr(self, name) for name in Gains._fields)
        return Gains(*(b if a is None else a for a, b in zip(chosen, preset, strict=True)))


class TrainConfig(Section):
    """The recipe."""

    epochs: Number = 100
    batch_size: Number = 16  # images per optimiser step, over all processes and micro-batches
    accumulate: Number = 1  # micro-batches of a step, one after another: less memory, the same step
    optimizer: Literal["sgd", "adamw", "muon"] = "muon"  # measured: docs/decisions.md
    lr: Positive | None = (
        None  # at a batch of `lr_batch`, linear in it; None: sgd 0.02, adamw 4e-3, muon 0.016
    )
    lr_batch: Number = 16  # images
    lr_end_share: Share = 0.01  # of lr, at the end of the cosine
    warmup_epochs: float = Field(default=5.0, ge=0.0)
    warmup_share: Share = 0.05  # warm-up is the shorter of the two, in steps
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    weight_decay: float = Field(default=5e-4, ge=0.0)  # on weights of convolutions only
    clip_norm: Positive = 10.0
    ema_decay: Share = 0.9998
    ema_tau: Positive = 2000.0  # steps; the decay ramps as 1 - exp(-step / tau)
    init: str | None = None  # a checkpoint of a run to start from; bare names are looked up in weight/
    sync_bn: bool = True  # batch norm over the images of all GPUs, where there are several
    amp: bool = True  # mixed precision where the device computes it natively: GPUs, CPUs with bfloat16
    eval_every: Number = 5  # epochs
    patience: Count = 0  # evaluations without a better AP50 that end the run; 0: never
    save_every: Count = 0  # steps between checkpoints inside an epoch; 0: after each epoch alone
    resume: str | None = None  # auto: the newest unfinished run of this name; or a run's folder
    max_bad_steps: Number = 20  # steps in a row without a finite loss or gradient
    freeze_norm: bool = False  # batch norm keeps the statistics that it has
    compile: bool = False  # torch.compile: slower to start, faster on GPUs
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    # of the folder in runs/; empty: the name of the configuration; a name that is taken gets a number
    name: Annotated[str, Field(pattern=r"^[^/\\]*$")] = ""
    seed: Count = 0


class EvalConfig(Section):
    """From raw predictions to metrics (spec 7 and 8)."""

    split: str = "val"  # what test.py scores: train, val or test of `data`, or any split name
    score_threshold: Share = 0.005  # low, as average precision needs; 0.05 is enough while training
    class_weight: Share = 0.5  # w of score = objectness^(1 - w) * class score^w (spec 7.5 has 0.5)
    multi_label: bool = False  # each class of a cell above the threshold, not its best alone
    ratio_check: bool = True  # glides that contradict the area ratio give the box; false: as published
    pre_nms: Number = 3000  # candidates per image before suppression
    nms_iou: Share = 0.45
    vote_iou: Share = 0.5  # what overlaps more with a detection that suppresses it moves its quad; 1: nothing
    support: float = Field(default=0.0, ge=0.0)  # how much that raises the score, too (docs/decisions.md)
    max_detections: Number = 2000  # per image
    metric: Literal["voc07", "voc12"] = "voc12"  # 11-point or all-point average precision
    batch_size: Number = 8
    # test-time augmentation: each image is shown in every scale with every flip and turn, and merged
    scales: Annotated[tuple[Scale, ...], Field(min_length=1)] = (1.0,)  # factors of the network input
    flips: Literal["none", "horizontal", "vertical", "both"] = "none"  # shown besides the image as it is
    turns: Annotated[tuple[Turns, ...], Field(min_length=1)] = (0,)  # quarter turns counter-clockwise
    merge: Literal["nms", "fuse"] = "nms"  # of views and of tiles: the best of a group, or its weighted mean
    merge_iou: Share = 0.3  # quads of one class that overlap more are a group (spec 8.2)


OutputFormat = Literal["dota", "yolo", "coco", "csv", "geojson", "geopackage", "pictures", "crops"]


class PredictConfig(Section):
    """How large images are cut (docs/prediction.md), what predict.py shows and writes (docs/outputs.md)."""

    score_threshold: Share = 0.3
    classes: tuple[str, ...] = ()  # empty: all
    formats: tuple[OutputFormat, ...] = ()  # empty: dota and pictures, and geojson where geo-referenced
    max_picture: Number = 4000  # px; of larger images an overview and the densest windows are drawn
    crop_margin: float = Field(default=0.1, ge=0.0)  # around a crop, in parts of its short side
    crop_limit: Count = 1000  # crops of an image, those of the highest scores; 0: all
    tile: Number | None = None  # px, side of the tiles of large images; None: the longer of data.image_size
    overlap: Annotated[float, Field(ge=0.0)] = 0.25  # of neighbouring tiles: below 1 a share of them, else px
    rates: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)  # scales at which it is looked at
    batch_size: Number = 8  # tiles that the network sees at once
    bands: tuple[Number, ...] = ()  # of a raster, from 1, one or three; empty: its colours or the first three
    # percentiles that become black and white; None: 8 and 16 bits as in training, other numbers by 2 and 98
    stretch: tuple[Percent, Percent] | None = None
    quiet: bool = False  # neither progress bars nor lines about what was noticed

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

    @property
    def slices(self) -> bool:
        """Whether tiles or rates are asked for, whatever the size of an image."""
        return self.tile is not None or self.rates != (1.0,)


class Config(Section):
    """All settings of one run."""

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    assign: AssignConfig = AssignConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()
    predict: PredictConfig = PredictConfig()

    @model_validator(mode="after")
    def _ordered_ranges(self) -> "Config":
        low, high = self.assign.level_bounds
        if low >= high:
            raise ValueError(f"assign.level_bounds: expected two rising numbers, got {low}, {high}")
        if self.augment.scale_range[0] > self.augment.scale_range[1]:
            raise ValueError(
                f"augment.scale_range: expected [low, high], got {list(self.augment.scale_range)}"
            )
        return self
