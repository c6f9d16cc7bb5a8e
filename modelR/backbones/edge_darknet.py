"""Darknet-53 with the edge-guided non-local attention of NPMMR-Det (spec 5.11)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelR.backbones.darknet import STAGES, Darknet
from modelR.layers import ConvUnit, scaled_channels

ATTENDED = 3  # stage of Darknet behind whose first convolution, at stride 16, the attention stands
GROUPS = 8
SOBEL = (  # derivatives across edges of 0, 45, 90 and 135 degrees
    ((1, 2, 1), (0, 0, 0), (-1, -2, -1)),
    ((2, 1, 0), (1, 0, -1), (0, -1, -2)),
    ((1, 0, -1), (2, 0, -2), (1, 0, -1)),
    ((0, -1, -2), (1, 0, -1), (2, 1, 0)),
)
EDGE_GAIN = 4.0


class EdgeDarknet(nn.Module):
    """Maps images to features at the strides `taps`, as `Darknet` does, which is part of it."""

    def __init__(self, width: float = 1.0, depth: float = 1.0, taps: tuple[int, ...] = (8, 16, 32)) -> None:
        super().__init__()
        self.darknet = Darknet(width, depth, taps)
        self.edges = EdgeMap()
        self.attention = EdgeAttention(scaled_channels(STAGES[ATTENDED][0], width))
        self.channels = self.darknet.channels

    def early_parameters(self, stages: int) -> list[str]:
        """Return the names of the parameters of the first stages, with the attention from stride 16 on."""
        names = [f"darknet.{name}" for name in self.darknet.early_parameters(stages)]
        if stages > ATTENDED:
            names += [name for name, _ in self.named_parameters() if not name.startswith("darknet.")]
        return names

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (B, C, H / stride, W / stride), finest first."""
        x = self.darknet.stem(images)
        features = []
        for number, stage in enumerate(self.darknet.stages):
            assert isinstance(stage, nn.Sequential)
            first, *others = stage
            x = first(x)
            if number == ATTENDED:
                x = self.attention(x, self.edges(images))
            for residual in others:
                x = residual(x)
            features.append(x)
        return features[-len(self.channels) :]


class EdgeMap(nn.Module):
    """How strong edges of the image are, and of what direction: (B, 2, H / 8, W / 8)."""

    kernels: Tensor  # (4, 1, 3, 3)

    def __init__(self) -> None:
        super().__init__()
        kernels = torch.tensor(SOBEL, dtype=torch.float32).unsqueeze(1)
        self.register_buffer("kernels", kernels, persistent=False)
        self.gains = nn.Parameter(torch.randn(len(SOBEL), 3).sigmoid() + 0.5)  # per direction and output
        self.select = ConvUnit(3 * len(SOBEL), len(SOBEL), 1)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.mix = ConvUnit(3, 2, 1, activation=nn.Mish(inplace=True))

    def forward(self, images: Tensor) -> Tensor:
        grey = F.avg_pool2d(images, 2).sum(dim=1, keepdim=True)  # every kernel reads all colours alike
        slopes = F.conv2d(grey, self.kernels.to(grey.dtype), padding=1)  # (B, 4, H / 2, W / 2)
        edges = (slopes.unsqueeze(2) * self.gains.unsqueeze(-1).unsqueeze(-1)).abs()  # (B, 4, 3, ...)
        shares = self.select(edges.flatten(1, 2)).softmax(dim=1)
        strongest = EDGE_GAIN * (edges * shares.unsqueeze(2)).sum(dim=1)
        edge_map: Tensor = self.mix(self.pool(self.pool(strongest)))
        return edge_map


class EdgeAttention(nn.Module):
    """Non-local attention that looks at edges, in groups of channels (NPAttention).

    Each group adds its softmax over the map, times how well two views of the map agree in it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta = nn.Conv2d(channels, inner, 1)
        self.edge = nn.Conv2d(2, 1, 1)
        self.phi = nn.Conv2d(channels, inner // 2, 1)
        self.gamma = nn.Conv2d(channels, inner // 2, 1)
        self.pools = nn.ModuleList(nn.MaxPool2d(side, stride=1, padding=side // 2) for side in (3, 5))
        self.last = nn.Conv2d(inner, channels, 1, groups=GROUPS)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Return `x` (B, C, H, W) with what it attends to, by `edges` (B, 2, 2 H, 2 W)."""
        guide = self.edge(F.interpolate(edges, scale_factor=0.5, mode="nearest"))
        theta = self.theta(x) * (1.0 + guide)
        places = theta.float().flatten(2).softmax(dim=-1).view_as(theta)
        phi, gamma = (grouped(self._views(conv(x)).float()) for conv in (self.phi, self.gamma))
        agreement = (phi * gamma).sum(dim=(2, 3, 4), keepdim=True)  # sums beyond half precision
        attended = (grouped(places) * agreement).flatten(1, 2)
        y: Tensor = x + self.norm(self.last(attended.to(x.dtype)))
        return y

    def _views(self, x: Tensor) -> Tensor:
        """Return `x` (B, C, H, W) beside its maxima over 3x3 and 5x5 cells: (B, 3 C, H, W)."""
        return torch.cat([x, *(pool(x) for pool in self.pools)], dim=1)


def grouped(x: Tensor) -> Tensor:
    """Return the channels of `x` (B, C, H, W) in groups: (B, groups, C / groups, H, W)."""
    return torch.unflatten(x, 1, (GROUPS, -1))
