"""Necks against torchvision, published counts and slow loops."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from cfg.load import ConfigError, load_config
from cfg.schema import AssignConfig, Config, ModelConfig
from modelR.build import build_model
from modelR.layers import FastPyramidPooling
from modelR.necks.center import CenterNeck
from modelR.necks.fpn import FpnNeck
from modelR.necks.fusion import FusionNeck
from modelR.necks.light import GatedDepthwise, LightNeck, Shuffled
from modelR.necks.msr import FieldsOfView, MsrNeck
from modelR.necks.pafpn import PafpnNeck
from modelR.necks.top_down import TopDownNeck
from modelR.necks.ttf import TtfNeck
from modelR.parts import choose_neck
from tests.methods import GGHL
from tests.modelR.test_network import tensors
from utils.errors import UserError

RESNET = (512, 1024, 2048)


def count(layer: nn.Module) -> int:
    return sum(p.numel() for p in layer.parameters())


def features(channels: tuple[int, ...], batch: int = 2, coarsest: tuple[int, int] = (2, 3)) -> list[Tensor]:
    sides = [2 ** (len(channels) - 1 - k) for k in range(len(channels))]
    return [
        torch.randn(batch, c, coarsest[0] * side, coarsest[1] * side)
        for c, side in zip(channels, sides, strict=True)
    ]


def test_fpn_has_the_counts_of_resnet_50() -> None:
    with torch.device("meta"):
        assert count(FpnNeck(RESNET, 3)) == 2_688_512
        assert count(FpnNeck(RESNET, 5)) == 2_688_512 + 4_718_848 + 590_080  # P6 of C5


@pytest.mark.parametrize("levels", [3, 5])
def test_fpn_equals_the_one_of_torchvision(levels: int) -> None:
    torch.manual_seed(0)
    channels = (8, 16, 24)
    neck = FpnNeck(channels, levels, width=12).eval()
    other = FeaturePyramidNetwork(list(channels), 12, LastLevelP6P7(24, 12) if levels == 5 else None)
    for k in range(3):
        other.inner_blocks[k][0].load_state_dict(neck.lateral[k].state_dict())
        other.layer_blocks[k][0].load_state_dict(neck.smooth[k][1].state_dict())
    if levels == 5:
        for name, conv in zip(("p6", "p7"), neck.coarser, strict=True):
            getattr(other.extra_blocks, name).load_state_dict(conv.state_dict())
    inputs = features(channels)
    expected = list(other({str(k): x for k, x in enumerate(inputs)}).values())
    assert len(expected) == levels == len(neck.out_channels)
    for found, due in zip(neck(inputs), expected, strict=True):
        torch.testing.assert_close(found, due)


@pytest.mark.parametrize(
    ("width", "repeats", "parameters"),
    [(96, 1, 2_188_944), (128, 1, 3_883_200), (192, 2, 11_049_408), (256, 3, 23_746_688)],
)
def test_pafpn_has_the_counts_of_rtmdet(width: int, repeats: int, parameters: int) -> None:
    with torch.device("meta"):
        neck = PafpnNeck((width, 2 * width, 4 * width), 3, width=width, repeats=repeats)
    assert count(neck) == parameters


NECKS = (
    (TopDownNeck, (8, 16, 24), 3),
    (FpnNeck, (8, 16, 24), 3),
    (FpnNeck, (8, 16, 24, 32), 1),
    (FpnNeck, (8, 16, 24), 5),
    (PafpnNeck, (8, 16, 24), 3),
    (PafpnNeck, (8, 16, 24, 32), 4),
    (PafpnNeck, (8, 16, 24, 32), 1),
    (LightNeck, (8, 16, 24), 3),
    (MsrNeck, (8, 16, 24), 3),
    (TtfNeck, (8, 16, 24, 32), 1),
    (TtfNeck, (8, 16), 1),
    (FusionNeck, (8, 16, 24, 32), 1),
)


@pytest.mark.parametrize(("kind", "channels", "levels"), NECKS)
def test_shapes_and_gradients(kind: type[nn.Module], channels: tuple[int, ...], levels: int) -> None:
    torch.manual_seed(0)
    neck = kind(channels, levels, 0.1, width=0.125) if kind is LightNeck else kind(channels, levels, 0.1)
    inputs = features(channels, coarsest=(4, 8))
    outputs = neck(inputs)
    finest = [inputs[0].shape[-2] // 2**k for k in range(levels)]
    assert [x.shape[-2] for x in outputs] == finest
    assert [x.shape[1] for x in outputs] == list(neck.out_channels)
    sum(x.square().mean() for x in outputs).backward()  # type: ignore[union-attr]
    for name, parameter in neck.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    with torch.no_grad():
        none = neck.eval()(features(channels, batch=0))
    assert [len(x) for x in none] == [0] * levels


@pytest.mark.parametrize("kind", [LightNeck, MsrNeck])
def test_three_levels_or_none(kind: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match="expected three levels of three features, got 4"):
        kind((8, 16, 24, 32), 4)


@pytest.mark.parametrize("neck", ["top_down", "fpn", "pafpn"])
@pytest.mark.parametrize(
    "model",
    [
        {"detector": "gghl", "strides": (16, 32)},
        {"detector": "centernet_r", "backbone": "mobilenet_v2"},
        {"detector": "lo_det"},
        {"detector": "lo_det", "backbone": "cspnext"},
        {"detector": "npmmr", "backbone": "timm/mobilenetv3_small_050"},
    ],
)
def test_any_neck_stands_behind_any_backbone(neck: str, model: dict[str, object]) -> None:
    section = ModelConfig.model_validate({"size": "nano", "neck": neck} | model)
    bounds = (100.0,) if section.strides == (16, 32) else AssignConfig().level_bounds
    network = build_model(Config(model=section, assign=AssignConfig(level_bounds=bounds)), 2).eval()
    with torch.no_grad():
        outputs = network(torch.rand(1, 3, 64, 96))
    assert len(outputs) == len(network.method.strides)
    for output, stride in zip(outputs, network.method.strides, strict=True):
        assert output.class_logits.shape == (1, 64 // stride, 96 // stride, 2)


def test_the_neck_of_the_detector_is_the_default() -> None:
    assert choose_neck(ModelConfig(), GGHL) is TopDownNeck
    torch.manual_seed(0)
    plain = build_model(Config(model=ModelConfig(size="nano")), 2)
    torch.manual_seed(0)
    named = build_model(Config(model=ModelConfig(size="nano", neck="top_down")), 2)
    assert plain.state_dict().keys() == named.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), named.parameters(), strict=True))


def test_necks_that_are_not_there_are_named() -> None:
    with pytest.raises(ConfigError, match=r"model\.neck: .*'top_down', 'fpn', .*, got 'bifpn'") as caught:
        load_config(None, ["model.neck=bifpn"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("neck", "kind"), [("center", CenterNeck), ("ttf", TtfNeck), ("fusion", FusionNeck)])
def test_the_neck_of_one_level_is_refused_for_three(neck: str, kind: type[nn.Module]) -> None:
    section = ModelConfig.model_validate({"neck": neck})
    with pytest.raises(UserError, match=rf"model\.neck: expected another than {neck}, which has one level"):
        choose_neck(section, GGHL)
    with pytest.raises(ValueError, match=rf"{kind.__name__}: expected one level, got 3"):
        kind((8, 16, 24), 3)
    one = choose_neck(section, replace(GGHL, strides=(4,)))((8, 16, 24, 32), 1, 0.0)
    assert isinstance(one, kind)


def test_lifts_and_shortcuts_as_a_loop_writes_them() -> None:
    """The deformable convolutions read beside their taps: a whole cell to the right here."""
    torch.manual_seed(0)
    neck = TtfNeck((4, 6, 8), 1).eval()
    (first, _), *_ = lifted = [(layers[0], layers[1]) for layers in neck.lifts]
    assert [conv.conv.in_channels for conv, _ in lifted] == [8, 6]
    bias = torch.zeros(18)
    bias[1::2] = 10  # tenths of a cell
    first.shifts.bias.data.copy_(bias)
    inputs = features((4, 6, 8), batch=1)
    with torch.no_grad():
        x = inputs[-1]
        for count, own in ((1, inputs[1]), (2, inputs[0])):
            conv, norm = lifted[count - 1]
            moved = F.pad(x, (1, 2, 1, 1))[..., 1:] if count == 1 else F.pad(x, (1, 1, 1, 1))
            x = F.conv2d(moved, conv.conv.weight) / (1 + norm.eps) ** 0.5
            x = F.interpolate(x.relu(), scale_factor=2, mode="bilinear", align_corners=True)
            y = own
            convolutions = [m for m in neck.shortcuts[count - 1] if isinstance(m, nn.Conv2d)]
            assert len(convolutions) == count
            for number, plain in enumerate(convolutions):
                y = F.conv2d(y.relu() if number else y, plain.weight, plain.bias, padding=1)
            x = x + y
        torch.testing.assert_close(neck(inputs)[0], x)


def test_fusion_has_the_count_of_the_paper_and_lays_features_over_each_other() -> None:
    with torch.device("meta"):
        assert count(FusionNeck((64, 128, 320, 512), 1)) == 1024 * 128 + 4 * 256 + 512 * 128 + 256
    torch.manual_seed(0)
    neck = FusionNeck((4, 6, 8), 1, width=5).eval()
    inputs = features((4, 6, 8), batch=1)
    scale = (1 + neck.mix.norm.eps) ** -0.5
    with torch.no_grad():
        maps = []
        for k, (own, unit) in enumerate(zip(inputs, neck.reduce, strict=True)):
            small = (scale * F.conv2d(own, unit.conv.weight)).relu()
            maps.append(F.interpolate(small, scale_factor=2**k, mode="bilinear") if k else small)
        expected = (scale * F.conv2d(torch.cat(maps, dim=1), neck.mix.conv.weight)).relu()
        torch.testing.assert_close(neck(inputs)[0], expected)


@pytest.mark.parametrize("neck", ["top_down", "pafpn"])
def test_levels_that_a_neck_has_not_are_named(neck: str) -> None:
    retina = replace(GGHL, name="retina", strides=(8, 16, 32, 64, 128))
    expected = rf"model\.neck: expected none or fpn, retina .* 8, 16, 32, 64, 128 and {neck} none beyond 32"
    with pytest.raises(UserError, match=expected):
        choose_neck(ModelConfig.model_validate({"neck": neck}), retina)
    neck_of = choose_neck(ModelConfig(neck="fpn"), retina)
    assert len(neck_of((8, 16, 24), 5, 0.0)(features((8, 16, 24)))) == 5


def test_a_gate_multiplies_the_kernel_of_each_image() -> None:
    """As CondConv is written: images become groups of one convolution."""
    torch.manual_seed(0)
    layer = GatedDepthwise(6, dilation=2)
    x = torch.randn(3, 6, 7, 9)
    gates = torch.sigmoid(x.mean(dim=(2, 3)) @ layer.route.weight.T + layer.route.bias)  # (3, 1)
    kernels = (gates[:, :, None, None, None] * layer.conv.weight).flatten(0, 1)
    biases = (gates * layer.conv.bias).flatten()
    images = x.reshape(1, 18, 7, 9)
    expected = F.conv2d(images, kernels, biases, padding=2, dilation=2, groups=18).view_as(x)
    torch.testing.assert_close(layer(x), expected)


def test_halves_are_shuffled_as_a_loop_shuffles_them() -> None:
    torch.manual_seed(0)
    layer = Shuffled(12, groups=4).eval()
    x = torch.randn(1, 12, 3, 3)
    with torch.no_grad():
        joined = torch.cat([x[:, :6], layer.right(x[:, 6:])], dim=1)
        expected = torch.stack([joined[0, group * 3 + k] for k in range(3) for group in range(4)])
        assert torch.equal(layer(x)[0], expected)


@pytest.mark.parametrize("dilations", [(2, 4, 6), (1, 2)])
def test_fields_of_view_are_added_up(dilations: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    block = FieldsOfView(8, dilations, 0.0).eval()
    x = torch.randn(1, 8, 9, 9)
    with torch.no_grad():
        z = block.first(x)
        sums, seen = torch.zeros_like(z), [z] if len(dilations) == 3 else []
        for dilation, unit in zip(dilations, block.dilated, strict=True):
            raw = F.conv2d(z, unit.conv.weight, padding=dilation, dilation=dilation)
            sums = sums + F.leaky_relu(raw / (1 + unit.norm.eps) ** 0.5, 0.1)
            seen.append(sums)
        raw = F.conv2d(torch.cat(seen, dim=1), block.mix.conv.weight) / (1 + block.mix.norm.eps) ** 0.5
        torch.testing.assert_close(block(x), raw * torch.tanh(F.softplus(raw)))


def test_fast_pooling_takes_the_maxima_of_three_windows() -> None:
    torch.manual_seed(0)
    layer = FastPyramidPooling(6, 5).eval()
    x = torch.randn(1, 6, 15, 14)
    with torch.no_grad():
        half = layer.reduce(x)
        maxima = [F.max_pool2d(half, side, stride=1, padding=side // 2) for side in (1, 5, 9, 13)]
        torch.testing.assert_close(layer(x), layer.mix(torch.cat(maxima, dim=1)))


@pytest.mark.parametrize("neck", ["fpn", "pafpn"])
def test_a_neck_learns_with_its_heads(neck: str) -> None:
    torch.manual_seed(0)
    model = build_model(Config(model=ModelConfig.model_validate({"size": "nano", "neck": neck})), 2)
    sum(field.square().mean() for field in tensors(model(torch.rand(2, 3, 64, 96)))).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
