"""The network of a detector as a whole: backbone, neck, one head per level, and the method that reads it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from cfg.schema import SIZE_STEP
from modelR.method import Method, Predictions

MAX_PIXEL = 255.0


class Network(nn.Module):
    """Maps images to one record of raw predictions per level of its method, finest first.

    Images are (B, 3, H, W) RGB with sides that are multiples of the coarsest stride: uint8, which is
    divided by 255 here so that exported networks take raw pixels, or floats in [0, 1].
    """

    def __init__(
        self, backbone: nn.Module, neck: nn.Module, heads: Sequence[nn.Module], method: Method
    ) -> None:
        super().__init__()
        self.method = method
        self.backbone = backbone
        self.neck = neck
        self.heads = nn.ModuleList(heads)
        self.frozen: tuple[str, ...] = ()  # modules that stay in evaluation mode, by name: some get replaced

    def class_outputs(self) -> list[str]:
        """Return the names of the parameters whose shape and meaning belong to the classes."""
        outputs = {id(p) for head in self.heads for p in list(head.classes.children())[-1].parameters()}  # type: ignore[union-attr]
        named = self.named_parameters(remove_duplicate=False)  # levels may share their outputs
        return [name for name, parameter in named if id(parameter) in outputs]

    def freeze(self, parameters: Iterable[str]) -> None:
        """Fix parameters by name, and the running statistics of the norms that they belong to."""
        names = list(parameters)
        for name in names:
            self.get_parameter(name).requires_grad_(False)
        self.frozen = tuple(dict.fromkeys(name.rpartition(".")[0] for name in names))
        self.train(self.training)

    def train(self, mode: bool = True) -> "Network":
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def forward(self, images: Tensor) -> Predictions:
        if not torch.compiler.is_compiling():  # a compiled graph carries its own shape guards
            check_images(images)
        if images.dtype == torch.uint8:
            images = images.to(next(self.parameters()).dtype) / MAX_PIXEL
        features = self.neck(self.backbone(images))
        return [head(level) for head, level in zip(self.heads, features, strict=True)]


def check_images(images: Tensor, step: int = SIZE_STEP) -> None:
    """Raise a ValueError for what is no batch of images of sides that are multiples of `step` pixels."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images: expected shape (B, 3, H, W), got {tuple(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"images: expected uint8 or floats, got {images.dtype}")
    height, width = images.shape[2:]
    if height % step or width % step:
        raise ValueError(f"images: expected sides that are multiples of {step}, got {height} x {width}")
