"""Settings of a training."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from cfg.section import Count, Fraction, Number, Positive, Section


class TrainConfig(Section):
    """The recipe."""

    epochs: Number = 100
    """Passes over the training images."""
    batch_size: Number = 16
    """Images per optimiser step, over all processes and micro-batches."""
    accumulate: Number = 1
    """Micro-batches of a step, one after another: less memory, the same step."""
    optimizer: Literal["sgd", "adamw", "muon"] = "muon"
    """muon learns by far the fastest from scratch (docs/decisions.md); sgd is the paper's."""
    lr: Positive | None = None
    """Learning rate at a batch of train.lr_batch images, linear in it; none: 0.02 for sgd, 0.004 for adamw,
    0.016 for muon."""
    lr_batch: Number = 16
    """Images of the batch that train.lr is meant for."""
    lr_end_share: Fraction = 0.01
    """Share of the learning rate that is left at the end of the cosine."""
    warmup_epochs: float = Field(default=5.0, ge=0.0)
    """Epochs in which the learning rate rises; the shorter of this and train.warmup_share counts."""
    warmup_share: Fraction = 0.05
    """The same as a share of all steps."""
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Momentum of the optimiser."""
    weight_decay: float = Field(default=5e-4, ge=0.0)
    """On weights of convolutions only."""
    clip_norm: Positive = 10.0
    """Largest norm of the gradient; a longer one is shortened."""
    ema_decay: Fraction = 0.9998
    """Decay of the averaged weights, those that are evaluated and kept."""
    ema_tau: Positive = 2000.0
    """Steps; the decay ramps as 1 - exp(-step / tau)."""
    average_last: Count = 0
    """The weights of so many last epochs are kept, and their mean becomes mean.pt beside best.pt; 0: none."""
    init: str | None = None
    """A checkpoint or a run's folder to start from; what does not fit, such as the outputs of other classes,
    starts anew. Bare names are looked up in weight/."""
    sync_bn: bool = True
    """Batch norm over the images of all GPUs, where there are several."""
    amp: bool = True
    """Mixed precision where the machine computes it natively: GPUs, CPUs with bfloat16 instructions."""
    eval_every: Number = 5
    """Epochs between evaluations on data.val."""
    patience: Count = 0
    """Evaluations without a better AP50 that end the run; 0: never."""
    save_every: Count = 0
    """Steps between checkpoints inside an epoch; 0: after each epoch alone."""
    resume: str | None = None
    """Go on with a run: auto, the newest unfinished one of this name, or a run's folder."""
    max_bad_steps: Number = 20
    """Steps in a row without a finite loss or gradient that end the run with an error."""
    freeze_norm: bool = False
    """Batch norm keeps the statistics that it has."""
    compile: bool = False
    """torch.compile: slower to start, faster on GPUs."""
    device: str = "auto"
    """Where the network runs, in test.py and predict.py as well: auto (the first GPU, else the CPU), cpu,
    gpu, or one of several GPUs by its number from 0: 1, gpu:1 or cuda:1."""
    name: str = ""
    """Folder in runs/; empty: the name of the configuration. A name that is taken gets a number."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of everything that is drawn by chance."""

    @field_validator("name")
    @classmethod
    def _folder_name(cls, value: str) -> str:
        if value in (".", "..") or re.search(r"[/\\\0]", value):
            raise ValueError("expected a plain folder name")
        return value

    @field_validator("device", mode="before")
    @classmethod
    def _one_device(cls, value: object) -> object:
        """Return the name that torch has for it; a number, as YAML reads it, is a GPU."""
        number = isinstance(value, int) and not isinstance(value, bool)
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value) if number else value
        if not isinstance(text, str):
            return value
        if "," in text:
            count = len(text.split(","))
            raise ValueError(f"expected one device; to train on {count}: NGPU={count} sh train_GGHL_dist.sh")
        return "cuda" if text == "gpu" else re.sub(r"^(?:(?:gpu|cuda):)?(\d+)$", r"cuda:\1", text)
