"""MobileNetV2, CSPNeXt, MiT-B1, Darknet with edges: counts, taps, weights of files, frozen stages, loops."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import mobilenet_v2

from cfg.schema import Config, ModelConfig
from modelR.backbones.cspnext import CspNext
from modelR.backbones.edge_darknet import SOBEL, EdgeAttention, EdgeDarknet, EdgeMap
from modelR.backbones.mobilenet import MobileNet
from modelR.backbones.timm_features import BackboneError, TimmFeatures
from modelR.build import build_model
from modelR.csp import SplitBlock, WidePairSum
from modelR.layers import FastPyramidPooling
from modelR.parts import build_backbone
from tests.modelR.test_network import file_of_halves
from utils.errors import UserError

TAPS = (4, 8, 16, 32)
NAMES = ("mobilenet_v2", "cspnext", "mit_b1", "darknet53_edges")
CHANNELS = {
    "mobilenet_v2": (24, 32, 96, 1280),
    "cspnext": (128, 256, 512, 1024),
    "mit_b1": (64, 128, 320, 512),
    "darknet53_edges": (128, 256, 512, 1024),
}


def backbone_of(name: str, width: float = 1.0, taps: tuple[int, ...] = TAPS, **settings: Any) -> Any:
    return build_backbone(ModelConfig(backbone=name, **settings), width, 0.33 if width < 1 else 1.0, taps)


@pytest.mark.parametrize(
    ("name", "parameters"), [("mobilenet_v2", 2_223_872), ("cspnext", 26_138_912), ("mit_b1", 13_151_424)]
)
def test_counts(name: str, parameters: int) -> None:
    with torch.device("meta"):
        backbone = backbone_of(name)
    assert sum(p.numel() for p in backbone.parameters()) == parameters


@pytest.mark.parametrize("taps", [TAPS, (8, 16, 32), (16, 32), (32,)])
@pytest.mark.parametrize("name", NAMES)
def test_channels_and_sizes(name: str, taps: tuple[int, ...]) -> None:
    with torch.device("meta"):
        backbone = backbone_of(name, taps=taps).eval()
        shapes = [tuple(x.shape) for x in backbone(torch.zeros(2, 3, 64, 96))]
    channels = CHANNELS[name][-len(taps) :]
    assert backbone.channels == channels
    assert shapes == [(2, c, 64 // s, 96 // s) for c, s in zip(channels, taps, strict=True)]


def test_mobilenet_is_that_of_torchvision_on_normalised_images(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = mobilenet_v2()
    torch.save(whole.state_dict(), tmp_path / "m.pth")
    backbone = backbone_of("mobilenet_v2", weights=str(tmp_path / "m.pth")).eval()
    images = torch.rand(1, 3, 64, 32)
    colours = zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)  # of ImageNet
    normal = torch.stack([(images[:, c] - mean) / std for c, (mean, std) in enumerate(colours)], dim=1)
    with torch.no_grad():
        found = backbone(images)
        torch.testing.assert_close(found[-1], whole.eval().features(normal))
        torch.testing.assert_close(found[1], whole.features[:7](normal))
    assert {"mean", "std"} <= set(backbone.state_dict()), "a checkpoint knows what its weights want"


@pytest.mark.parametrize(
    ("change", "width", "message"),
    [
        (lambda s: s.pop("features.3.conv.0.0.weight"), 1.0, r"features\.3\.conv\.0\.0\.weight missing$"),
        (
            lambda _: None,
            0.5,
            r"features\.0\.0\.weight \(32, 3, 3, 3\) instead of \(16, .* and \d+ more$",
        ),
        (lambda s: s.clear(), 1.0, "expected tensors, found nothing"),
    ],
)
def test_weights_that_do_not_fit_mobilenet(tmp_path: Path, change: Any, width: float, message: str) -> None:
    state = mobilenet_v2().state_dict()
    change(state)
    torch.save(state, tmp_path / "m.pth")
    with pytest.raises(BackboneError, match=message) as caught:
        backbone_of("mobilenet_v2", width, weights=str(tmp_path / "m.pth"))
    assert str(tmp_path / "m.pth") in str(caught.value)
    assert "\n" not in str(caught.value)


def published_name(key: str) -> str:
    """Return the name that the authors of MiT (and PVTv2) give a tensor of timm's."""
    *stage, rest = key.split(".", 2)
    number = 1 if stage[0] == "patch_embed" else int(stage[0].removeprefix("stages_")) + 1
    if stage[0] == "patch_embed":
        return key.replace("patch_embed", "patch_embed1")
    kind, own = stage[1], rest
    if kind == "downsample":
        return f"patch_embed{number}.{own}"
    if kind == "norm":
        return f"norm{number}.{own}"
    return f"block{number}.{own}".replace("dwconv", "dwconv.dwconv")


