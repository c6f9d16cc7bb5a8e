"""RTMDet-R: the published counts, its head, its targets and losses against slow loops, what it refuses."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor, nn

from cfg.load import ConfigError, config_text, load_config
from cfg.schema import AssignConfig, Config, RtmdetConfig
from dataloadR.assign.shapes import Pyramid
from modelR.build import build_model, init_model
from modelR.detectors.gghl.assigning import guesses_of
from modelR.detectors.gghl.decode import decode_level
from modelR.detectors.rtmdet_r import SepBnHead, candidates, rtmdet_r
from modelR.necks.pafpn import PafpnNeck
from modelR.network import Network
from modelR.training.stepper import Stepper
from tests.dataloadR.assign.slow_rules import bce, sigmoid, slow_soft
from tests.dataloadR.assign.test_rules import slow_scene
from tests.dataloadR.assign.test_targets import box, objects_of, random_objects
from tests.modelR.detectors.levels import split
from tests.modelR.training.test_methods import CPU, TRAIN, batches
from tests.training_runs import ROOT
from utils.checkpoint import CheckpointError, save_checkpoint
from utils.errors import UserError
from utils.quads.glides import glides_to_quads, settle_glides
from utils.records import Batch, LevelPrediction, LevelTargets, Objects

YAML = str(ROOT / "cfg/detectors/rtmdet_r.yaml")
STRIDES, CLASSES = (8, 16, 32), 4
ASSIGN = AssignConfig(level_bounds=(30.0, 80.0))
GAINS = RtmdetConfig(classes=1.5, iou=2.5, ratio=3.0)
METHOD = rtmdet_r(GAINS, ASSIGN, None, PafpnNeck)
SIZES = {  # RTMDet's tiny, s, m and l, 15 classes, with rotated boxes: width, backbone, neck, heads and all
    "nano": (96, 2_348_700, 2_188_944, 339_900, 4_877_544),
    "small": (128, 4_378_320, 3_883_200, 600_636, 8_862_156),
    "medium": (192, 12_279_432, 11_049_408, 1_343_292, 24_672_132),
    "large": (256, 26_138_912, 23_746_688, 2_380_860, 52_266_460),
}


def count(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def network(*words: str, classes: int = CLASSES) -> Network:
    torch.manual_seed(0)
    return build_model(load_config(YAML, ["model.size=nano", *words]), classes)


class OfRotatedBoxes(SepBnHead):
    channels = (4, 1)  # the distances and the angle of the paper


@pytest.mark.parametrize("size", SIZES)
def test_counts_are_the_published_ones_and_the_quad_outputs(size: str) -> None:
    width, backbone, neck, heads, whole = SIZES[size]
    with torch.device("meta"):
        model = network(f"model.size={size}", classes=15)
        published = nn.ModuleList(OfRotatedBoxes(width, 15, stride) for stride in STRIDES)
    for head in published:
        for name in model.method.shared:
            setattr(head, name, getattr(published[0], name))
    assert model.neck.out_channels == (width,) * 3
    assert (count(model.backbone), count(model.neck), count(published)) == (backbone, neck, heads)
    assert count(model.backbone) + count(model.neck) + count(published) == whole
    assert count(model.heads) == heads + 3 * 4 * (width + 1)
    assert count(model) == whole + 3 * 4 * (width + 1)


def test_kernels_are_shared_and_norms_and_outputs_are_not() -> None:
    first, *others = network().heads
    for head in others:
        for branch in ("location", "class"):
            assert getattr(head, f"{branch}_kernels") is getattr(first, f"{branch}_kernels")
            pairs = zip(getattr(head, f"{branch}_norms"), getattr(first, f"{branch}_norms"), strict=True)
            assert all(a is not b for a, b in pairs)
        assert head.location[0] is not first.location[0]
        assert head.classes[0] is not first.classes[0]


def test_a_head_computes_what_its_layers_compute_one_after_another() -> None:
    torch.manual_seed(0)
    head = SepBnHead(8, 3, 16).eval()
    x = torch.randn(2, 8, 4, 6)
    with torch.no_grad():
        found = head(x)
        maps = []
        for kernels, norms, output in (
            (head.location_kernels, head.location_norms, head.location),
            (head.class_kernels, head.class_norms, head.classes),
        ):
            y = x
            for k in range(2):
                y = norms[k](kernels[k](y))
                y = y * y.sigmoid()
            maps.append(output(y).permute(0, 2, 3, 1))
        location = torch.cat([found.edge_logits, found.glide_logits, found.ratio_logit.unsqueeze(-1)], dim=-1)
        torch.testing.assert_close(location, maps[0])
        torch.testing.assert_close(found.class_logits, maps[1])
    assert not found.objectness_logit.any()
    with pytest.raises(ValueError, match="SepBnHead: expected at least one class, got 0"):
        SepBnHead(8, 0, 16)


@pytest.mark.parametrize("classes", [1, 5])
def test_every_class_starts_from_one_in_a_hundred(classes: int) -> None:
    model = network(classes=classes).eval()
    with torch.no_grad():
        for level in model(torch.rand(1, 3, 128, 128)):
            torch.testing.assert_close(
                level.class_logits, torch.full_like(level.class_logits, -math.log(99)), atol=0.3, rtol=0
            )
            dists = decode_level(level).edge_dists / level.stride
            torch.testing.assert_close(dists, torch.ones_like(dists), atol=0.3, rtol=0)
    five = network(classes=classes + 1)
    shapes, other = ({k: v.shape for k, v in m.state_dict().items()} for m in (model, five))
    assert {key for key in shapes if shapes[key] != other[key]} == set(model.class_outputs())


def random_case(seed: int) -> tuple[Objects, Pyramid, list[LevelPrediction]]:
    """Return objects and predictions, a third of which lie near an object; no objects every tenth time."""
    rng = np.random.default_rng(seed)
    pyramid = Pyramid(2, 64, 96, STRIDES)
    objects = random_objects(rng, 2, (64, 96)) if seed % 10 else objects_of([])
    levels = []
    for level in pyramid.levels():
        raw = rng.normal(0, 1, (2, level.rows, level.columns, 10 + CLASSES))
        for image, row, column in np.ndindex(2, level.rows, level.columns):
            own = objects.quads[objects.image_index == image].numpy()
            if len(own) and rng.random() < 0.3:
                low, high = (f(own[rng.integers(len(own))], axis=0) for f in (np.min, np.max))
                x, y = (column + 0.5) * level.stride, (row + 0.5) * level.stride
                dists = np.array([y - low[1], high[0] - x, high[1] - y, x - low[0]]) / level.stride
                raw[image, row, column, :4] = np.log(dists.clip(0.05)) + rng.normal(0, 0.1, 4)
        levels.append(split(torch.from_numpy(raw), level.stride))
    return objects, pyramid, levels


@pytest.mark.parametrize("seed", range(30))
def test_targets_equal_the_slow_loop(seed: int) -> None:
    objects, pyramid, predictions = random_case(seed)
    levels = METHOD.targets(objects, pyramid, predictions)
    expected = slow_soft(slow_scene(objects, pyramid, guesses_of(predictions), ASSIGN))
    for level, maps in zip(levels, expected, strict=True):
        for name, values in maps.items():
            own = getattr(level, name).numpy().astype(np.float64)
            np.testing.assert_allclose(own, values, rtol=1e-6, atol=1e-8, err_msg=name)


def test_targets_follow_the_predictions_and_need_no_settings_of_gghl() -> None:
    objects, pyramid, predictions = random_case(3)
    more = [level._replace(class_logits=-3 * level.class_logits) for level in predictions]
    first, second = (METHOD.targets(objects, pyramid, own) for own in (predictions, more))
    assert any(not torch.equal(a.owner, b.owner) for a, b in zip(first, second, strict=True))
    assert METHOD.is_dynamic
    assert not any(level.objectness.requires_grad for level in first)
    text = config_text(load_config(YAML))
    assert "assign.level_bounds" in text
    assert "assign.rule" not in text


def quad_by_hand(p: LevelPrediction, at: tuple[int, ...], is_horizontal: bool) -> list[tuple[float, float]]:
    """Decode one cell; the glides of what should be a horizontal box are not looked at."""
    _, row, column = at
    x, y = (column + 0.5) * p.stride, (row + 0.5) * p.stride
    top, right, bottom, left = (math.exp(v) * p.stride for v in p.edge_logits[at].tolist())
    glides = [(max(sigmoid(v), 0.01) - 0.01) / 0.99 for v in p.glide_logits[at].tolist()]
    a, b, c, d = [0.0] * 4 if is_horizontal else glides
    w, h = left + right, top + bottom
    return [
        (x - left + a * w, y - top),
        (x + right, y - top + b * h),
        (x + right - c * w, y + bottom),
        (x - left, y + bottom - d * h),
    ]


def slow_losses(predictions: list[LevelPrediction], targets: list[LevelTargets], objects: Objects) -> Any:
    sums = {"classes": 0.0, "quad_iou": 0.0, "ratio": 0.0}
    for p, t in zip(predictions, targets, strict=True):
        for at in np.ndindex(*t.owner.shape):
            owner, q, mix = int(t.owner[at]), float(t.objectness[at]), float(t.mix_weight[at])
            for c, x in enumerate(p.class_logits[at].tolist()):
                y = q if owner >= 0 and c == int(objects.labels[owner]) else 0.0
                if not t.ignore[at]:
                    sums["classes"] += 1.5 * mix * abs(y - sigmoid(x)) ** 2 * bce(x, y)
            if owner < 0:
                continue
            ratio = float(t.area_ratio[at])
            truth = glides_to_quads(t.hboxes[at], t.glides[at]).tolist()
            found, true = shapely.Polygon(quad_by_hand(p, at, ratio > 0.9)), shapely.Polygon(truth)
            shared = found.intersection(true).area
            sums["quad_iou"] += 2.5 * mix * q * (1 - shared / (found.area + true.area - shared))
            own = min(max(float(p.ratio_logit[at]) / 6 + 0.5, 0), 1)
            sums["ratio"] += 3 * mix * q * (own - ratio) ** 2
    return sums


@pytest.mark.parametrize("seed", range(12))
def test_losses_equal_the_slow_loop(seed: int) -> None:
    objects, pyramid, predictions = random_case(seed)
    if len(objects.labels):
        objects = objects._replace(weights=torch.linspace(0.3, 1, len(objects.labels), dtype=torch.float64))
        objects.ignore[-1] = True
    targets = METHOD.targets(objects, pyramid, predictions)
    found = METHOD.loss(predictions, targets, torch.tensor(3.0))
    expected = slow_losses(predictions, targets, objects)
    assert tuple(found) == METHOD.terms == ("classes", "quad_iou", "ratio")
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value / 3, rel=1e-6, abs=1e-9), name
    whole = sum(float(level.objectness.sum()) for level in targets)
    assert float(METHOD.count(targets)) == pytest.approx(whole)


def gradients(seed: int) -> tuple[list[LevelPrediction], list[LevelTargets]]:
    objects, pyramid, predictions = random_case(seed)
    leaves = [
        LevelPrediction(*(field.clone().requires_grad_() for field in level[:-1]), level.stride)
        for level in predictions
    ]
    targets = METHOD.targets(objects, pyramid, leaves)
    terms = METHOD.loss(leaves, targets, torch.ones(()))
    torch.stack(list(terms.values())).sum().backward()
    return leaves, targets


def test_edges_glides_and_ratio_learn_where_there_is_an_owner_and_classes_everywhere() -> None:
    learnt = 0
    for seed in range(1, 8):
        for leaf, target in zip(*gradients(seed), strict=True):
            own = (target.owner >= 0) & (target.objectness > 0)
            assert leaf.class_logits.grad is not None
            assert ((leaf.class_logits.grad != 0).all(dim=-1) == ~target.ignore).all()
            assert leaf.objectness_logit.grad is None, "there is no such branch"
            for name in ("edge_logits", "glide_logits", "ratio_logit"):
                moved = getattr(leaf, name).grad
                assert not moved[~own].any(), name
            slanted = own & (target.area_ratio <= 0.9) & (target.objectness < 1)
            assert (leaf.glide_logits.grad[slanted] != 0).any(dim=-1).all()  # type: ignore[index]
            assert (leaf.edge_logits.grad[own & (target.objectness < 1)] != 0).any(dim=-1).all()  # type: ignore[index]
            assert (leaf.ratio_logit.grad[own & (leaf.ratio_logit.abs() < 3)] != 0).all()  # type: ignore[index]
            learnt += int(slanted.sum())
    assert learnt > 20


def test_steps_along_the_gradient_turn_a_diamond_into_the_quad() -> None:
    """From what a new network predicts, by the overlap alone: nothing else teaches glides."""
    quad = [[30, 8], [60, 26], [50, 43], [20, 25]]
    objects, pyramid = objects_of([quad]), Pyramid(1, 64, 96, (16,))
    raw = torch.zeros(1, 4, 6, 10 + CLASSES, dtype=torch.float64, requires_grad=True)
    method = rtmdet_r(RtmdetConfig(), AssignConfig(level_bounds=()), (16,), PafpnNeck)
    optimizer = torch.optim.Adam([raw], lr=0.1)
    for _ in range(120):
        level = split(raw, 16)
        targets = method.targets(objects, pyramid, [level])
        terms = method.loss([level], targets, method.count(targets).clamp(min=1))
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    quads, scores = method.candidates([split(raw.detach(), 16)], Config().eval)
    best = int(scores.flatten().argmax()) // CLASSES
    found, true = shapely.Polygon(quads[0, best].tolist()), shapely.Polygon(quad)
    assert found.intersection(true).area / found.union(true).area > 0.95
    assert float(scores.max()) > 0.8


def test_a_rescued_object_pulls_at_its_box_from_the_start() -> None:
    """No cell lies in it; what a new network predicts in the cell of its centre overlaps it."""
    objects, pyramid = objects_of([box(1, 1, 6.5, 3)]), Pyramid(1, 64, 96, STRIDES)
    raw = [torch.zeros(1, 64 // s, 96 // s, 10 + CLASSES).double().requires_grad_() for s in STRIDES]
    levels = [split(own, stride) for own, stride in zip(raw, STRIDES, strict=True)]
    targets = METHOD.targets(objects, pyramid, levels)
    assert float(METHOD.count(targets)) == float(targets[0].objectness[0, 0, 0]) == 1
    error = METHOD.loss(levels, targets, torch.ones(()))["quad_iou"]
    error.backward()
    assert 0 < float(error.detach()) < 2.5
    assert raw[0].grad is not None
    (cell,) = raw[0].grad.abs().sum(dim=-1).nonzero().tolist()
    assert cell == [0, 0, 0]
    dists = raw[0].grad[0, 0, 0].tolist()[:4]
    assert min(dists) > 0, "the box of 16 px around (4, 4) holds the object on all four sides, and shrinks"


def test_scores_are_those_of_the_classes_alone() -> None:
    _, _, predictions = random_case(4)
    config = Config().eval.model_copy(update={"class_weight": 0.3, "multi_label": True})
    quads, scores = candidates(predictions, config)
    expected = torch.cat([level.class_logits.sigmoid().flatten(1, 2) for level in predictions], dim=1)
    torch.testing.assert_close(scores, expected)
    decoded = [decode_level(level) for level in predictions]
    due = [glides_to_quads(d.hboxes, settle_glides(d.glides, d.area_ratio)).flatten(1, 2) for d in decoded]
    torch.testing.assert_close(quads, torch.cat(due, dim=1))
    _, best = candidates(predictions, Config().eval)
    torch.testing.assert_close(best, torch.where(scores == scores.amax(dim=-1, keepdim=True), scores, 0.0))


def crowd(size: int) -> Objects:
    rng = np.random.default_rng(0)
    sides, middles = rng.uniform(0.5, 90, (2000, 1, 2)), rng.uniform(-10, size + 10, (2000, 1, 2))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 + rng.uniform(-0.3, 0.3, (2000, 4, 2))
    objects = objects_of(corners * sides + middles, labels=rng.integers(0, CLASSES, 2000))
    return objects._replace(quads=objects.quads.float(), weights=objects.weights.float())


def none() -> Objects:
    objects = objects_of([])
    return objects._replace(quads=objects.quads.float(), weights=objects.weights.float())


@pytest.mark.parametrize("objects", [none(), crowd(128)], ids=["none", "two thousand"])
def test_a_step_is_finite_without_objects_and_with_two_thousand(objects: Objects) -> None:
    model = network()
    stepper = Stepper(model, TRAIN, CPU, 10)
    before = [p.detach().clone() for p in model.parameters()]
    losses = stepper.step([Batch(torch.rand(1, 3, 128, 128), objects, [], torch.arange(1))])
    assert losses is not None
    assert all(value.isfinite() for value in losses.values())
    assert (float(losses["quad_iou"]) > 0) == (float(losses["ratio"]) > 0) == bool(len(objects.labels))
    assert all(p.isfinite().all() for p in model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_micro_batches_equal_one_large_batch() -> None:
    """With the statistics of norms frozen; the normaliser, a sum of overlaps, is that of all of them."""
    first, second = batches()
    fields = zip(first.objects[:-1], second.objects[:-1], strict=True)
    index = torch.cat([first.objects.image_index, second.objects.image_index + 2])
    objects = Objects(*(torch.cat(pair) for pair in fields), index)
    whole = Batch(torch.cat([first.images, second.images]), objects, [], torch.arange(4))
    one, two = (Stepper(network().eval(), TRAIN, CPU, 10) for _ in range(2))
    expected, found = one.step([whole]), two.step([first, second])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("neck", ["fpn", "pafpn"])
def test_other_necks_of_equal_width(neck: str) -> None:
    model = network(f"model.neck={neck}")
    assert model.neck.out_channels == (96,) * 3
    assert len(model.eval()(torch.rand(1, 3, 64, 64))) == 3


def test_four_levels_and_another_backbone() -> None:
    model = network("model.strides=4,8,16,32", "assign.level_bounds=20,80,160", "model.backbone=mobilenet_v2")
    levels = model.eval()(torch.rand(1, 3, 64, 96))
    assert [level.stride for level in levels] == [4, 8, 16, 32]
    assert [tuple(level.ratio_logit.shape) for level in levels] == [
        (1, 64 // s, 96 // s) for s in (4, 8, 16, 32)
    ]
    loss, objects = model.method, objects_of([box(10, 10, 30, 40)])
    objects = objects._replace(quads=objects.quads.float(), weights=objects.weights.float())
    targets = loss.targets(objects, Pyramid(1, 64, 96, loss.strides), levels)
    assert sum(int((level.owner >= 0).sum()) for level in targets) > 0


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (
            ["assign.rule=tal"],
            ConfigError,
            r"assign\.rule: read by gghl, .* alone, model\.detector is rtmdet_r",
        ),
        (["loss.iou=1"], ConfigError, r"loss\.iou: read by gghl, .* alone, model\.detector is rtmdet_r"),
        (["model.detector=gghl", "rtmdet.iou=1"], ConfigError, r"rtmdet\.iou: read by rtmdet_r alone"),
        (["rtmdet.iou=0"], ConfigError, r"rtmdet\.iou: .*greater than 0"),
        (["model.strides=4,8,16,32"], ConfigError, r"assign\.level_bounds: expected 3 rising numbers"),
        (
            ["model.neck=top_down"],
            UserError,
            r"model\.neck: expected none, fpn or pafpn, the levels of rtmdet_r share .* have 48, 96, 192 ch",
        ),
        (["model.neck=center"], UserError, r"model\.neck: expected another than center, .* for rtmdet_r"),
        (
            ["model.backbone=timm/deit_tiny_patch16_224"],
            UserError,
            r"model\.backbone: expected features at strides 8, 16, 32, timm/deit_tiny_patch16_224 has 16",
        ),
        (["model.weights=none.pth"], UserError, r"none\.pth: no such file"),
    ],
)
def test_what_does_not_go_with_it_is_refused_in_one_line(
    words: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        network(*words)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_member_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.manual_seed(0)
    other = build_model(load_config(None, ["model.size=nano"]), CLASSES)
    file = tmp_path / "gghl.pt"
    save_checkpoint(file, {"config": "", "classes": list("abcd"), "model": other.state_dict()})
    with pytest.raises(
        UserError, match=r"gghl\.pt: does not fit cspnext: .* missing.* and \d+ more$"
    ) as caught:
        network(f"model.weights={file}")
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"gghl\.pt: nothing fits the model: .* and \d+ more$") as again:
        init_model(network(), file, list("abcd"))
    assert "\n" not in str(again.value)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("form", ["backbone", "run", "safetensors"])
def test_the_backbone_is_filled_from_its_own_weights(form: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    source = network()
    with torch.no_grad():
        for p in source.parameters():
            p.add_(torch.randn_like(p))
    file = tmp_path / f"weights.{'safetensors' if form == 'safetensors' else 'pth'}"
    match form:
        case "backbone":
            torch.save(tensors_of(source.backbone), file)
        case "run":
            save_checkpoint(file, {"config": "", "classes": list("abcd"), "model": source.state_dict()})
        case _:
            save_file(tensors_of(source.backbone), file)
    filled = network(f"model.weights={file}")
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(filled.backbone.state_dict()[key], value), key
    assert not torch.equal(
        filled.neck.state_dict()["last.0.1.conv.weight"], source.neck.state_dict()["last.0.1.conv.weight"]
    )
    with pytest.raises(
        UserError, match=r"does not fit cspnext: .*stem\.0\.conv\.weight \(12, .* instead of \(16, "
    ):
        network(f"model.weights={file}", "model.size=small")