@pytest.mark.slow
def test_published_weights_of_mit_are_read(tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = backbone_of("mit_b1").body.state_dict()
    state = {published_name(key): torch.rand_like(value) for key, value in source.items()}
    assert {"patch_embed1.proj.weight", "patch_embed2.proj.weight", "norm4.bias"} <= set(state)
    assert "block1.0.mlp.dwconv.dwconv.weight" in state
    torch.save(state, tmp_path / "mit.pth")
    backbone = backbone_of("mit_b1", weights=str(tmp_path / "mit.pth"))
    assert isinstance(backbone, TimmFeatures)
    for key, value in backbone.body.state_dict().items():
        assert torch.equal(value, state[published_name(key)]), key


def test_weights_of_another_network_do_not_fit_mit(tmp_path: Path) -> None:
    torch.save(mobilenet_v2().state_dict(), tmp_path / "m.pth")
    with pytest.raises(BackboneError, match=r"m\.pth: does not fit timm/mit_b1"):
        backbone_of("mit_b1", weights=str(tmp_path / "m.pth"))


def test_darknet_weights_fill_the_darknet_inside(tmp_path: Path) -> None:
    plain = build_model(Config(model=ModelConfig(size="nano")), 1)
    (tmp_path / "d.weights").write_bytes(file_of_halves(plain))
    backbone = backbone_of("darknet53_edges", 0.25, weights=str(tmp_path / "d.weights"))
    assert isinstance(backbone, EdgeDarknet)
    assert all((p == 0.5).all() for p in backbone.darknet.parameters())
    assert not (backbone.attention.theta.weight == 0.5).any()


def test_without_attention_it_is_darknet() -> None:
    torch.manual_seed(0)
    backbone = EdgeDarknet(0.25, 0.33).eval()
    torch.nn.init.zeros_(backbone.attention.norm.weight)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        pairs = zip(backbone(images), backbone.darknet(images), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_slopes_are_those_of_opencv() -> None:
    """Each colour by itself, added up, as three by three copies of a kernel do; the shares by hand."""
    torch.manual_seed(0)
    edges = EdgeMap().eval()
    images = torch.rand(1, 3, 32, 48)
    half = images[0].unflatten(1, (16, 2)).unflatten(3, (24, 2)).mean(dim=(2, 4)).numpy()
    kernels = [np.array(kernel, np.float32) for kernel in SOBEL]
    slopes = [
        sum(cv2.filter2D(plane, -1, kernel, borderType=cv2.BORDER_CONSTANT) for plane in half)
        for kernel in kernels
    ]
    with torch.no_grad():
        strengths = torch.from_numpy(np.stack(slopes))[:, None] * edges.gains[:, :, None, None]
        strengths = strengths.abs().unsqueeze(0)  # (1, 4, 3, 16, 24)
        shares = edges.select(strengths.flatten(1, 2)).softmax(dim=1)
        mixed = 4 * sum(strengths[:, k] * shares[:, k : k + 1] for k in range(4))
        assert isinstance(mixed, Tensor)
        pooled = F.max_pool2d(F.max_pool2d(mixed, 3, 2, 1), 3, 2, 1)
        torch.testing.assert_close(edges(images), edges.mix(pooled))
        assert ((edges.gains > 0.5) & (edges.gains < 1.5)).all()


def test_attention_equals_a_loop_over_groups() -> None:
    torch.manual_seed(0)
    layer = EdgeAttention(32).eval()
    x, edges = torch.randn(2, 32, 4, 6), torch.randn(2, 2, 8, 12)
    with torch.no_grad():
        guide = layer.edge(edges[:, :, ::2, ::2])
        theta = layer.theta(x) * (1 + guide)
        views = []
        for conv in (layer.phi, layer.gamma):
            y = conv(x)
            views.append(torch.cat([y, F.max_pool2d(y, 3, 1, 1), F.max_pool2d(y, 5, 1, 2)], dim=1))
        expected = torch.empty(2, 16, 4, 6)
        for image in range(2):
            for group in range(8):
                own = slice(group * 3, group * 3 + 3)  # 24 channels of three views in eight groups
                agreement = (views[0][image, own] * views[1][image, own]).sum()
                for channel in (2 * group, 2 * group + 1):
                    expected[image, channel] = agreement * theta[image, channel].flatten().softmax(0).view(
                        4, 6
                    )
        torch.testing.assert_close(layer(x, edges), x + layer.norm(layer.last(expected)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_frozen_stages_by_name(name: str) -> None:
    width = 0.25
    backbone = backbone_of(name, width)
    assert backbone.early_parameters(0) == []
    every = {key for key, _ in backbone.named_parameters()}
    assert set(backbone.early_parameters(5)) == every
    images = torch.rand(1, 3, 64, 64)
    for stages in (2, 3, 4):
        backbone.zero_grad(set_to_none=True)
        backbone.train()(images)[stages - 2].sum().backward()
        reached = {key for key, p in backbone.named_parameters() if p.grad is not None}
        assert set(backbone.early_parameters(stages)) == reached, stages


@pytest.mark.parametrize("name", ["mobilenet_v3", "mit_b9", "darknet53_edge"])
def test_backbones_that_are_not_there_are_named(name: str) -> None:
    with pytest.raises(UserError, match=rf"expected darknet53, .* or timm/NAME, got '{name}'") as caught:
        backbone_of(name)
    assert "\n" not in str(caught.value)


def test_widths_of_mobilenet_keep_the_last_feature() -> None:
    with torch.device("meta"):
        assert MobileNet(0.5, TAPS).channels == (16, 16, 48, 1280)


@pytest.mark.parametrize(
    ("width", "depth", "repeats"), [(0.375, 0.167, [1, 1, 1, 1]), (1.0, 1.0, [3, 6, 6, 3])]
)
def test_cspnext_has_the_channels_and_blocks_of_rtmdet(
    width: float, depth: float, repeats: list[int]
) -> None:
    with torch.device("meta"):
        backbone = CspNext(width, depth, TAPS)
    assert [unit.conv.out_channels for unit in backbone.stem] == [width * c for c in (32, 32, 64)]
    assert backbone.channels == tuple(width * c for c in (128, 256, 512, 1024))
    blocks = [stage[-1] for stage in backbone.stages]  # type: ignore[index]
    assert [sum(isinstance(p, WidePairSum) for p in block.main) for block in blocks] == repeats
    pooled = [any(isinstance(p, FastPyramidPooling) for p in stage) for stage in backbone.stages]  # type: ignore[union-attr]
    assert pooled == [False, False, False, True]


def test_a_block_of_cspnext_equals_its_formula() -> None:
    torch.manual_seed(0)
    block = SplitBlock(6, 8, 2, of_backbone=True).eval()
    x = torch.randn(2, 6, 7, 9)

    def unit(layers: Any, y: Tensor) -> Tensor:
        """Convolution and norm, whose statistics are 0 and 1, and SiLU."""
        conv, norm = layers
        raw = F.conv2d(y, conv.weight, padding=conv.kernel_size[0] // 2, groups=conv.groups)
        raw = raw / (1 + norm.eps) ** 0.5 * norm.weight[:, None, None] + norm.bias[:, None, None]
        return raw * torch.sigmoid(raw)

    with torch.no_grad():
        for p in block.parameters():
            p.add_(0.3 * torch.randn_like(p))
        first, *pairs = block.main
        y = unit((first.conv, first.norm), x)
        for wide, deep, _, mix in pairs:
            inner = unit((wide.conv, wide.norm), y)
            y = y + unit((mix.conv, mix.norm), unit(deep, inner))
        both = torch.cat([y, unit((block.side.conv, block.side.norm), x)], dim=1)
        weigh = block.attention.weigh
        means = both.mean(dim=(2, 3)) @ weigh.weight[:, :, 0, 0].T + weigh.bias
        weights = ((means + 3) / 6).clamp(0, 1)
        expected = unit((block.mix.conv, block.mix.norm), both * weights[:, :, None, None])
        torch.testing.assert_close(block(x), expected)
